"""Studies in their folders: started, interrupted, continued, grown, and what is refused."""

import json
import os
import shutil
from pathlib import Path

import pytest

from agents.cli.main import main
from agents.experiment import report
from agents.runs.locks import locked
from agents.runs.seal import STUDY, planned_runs
from agents.study import executor as executors
from qrl.common.errors import UsageError
from tests.support.command_line import refused
from tests.support.killed_training import killed
from tests.support.studies import SMALL, InProcess, results

STUDY_OF = ["sweep", "--models", "mlp,fourier", *SMALL]


@pytest.fixture
def executor(monkeypatch, tmp_path):
    """Executor in this process, which the command `sweep` uses; the current folder is empty."""
    found = InProcess()
    monkeypatch.setattr(executors, "LocalProcesses", lambda: found)
    monkeypatch.setattr(report, "draw", lambda curves, rows: b"a picture")  # Drawing takes longer than training.
    monkeypatch.chdir(tmp_path)
    return found


def starts(executor) -> list[tuple[str, str]]:
    """Command and run folder of each job, and forget them."""
    found = [(words[0], Path(words[1] if words[0] == "resume" else words[words.index("--out") + 1]).name)
             for words in executor.words]  # fmt: skip
    executor.words.clear()
    return found


MLP, FOURIER = "navigation-maml-mlp-seed", "navigation-maml-fourier-seed"


def test_a_study_is_trained_grown_and_repeated(executor, capsys):
    assert main([*STUDY_OF, "--seeds", "1", "--out", "study"]) == 0
    captured = capsys.readouterr()
    assert captured.out.endswith("study: 2 of 2 runs are complete\ncompare them: run.py compare study\n")
    assert f"{MLP}0 done: return " in captured.err
    assert starts(executor) == [("train", f"{MLP}0"), ("train", f"{FOURIER}0")]
    before = {name: results(Path("study", name)) for name in (f"{MLP}0", f"{FOURIER}0")}
    # Nothing to do.
    assert main([*STUDY_OF, "--seeds", "1", "--out", "study"]) == 0
    assert starts(executor) == []
    # More seeds and a larger grid: runs at the default value of the new axis are there already.
    assert main([*STUDY_OF, "--seeds", "2", "--grid", "agent.inner-steps=1,2", "--out", "study"]) == 0
    assert "study: 2 of 8 runs are complete" in capsys.readouterr().err
    assert starts(executor) == [
        ("train", "navigation-maml-mlp-inner_steps1-seed1"),
        *(("train", f"navigation-maml-mlp-inner_steps2-seed{seed}") for seed in (0, 1)),
        ("train", "navigation-maml-fourier-inner_steps1-seed1"),
        *(("train", f"navigation-maml-fourier-inner_steps2-seed{seed}") for seed in (0, 1)),
    ]
    assert {name: results(Path("study", name)) for name in before} == before
    assert len(planned_runs(Path("study"))) == 8
    # A run can be repeated by hand.
    words = json.loads(Path("study", f"{MLP}0", "config.json").read_text())["command"]
    assert words[0] == "run.py"  # this process; otherwise python -m agents
    assert main([*words[1:-1], "again"]) == 0
    assert results(Path("again")) == before[f"{MLP}0"]


def test_what_is_missing_is_trained_and_what_was_interrupted_is_resumed(executor, capsys):
    command = [*STUDY_OF, "--seeds", "3", "--checkpoint-every", "1", "--out", "study"]
    assert main(command) == 0
    names = [f"{stem}{seed}" for stem in (MLP, FOURIER) for seed in range(3)]
    assert [name for _, name in starts(executor)] == names
    whole = {name: results(Path("study", name)) for name in names}
    one, two, three, four, *_ = (Path("study", name) for name in names)
    shutil.rmtree(one)
    (two / "evaluation.json").unlink()
    (three / "adaptation.png").unlink()
    words = json.loads((four / "config.json").read_text())["command"][1:]
    shutil.rmtree(four)
    with killed(1):
        main(words)
    assert main(command) == 0
    assert starts(executor) == [("train", names[0]), *(("resume", names[index]) for index in (1, 2, 3))]
    assert {name: results(Path("study", name)) for name in names} == whole
    assert "study: 2 of 6 runs are complete" in capsys.readouterr().err


