"""Commands `compare` and `report`: outputs, and everything that is refused in one line before anything is written."""

import base64
import shutil
import subprocess
import sys
import time

import pytest
from PIL import Image

import agents
from agents.cli import compare as command
from agents.cli.main import main
from agents.runs.seal import STUDY, sealed, write_sealed
from qrl.common.errors import UsageError
from tests.support.command_line import ROOT, refused
from tests.support.compared_runs import saved_group, saved_run

SCORES = [[float(seed), seed + 2.0] for seed in range(5)]
SUFFIXES = ("html", "csv", "tex", "json", "png")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    saved_group(folder / "study", "a", SCORES, model="mlp")
    saved_group(folder / "study", "b", SCORES, model="fourier")
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch, original):
    """Current folder with a study of two models and five seeds."""
    shutil.copytree(original, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def written(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_comparison_of_a_study_is_written_into_it(here, capsys):
    assert main(["compare", "study"]) == 0
    out = capsys.readouterr().out
    names = [f"study/comparison.{suffix}" for suffix in SUFFIXES]
    assert out.splitlines()[-1] == f"wrote {', '.join(names)}" and "P(better than mlp)" in out
    files = written(here / "study")
    assert sorted(files) == sorted(name.removeprefix("study/") for name in names)
    with Image.open(here / "study" / "comparison.png") as image:
        assert image.width > 1000
    assert main(["compare", "study"]) == 0
    assert written(here / "study") == files, "own files are replaced, by the same bytes"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_of_others_are_never_replaced(here, capsys, suffix):
    (here / "study" / f"comparison.{suffix}").write_bytes(b"mine")
    message = refused(capsys, ["compare", "study"])
    assert message == (f"study/comparison.{suffix} exists and is no comparison by this software: choose another --out")
    message = refused(capsys, ["compare", "study", "--out", f"study/comparison.{suffix}"])
    assert message.startswith(f"study/comparison.{suffix} exists")


def test_suffixes_choose_the_formats(here, capsys):
    assert main(["compare", "study/a-seed0", "study/b-seed0", "--out", "x.csv", "x.pdf", "x.svg"]) == 0
    assert capsys.readouterr().out.endswith("wrote x.csv, x.pdf, x.svg\n")
    assert (here / "x.pdf").read_bytes().startswith(b"%PDF")
    assert main(["compare", "study/a-seed0", "study/b-seed0", "--out", "x.svg"]) == 0
    capsys.readouterr()
    assert "exists" in refused(capsys, ["compare", "study/a-seed0", "--out", "x.pdf"])
    assert main(["compare", "study/a-seed0", "study/b-seed0"]) == 0
    assert "wrote" not in capsys.readouterr().out


def test_report_is_part_of_the_run_folder(here, capsys):
    assert main(["report", "study/a-seed0"]) == 0
    assert capsys.readouterr().out.endswith("wrote study/a-seed0/report.html\n")
    page = (here / "study" / "a-seed0" / "report.html").read_text()
    assert "Report of a run" in page and "Comparison of runs" not in page
    assert main(["report", "study/a-seed0", "--out", "there.html"]) == 0
    from agents.runs.replacing import check_target

    check_target(here / "study" / "a-seed0", overwrite=True)  # refuses files that are not part of a run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "compare needs RUN: usage is run.py compare RUN ..."),
        (["nowhere"], "nowhere: no such run folder or study"),
        (["."], ". is neither a run folder nor a study: there is no config.json in it, nor a run inside"),
        (["file.txt"], "file.txt is not a folder: a run folder or a study is expected"),
        (
            ["study", "--reference", "mpl"],
            "--reference: no group 'mpl'; did you mean 'mlp'? (choices: 'fourier', 'mlp')",
        ),
        (["study", "--reference", "maml"], "--reference: 'maml' names 2 groups: 'mlp', 'fourier'"),
        (["study", "--at", "9"], "--at: 'mlp' was not evaluated at 9; it was at 0, 1"),
        (["study", "--epsilon", "1"], "epsilon must be between 0 and 1, not 1.0"),
        (["study", "--delta", "0"], "delta must be greater than 0 and at most 1, not 0.0"),
        (["study", "--out", "x.htm"], "x.htm: no format 'htm'; did you mean 'html'?"),
        (["study", "--out", "x"], "x: the name has no suffix that says its format"),
        (["study", "--out", "nowhere/x.csv"], "nowhere/x.csv: folder nowhere does not exist"),
        (["study", "--out", "x.csv", "x.csv"], "x.csv is given twice"),
        (["study", "--out", "x.csv", "--video"], "--video: the animation is part of the page: add an --out file"),
        (["study", "--split", "ood"], "study: none of its 10 runs has been evaluated: no evaluation-ood.json"),
        (
            ["study/a-seed0", "--split", "ood"],
            "study/a-seed0 has no evaluation-ood.json: run.py evaluate",
        ),
        (["study/a-seed0", "bandit"], "compare: runs of different environments cannot share a table: navigation "),
        (["study", "again"], "compare: study/a-seed0 and again are the same configuration and seed: give one of them"),
        (["damaged"], "damaged/evaluation.json: not JSON, or truncated: "),
        (["other"], "other/evaluation.json: not the evaluation of a run: "),
        (["metrics"], "metrics/metrics.jsonl: line 2 is damaged"),
        (["unlike"], "compare: the seeds of 'maml, mlp' differ in x, [0, 1] (unlike/a) and [0, 1, 2] (unlike/b)"),
    ],
)
def test_invalid_input_is_one_line(here, capsys, arguments, message):
    (here / "file.txt").write_text("")
    two = [[0.0, 1.0], [0.0, 2.0]]
    saved_run(here / "bandit", 0, two, env="bandit")
    for name in ("again", "damaged", "other", "metrics"):
        shutil.copytree(here / "study" / "a-seed0", here / name)
    (here / "damaged" / "evaluation.json").write_text('{"env": ')
    (here / "other" / "evaluation.json").write_text('{"env": "navigation"}')
    rows = (here / "metrics" / "metrics.jsonl").read_text().splitlines()
    (here / "metrics" / "metrics.jsonl").write_text("\n".join([rows[0], "{", rows[2], ""]))
    saved_run(here / "unlike" / "a", 0, two)
    saved_run(here / "unlike" / "b", 1, [[0.0, 1.0, 2.0]] * 2)
    if arguments == ["."]:
        for folder in [path for path in here.iterdir() if path.is_dir() and path.name != "study"]:
            shutil.rmtree(folder)
    assert refused(capsys, ["compare", *arguments]).startswith(message)