def test_an_agent_that_does_not_learn_starts_again(executor):
    command = ["sweep", "--agent", "random", "--eval-tasks", "2", "--eval-episodes", "2"]
    assert main(command) == 0
    run = Path("studies", "navigation-random-reuploading", "navigation-random-seed0")
    (run / "evaluation.json").unlink()
    starts(executor)
    assert main(command) == 0
    assert executor.words[0][-1] == "--overwrite"
    assert (run / "evaluation.json").exists()


def test_train_with_several_seeds_is_a_sweep(executor, capsys):
    assert main(["train", "--model", "mlp", *SMALL, "--seeds", "2"]) == 0
    assert starts(executor) == [("train", f"{MLP}0"), ("train", f"{MLP}1")]
    assert Path("studies/navigation-maml-mlp/study.json").exists()
    capsys.readouterr()
    assert refused(capsys, ["train", "--jobs", "2"]) == (
        "--jobs is the number of parallel runs of several seeds: add --seeds")  # fmt: skip


def test_a_run_that_fails_is_told_and_the_rest_continues(executor, capsys):
    Path("late.py").write_text(
        "from pathlib import Path\n"
        "from envs.navigation import *\n"
        "from envs.navigation import Config, build as _build\n"
        "def build(config):\n"
        "    family = _build(config)\n"
        "    transition = family.transition\n"
        "    def failing(state, action, tasks):\n"
        "        if Path('fail').exists():\n"
        "            raise ArithmeticError('the motor is stuck')\n"
        "        return transition(state, action, tasks)\n"
        "    family.transition = failing\n"
        "    return family\n"
    )
    command = ["sweep", "--envs", "late.py,navigation", "--model", "mlp", *SMALL, "--out", "study"]
    submit = executor.submit

    def submitting(job):
        if any("late.py" in word for word in job.words):
            Path("fail").touch()
        ended = submit(job)
        Path("fail").unlink(missing_ok=True)
        job.log.write_text("policy: ...\nrun.py: error: the motor is stuck\n")
        return ended

    executor.submit = submitting
    assert main(command) == 1
    captured = capsys.readouterr()
    assert (
        "failed: late-maml-mlp-seed0: run.py: error: the motor is stuck; log: study/late-maml-mlp-seed0.log"
        in captured.err
    )
    assert captured.err.count("failed: late-maml-mlp-seed0") == 1
    assert "study: 1 of 2 runs are complete" in captured.out
    assert starts(executor)[1] == ("train", "navigation-maml-mlp-seed0")
    executor.submit = submit
    assert main(command) == 0
    assert [name for _, name in starts(executor)] == ["late-maml-mlp-seed0"]


def test_what_is_refused_in_a_folder(executor, capsys):
    small = ["sweep", "--model", "mlp", *SMALL, "--out", "study"]
    Path("study").mkdir()
    Path("study/notes.txt").touch()
    assert refused(capsys, small) == "study is no study folder and holds 'notes.txt': give another --out"
    Path("study/notes.txt").unlink()
    assert main(small) == 0
    Path("study/notes.txt").touch()  # In a study folder, other files are no matter.
    assert main(small) == 0
    capsys.readouterr()
    starts(executor)
    # Another configuration in the place of a run.
    other = [*small, "--agent.clip", "0.1"]
    change = "agent_config.clip 0.2, now 0.1"
    assert refused(capsys, other) == (
        f"study/{MLP}0 has another configuration ({change}): give another --out, or --overwrite")  # fmt: skip
    assert main([*other, "--overwrite"]) == 0
    assert starts(executor) == [("train", f"{MLP}0")]
    assert main([*other, "--overwrite"]) == 0
    assert starts(executor) == []
    # A learning rate that was another one for some iterations.
    longer = ["--iterations", "3", "--agent.lr-heads"]
    assert main(["resume", f"study/{MLP}0", *longer, "0.5"]) == 0
    capsys.readouterr()
    changed = refused(capsys, [*other, *longer, "0.5"])
    assert changed.startswith(f"study/{MLP}0 has another configuration (a resume has changed agent_config.lr_heads): ")
    assert main([*other, "--overwrite"]) == 0
    assert starts(executor) == [("train", f"{MLP}0")]
    capsys.readouterr()
    # A second sweep.
    with locked(Path("study")):
        assert refused(capsys, [*other, "--seeds", "2"]) == "study is in use by another process"
    # A study edited by hand, with and without its copy.
    text = Path("study/study.json").read_text()
    Path("study/study.json").write_text(text.replace("0.1", "0.3"))
    restore = "an intact copy exists: rm -f study/study.json && cp study/.study-copy.json study/study.json"
    message = refused(capsys, other)
    assert message.startswith("study/study.json: damaged or edited: the digest does not match; delete it and start")
    assert message.endswith(restore)
    Path("study/.study-copy.json").unlink()
    assert not refused(capsys, other).endswith(restore)
    # Truncated, or no file, and without its copy.
    remedy = "; delete it and start the sweep again: finished runs are kept"
    Path("study/study.json").write_text(text[:40])
    message = refused(capsys, other)
    assert message.startswith("study/study.json: not JSON, or truncated") and message.endswith(remedy)
    Path("study/study.json").unlink()
    os.mkfifo("study/study.json")
    assert refused(capsys, other).endswith(remedy)
    # The remedy.
    Path("study/study.json").unlink()
    Path("study/notes.txt").unlink()
    Path("study/comparison.html").touch()  # written by `compare`
    assert main(other) == 0
    assert starts(executor) == []
    capsys.readouterr()
    assert refused(capsys, ["sweep", "study"]) == (
        "study is a folder, no study file; to continue a study, repeat the command that began it")  # fmt: skip
    Path("file").touch()
    assert refused(capsys, [*small[:-1], "file"]) == "file exists and is not a folder: give another --out"
    assert refused(capsys, ["sweep", *SMALL, "--models", "mlp,fourier"]) == (
        "a study of several plug-ins needs a folder: give --out, such as --out studies/first")  # fmt: skip


def test_a_study_file_and_options_that_override_it(executor):
    Path("study.toml").write_text(
        'out = "study"\nseeds = 2\nmodels = ["fourier"]\n[options]\niterations = 1\n"agent.meta-batch" = 2\n'
        '"agent.episodes" = 3\n"env.horizon" = 5\n"eval-tasks" = 2\n"eval-episodes" = 2\n"eval-steps" = 1\n'
        '[grid]\n"agent.clip" = [0.1, 0.2]\n[[variants]]\nname = "a"\noptions = { "agent.discount" = 0.9 }\n'
    )
    assert main(["sweep", "study.toml", "--seeds", "3,", "--model", "mlp"]) == 2
    assert (
        main(["sweep", "study.toml", "--seed", "3", "--model", "mlp", "--agent.clip", "0.3", "--iterations", "2"]) == 0
    )
    assert starts(executor) == [("train", "navigation-maml-mlp-a-seed3")]
    spec = json.loads(Path("study/navigation-maml-mlp-a-seed3/config.json").read_text())["spec"]
    assert (spec["iterations"], spec["agent_config"]["clip"], spec["agent_config"]["discount"]) == (2, 0.3, 0.9)


def test_code_that_a_study_file_names_needs_consent(executor, capsys):
    Path("theirs.py").write_text("from pathlib import Path\nPath('executed').touch()\n")
    Path("mine.py").write_text("from qrl.models.mlp import Config, build\n")
    study = 'out = "study"\n'
    Path("study.toml").write_text(f'models = ["theirs.py"]\n{study}')
    where = Path.cwd() / "theirs.py"
    assert refused(capsys, ["sweep", "study.toml"]).startswith(
        f"study.toml: model '{where}' is code outside this library; to run it, name it with --model")  # fmt: skip
    for options in ('[options]\n"model.budget" = "like:theirs.py"\n', '[grid]\n"model.budget" = ["like:theirs.py"]\n'):
        Path("study.toml").write_text(f'models = ["mlp"]\n{study}{options}')
        assert "is code outside this library" in refused(capsys, ["sweep", "study.toml"])
    assert not Path("executed").exists()
    Path("study.toml").write_text(f'models = ["mine.py"]\n{study}')
    assert "is code outside this library" in refused(capsys, ["sweep", "study.toml", *SMALL])
    assert main(["sweep", "study.toml", *SMALL, "--model", "mine.py"]) == 0
    # The user has trained with it.
    assert main(["sweep", "study.toml", *SMALL, "--seeds", "2"]) == 0