def test_incomplete_runs_of_a_study_are_left_out_with_a_note(here, capsys):
    (here / "study" / "a-seed4" / "evaluation.json").unlink()
    runs = {"runs": {"b-seed0": [], "b-seed7": [], "b-seed8": []}}
    write_sealed(here / "study", sealed(runs, STUDY), STUDY)
    assert main(["compare", "study", "--out", "x.csv"]) == 0
    out = capsys.readouterr().out
    assert "warning: study/a-seed4 is left out: it has no evaluation.json: run.py evaluate study/a-seed4" in out
    assert "warning: study: 2 planned runs are missing: b-seed7, …" in out
    # The order of study.json makes b the first group, and so the reference.
    assert "P(better than fourier)" in out
    assert "a-seed4 has no evaluation.json: run.py evaluate" in refused(capsys, ["compare", "study/a-seed4"])
    record = here / "study" / "study.json"
    record.write_text(record.read_text().replace("b-seed7", "b-seed9"))
    assert refused(capsys, ["compare", "study"]).startswith("study/study.json: damaged or edited: the digest does not")


def test_nothing_is_written_through_links_or_into_read_only_folders(here, capsys):
    (here / "aim.csv").write_text("mine")
    (here / "x.csv").symlink_to(here / "aim.csv")
    assert "not a regular file" in refused(capsys, ["compare", "study", "--out", "x.csv"])
    (here / "study" / "a-seed0" / "report.html").symlink_to(here / "aim.csv")
    assert "not a regular file" in refused(capsys, ["report", "study/a-seed0"])
    assert (here / "aim.csv").read_text() == "mine"


def test_a_study_that_cannot_be_written_is_compared_all_the_same(here, capsys, monkeypatch):
    def refuse(path):
        raise UsageError(f"{path}: read-only file system")

    monkeypatch.setattr(command, "check_new_file", refuse)  # The user of a container may write anywhere.
    assert main(["compare", "study"]) == 0
    out, err = capsys.readouterr()
    assert "P(better than mlp)" in out and "wrote" not in out
    assert err == "warning: study cannot be written: the files of the comparison are missing; give --out\n"
    assert written(here / "study") == {}


def test_runs_without_an_evaluation_name_the_command_that_makes_it(here, capsys):
    killed = saved_run(here / "killed", 0, [[0.0, 1.0]] * 2, returns=(), config={"policy": {}})
    begun = saved_run(here / "begun", 0, [[0.0, 1.0]] * 2, config={"spec": {"iterations": 9}})
    for run in (killed, begun):
        (run / "evaluation.json").unlink()
    for name, expected in (
        ("killed", "killed ended before its first checkpoint: run.py resume killed"),
        ("begun", "begun was trained for 3 of 9 iterations, and has no evaluation.json: run.py resume begun"),
    ):
        assert refused(capsys, ["compare", name]) == expected


def test_threshold_of_one_run(here, capsys):
    assert main(["report", "study/a-seed0", "--threshold", "1.5", "--out", "x.html"]) == 0
    assert "Threshold: a return of 1.5000, as given" in capsys.readouterr().out
    assert "report study/a-seed0 --threshold 1.5" in (here / "x.html").read_text()


@pytest.mark.parametrize("command", ["compare", "report"])
def test_help_is_quick(command):
    """The bound is ten times what an idle machine takes; the imports say more than the clock."""
    program = (
        f"import sys; from agents.cli.main import main; assert main([{command!r}, '--help']) == 0; "
        "assert not {'torch', 'matplotlib', 'numpy', 'jinja2'} & sys.modules.keys()"
    )
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True)
    assert time.perf_counter() - start < 4


def test_page_of_a_trained_run_has_its_circuit_and_its_animation(tmp_path, capsys):
    sizes = {"agent_config": {"meta_batch": 2, "episodes": 2}, "env_config": {"horizon": 5}}
    few = {"iterations": 1, "eval_tasks": 2, "eval_episodes": 2, "eval_steps": 1, "threads": 1}
    agents.train(tmp_path / "run", env="navigation", progress=False, **sizes, **few)
    assert main(["report", str(tmp_path / "run"), "--video"]) == 0
    moving = (tmp_path / "run" / "adaptation.gif").read_bytes()
    page = (tmp_path / "run" / "report.html").read_text()
    assert moving.startswith(b"GIF89a") and base64.b64encode(moving).decode() in page
    assert "Circuit of maml, reuploading: 4 wires" in page and "is drawn:" not in page
    assert main(["compare", str(tmp_path / "run"), "--out", str(tmp_path / "page.html")]) == 0
    assert base64.b64encode(moving).decode() in (tmp_path / "page.html").read_text(), "that of the run folder"
    capsys.readouterr()
    run = saved_run(tmp_path / "bandit", 0, [[0.0, 1.0], [0.0, 2.0]], env="bandit", agent="rl2")
    assert main(["report", str(run), "--video"]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (run / "report.html").exists()