def test_a_complete_run_that_lacks_files_is_named(executor, capsys):
    command = [*STUDY_OF, "--seeds", "1", "--out", "study folder"]
    assert main(command) == 0
    capsys.readouterr()
    shutil.rmtree(f"study folder/{MLP}0/checkpoint")
    rows = Path(f"study folder/{FOURIER}0/metrics.jsonl")
    rows.write_text(rows.read_text().splitlines(keepends=True)[0])
    starts(executor)
    for _ in range(2):  # The first sweep has changed nothing.
        assert main([*command, "--overwrite"]) == 0
        warnings = [
            f"warning: study folder/{name}0 is complete, but {what}; --overwrite keeps it as it is: to train it anew, "
            f"delete 'study folder/{name}0' and start again"
            for name, what in {
                MLP: "the checkpoint of iteration 2 is missing",
                FOURIER: "metrics.jsonl ends at iteration 1, not at 2",
            }.items()
        ]
        assert capsys.readouterr().err.splitlines() == warnings
    assert starts(executor) == []
    for name in (MLP, FOURIER):
        shutil.rmtree(f"study folder/{name}0")
    assert main(command) == 0
    assert "warning" not in capsys.readouterr().err
    assert starts(executor) == [("train", f"{MLP}0"), ("train", f"{FOURIER}0")]


def test_control_characters_in_paths_are_escaped(executor, capsys):
    command = ["sweep", "--agent", "random", "--eval-tasks", "2", "--eval-episodes", "2", "--out", "a  b\x1b[2J"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.endswith("a  b\\x1b[2J: 1 of 1 runs are complete\ncompare them: run.py compare 'a  b\\x1b[2J'\n")


def test_study_json_is_sealed(executor):
    assert main(["sweep", "--agent", "random", "--eval-tasks", "2", "--eval-episodes", "2", "--out", "study"]) == 0
    record = json.loads(Path("study", STUDY.file).read_text())
    assert record["runs"] == {
        "navigation-random-seed0": [
            *("--env", "navigation", "--agent", "random", "--eval-tasks", "2", "--eval-episodes", "2"),
            *("--threads", "1", "--seed", "0"),
        ]
    }
    assert record["command"][:2] == ["run.py", "sweep"]
    assert Path("study", STUDY.copy).read_bytes() == Path("study", STUDY.file).read_bytes()
    with pytest.raises(UsageError, match="is not a study folder: it has no"):
        planned_runs(Path("study/navigation-random-seed0"))


def test_a_run_that_ended_by_patience_is_complete(executor):
    early = ["--iterations", "30", "--validate-every", "1", "--validate-tasks", "2", "--patience", "1"]
    command = ["sweep", "--model", "mlp", *SMALL, *early, "--out", "study"]
    assert main(command) == 0
    evaluation = json.loads(Path("study", f"{MLP}0", "evaluation.json").read_text())
    assert evaluation["iteration"] < 30
    assert starts(executor) == [("train", f"{MLP}0")]
    assert main(command) == 0
    assert starts(executor) == []


def test_initial_weights_are_part_of_a_run(executor, capsys):
    for seed in ("0", "1"):
        assert main(["train", "--model", "mlp", *SMALL, "--seed", seed, "--out", f"start{seed}"]) == 0
    command = ["sweep", "--model", "mlp", *SMALL, "--seed", "5", "--out", "study"]
    assert main([*command, "--grid", "from=start0,start1"]) == 0
    names = [f"navigation-maml-mlp-from_start{seed}-seed5" for seed in (0, 1)]
    assert starts(executor) == [("train", name) for name in names]
    assert results(Path("study", names[0])) != results(Path("study", names[1]))
    assert main([*command, "--from", "start1"]) == 0
    assert main([*command, "--grid", "from=start1,start0"]) == 0
    assert starts(executor) == []
    assert main(command) == 0
    assert starts(executor) == [("train", f"{MLP}5")]
    shutil.rmtree("start0")
    shutil.move("start1", "start0")
    capsys.readouterr()
    assert refused(capsys, [*command, "--grid", "from=start0"]).startswith(
        f"study/{names[0]} has another configuration (other initial weights): give another --out")  # fmt: skip
    assert refused(capsys, [*command, "--from", "nowhere"]) == "nowhere: no such run folder"


def test_trackers(executor, capsys):
    command = ["sweep", "--model", "mlp", *SMALL, "--checkpoint-every", "1", "--out", "study", "--track", "tensorboard"]
    pytest.importorskip("tensorboard")
    assert main(command) == 0
    run = Path("study", f"{MLP}0")
    assert (run / "tensorboard").is_dir()
    (run / "evaluation.json").unlink()
    assert main(command) == 0
    assert executor.words[1][-2:] == ("--track", "tensorboard")
    capsys.readouterr()
    assert "did you mean 'tensorboard'?" in refused(capsys, ["sweep", "--track", "tensorbord"])
