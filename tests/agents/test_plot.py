"""Plots: lines, legends, bands over seeds by hand, and file formats."""

import gzip
import json
import re
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

import agents
from agents.cli.options import PlotOptions
from agents.cli.plot import run_plot
from agents.experiment import robustness
from agents.experiment.evaluation import Curve
from agents.experiment.plot import draw, figure_of
from agents.experiment.robustness import Point
from agents.experiment.series import t_interval
from agents.experiment.style import OTHER_REFERENCE, REFERENCE_STYLES
from agents.runs.folder import RunFolder
from qrl.common.errors import UsageError
from qrl.common.pictures import formats
from tests.agents.legends import check_legend

METRICS = [{"iteration": i, "return_by_step": [-2.0, -1.0]} for i in (1, 2)]
T_2 = 4.302653
"""97.5 % quantile of Student's t with two degrees of freedom, of three seeds."""
SIGNATURES = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml", "eps": b"%!PS", "jpg": b"\xff\xd8", "tiff": b"II*\0"}

UNDATED = {"pdf": b"CreationDate", "svg": b"dc:date", "eps": b"CreationDate"}
"""What precedes the date in a format that can have one."""


def curve_of(agent="maml", axis="gradient_steps", **changes):
    values = {"mean": [1.0, 2.0], "ci_low": [0.5, 1.5], "ci_high": [1.5, 2.5], "iqm": [1.0, 2.0]}
    spent = {"x": [0, 1], "episodes": [0, 5], "env_steps": [0.0, 50.0]}
    about = {"env": "cartpole", "agent": agent, "model": "", "split": "test", "n_tasks": 2, "seed": 0, "axis": axis}
    more = {"worst_decile": [0.0, 1.0], "per_task": [[1.0, 2.0]] * 2}
    return Curve(**about | spent | values | more | changes)


SEEDS = [
    curve_of(mean=mean, worst_decile=worst, env_steps=[0.0, steps])
    for mean, worst, steps in (
        ([1.0, 5.0], [0.0, 0.0], 40.0),
        ([2.0, 5.0], [0.0, 3.0], 50.0),
        ([3.0, 8.0], [0.0, 6.0], 90.0),
    )
]


def test_tables_for_papers():
    """Numbers are those of the curve: exact in CSV, as in the printed table in LaTeX."""
    curve = curve_of(mean=[1 / 3, 2.0])
    rows = [line.split(",") for line in curve.to_csv().splitlines()]
    assert rows[0] == ["gradient_steps", "episodes_before", "mean", "ci_low", "ci_high", "iqm", "worst_decile"]
    assert [[float(cell) for cell in row] for row in rows[1:]] == [
        [0, 0, 1 / 3, 0.5, 1.5, 1, 0],
        [1, 5, 2, 1.5, 2.5, 2, 1],
    ]
    begin, _, header, _, first, second, _, end = curve.to_latex().splitlines()
    assert (begin, end) == (r"\begin{tabular}{rrrrrr}", r"\end{tabular}")
    assert header == r"gradient steps & episodes before & mean & 95 \% interval & IQM & worst 10 \% \\"
    assert first == r"0 & 0 & 0.33 & [0.50, 1.50] & 1.00 & 0.00 \\" and second.startswith("1 & 5 & 2.00 & ")


def lines(axes):
    """Return the drawn lines: x, y by label."""
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()}


def bands(axes):
    """Return the lower and upper bounds of each band, by x."""
    found = []
    for area in axes.collections:
        corners = area.get_paths()[0].vertices
        at = {x: sorted(set(corners[corners[:, 0] == x, 1].tolist())) for x in sorted(set(corners[:, 0].tolist()))}
        found.append({x: (ends[0], ends[-1]) for x, ends in at.items()})
    return found


# --- lines ------------------------------------------------------------------------------------------------------------


def test_curves_are_placed_at_their_environment_steps():
    """A reference shared by two curves is drawn once, unless it differs."""
    both = [curve_of(name, "episodes", references={"oracle": [3.0, 3.0]}) for name in ("rl2", "psrl")]
    (axes,) = figure_of(both, against="env_steps").axes
    found = lines(axes)
    assert found["rl2"] == found["psrl"] == ([0.0, 50.0], [1.0, 2.0])
    assert found["oracle"] == ([0.0, 50.0], [3.0, 3.0])
    other = curve_of("psrl", "episodes", references={"oracle": [3.0, 3.5]})
    found = lines(figure_of([both[0], other], against="env_steps").axes[0])
    assert "oracle" not in found
    assert (found["oracle: rl2"][1], found["oracle: psrl"][1]) == ([3.0, 3.0], [3.0, 3.5])


def test_single_curve_shows_its_interval_over_tasks():
    (axes,) = figure_of(curve_of()).axes
    assert bands(axes) == [{0: (0.5, 1.5), 1: (1.5, 2.5)}]
    assert "95 % interval over tasks" in axes.texts[0].get_text()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["maml"]


def test_seeds_of_one_configuration_are_one_line_with_a_t_interval():
    (axes,) = figure_of({"quantum": SEEDS}, against="env_steps").axes
    assert lines(axes)["quantum (3 seeds)"] == ([0.0, 60.0], [2.0, 6.0])
    # Means 2 and 6; standard deviations 1 and sqrt(3).
    half = T_2 / 3**0.5
    (band,) = bands(axes)
    assert band[0] == pytest.approx((2 - half, 2 + half), abs=1e-5)
    assert band[60] == pytest.approx((6 - 3**0.5 * half, 6 + 3**0.5 * half), abs=1e-5)
    worst = next(line for line in axes.get_lines() if line.get_linestyle() == ":")
    assert list(worst.get_ydata()) == [0.0, 3.0]
    assert "95 % t-interval over seeds" in axes.texts[0].get_text()
    assert len(axes.get_lines()) == 2


def test_kind_of_interval_is_labelled_if_lines_differ():
    (axes,) = figure_of({"quantum": SEEDS, "random": curve_of("random")}).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["quantum (3 seeds)", "random (1 seed, interval over tasks)"]


def test_seeds_with_the_same_episodes_have_no_interval():
    """Random actions do not depend on the training seed: three equal curves are one observation, not three."""
    mean, low, high = t_interval(np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]]))
    assert mean.tolist() == [1.0, 2.0]
    assert np.isnan([low[0], high[0]]).all() and high[1] - 2 == pytest.approx(T_2 / 3**0.5, abs=1e-5)
    assert np.isnan(t_interval(np.array([[1.0]]))[1]).all()
    (axes,) = figure_of({"random": [curve_of("random")] * 3}).axes
    assert bands(axes) == []


def test_sequences_do_not_merge_curves_with_equal_labels():
    """A curve does not store its training options; a mapping declares which ones are seeds of one configuration."""
    (axes,) = figure_of(SEEDS).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["maml (1)", "maml (2)", "maml (3)"]
    with pytest.raises(UsageError, match=r"seeds of 'maml' differ in episodes, \[0, 5\] and \[0, 6\]"):
        figure_of({"maml": [curve_of(), curve_of(episodes=[0, 6])]})


def test_lines_are_named_by_labels(tmp_path):
    out = tmp_path / "a.svg"
    agents.plot(SEEDS[:2], out, labels=["mine", "theirs"])
    assert {"mine", "theirs"} <= set(re.findall(r"<!-- (\w+) -->", out.read_text()))
    agents.plot(SEEDS[0], tmp_path / "one.svg", labels=["alone"])
    assert "<!-- alone -->" in (tmp_path / "one.svg").read_text()


@pytest.mark.parametrize(
    ("curves", "labels", "message"),
    [
        (SEEDS[:2], ["mine"], "plot: 1 labels were given for 2 lines"),
        (SEEDS[0], ["a", "b"], "plot: 2 labels were given for 1 line"),
        (SEEDS[:2], ["a", "a"], "plot: a label is given twice: a, a"),
        (SEEDS[:2], "ab", "plot: labels must be a list of texts, not 'ab'"),
        ({"maml": SEEDS}, ["mine"], "plot: the curves have labels, maml: give them as a list, or no labels"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path, curves, labels, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        agents.plot(curves, tmp_path / "a.svg", labels=labels)
    assert not any(tmp_path.iterdir())


# --- legends and ticks ------------------------------------------------------------------------------------------------


def test_every_legend_entry_is_drawn_in_its_panel():
    references = {name: [float(i), 1.0] for i, name in enumerate(REFERENCE_STYLES)}
    for names in (["bayes", "thompson"], ["oracle", "psrl", "memory_reset"], ["oracle", "portfolio", "nearest_tasks",
                  "random_search"]):  # fmt: skip
        curves = [curve_of(name, "episodes", references={n: references[n] for n in names}) for name in "abcdefg"]
        for axes in figure_of(curves, METRICS).axes:
            check_legend(axes)
    exact = curve_of("rl2", "episodes", references={"bayes": [1.0, 2.0]}, exact={"bayes": [1.5, 1.5]})
    check_legend(figure_of([exact, curve_of("rl2", "episodes")]).axes[0])
    names = ["helstrom (envelope)", "frame_tracking (playable)", "classical_memory", "swap_test", "measure_both"]
    lines = {name: [0.5, index / 10] for index, name in enumerate(names)}
    axes = figure_of(curve_of("rl2", "episodes", references={**lines, "memory_reset": [0.0, 0.0]}, exact=lines)).axes[0]
    check_legend(axes)
    shown = [text.get_text() for text in axes.get_legend().get_texts()]
    assert shown == ["rl2", "memory_reset", *(f"{name}, exact value" for name in names)]
    assert OTHER_REFERENCE not in REFERENCE_STYLES.values()
    points = [Point("exact", 0.0, (1.0, 0.5, 1.5), (2.0, 1.5, 2.5))]
    points += [Point(kind, v, (1.0, 0.5, 1.5), (1.8, 1.5, 2.5)) for kind in ("readout", "shots") for v in (0.1, 0.2)]
    panels = robustness.figure_of(points, curve_of()).axes
    assert len(panels) == 2
    for axes in panels:
        check_legend(axes)
        assert axes.get_xlabel() in ("strength of noise [probability]", "shots of each circuit")


def test_references_of_a_single_episode_cross_the_panel():
    one = {"x": [1], "episodes": [0], "env_steps": [0.0], "per_task": [[0.6], [0.8]]}
    one |= {name: [0.7] for name in ("mean", "ci_low", "ci_high", "iqm", "worst_decile")}
    curve = curve_of("rl2", "episodes", references={"helstrom": [0.75]}, exact={"helstrom": [0.75]}, **one)
    lines = {line.get_label(): line for line in figure_of(curve).axes[0].get_lines()}
    for label in ("helstrom", "helstrom, exact value"):
        assert list(lines[label].get_xdata()) == [0, 1] and set(lines[label].get_ydata()) == {0.75}


@pytest.mark.parametrize("last", [1, 2, 3, 7, 40, 100])
def test_ticks_of_counts_are_integers(last):
    x = list(range(last + 1))
    y = [float(each) for each in x]
    values = {"mean": y, "ci_low": y, "ci_high": y, "worst_decile": y, "episodes": [5 * each for each in x]}
    figure = figure_of(curve_of(x=x, **values), [{**METRICS[0], "iteration": i} for i in range(1, last + 1)])
    figure.canvas.draw()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert shown and all(tick == round(tick) for tick in shown)
        assert axes.get_xlabel() and axes.get_ylabel()


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", formats())
def test_suffix_selects_the_format(tmp_path, format):
    path = tmp_path / f"curve.{format.upper()}"
    agents.plot({"quantum": SEEDS, "random": curve_of("random")}, path)
    data = path.read_bytes()
    assert data.startswith(SIGNATURES.get(format, b""))
    assert data == draw({"quantum": SEEDS, "random": curve_of("random")}, format=format)
    assert UNDATED.get(format, b"no date") not in data
    if format == "svgz":
        assert b"<svg" in gzip.decompress(data) and data[4:8] == bytes(4), "the header has no time"
    if format in ("gif", "jpeg", "png", "tif", "webp"):
        with Image.open(path) as image:
            assert image.width > 500
    assert [each.name for each in tmp_path.iterdir()] == [path.name], "written whole, nothing left behind"


def test_output_is_byte_identical_across_processes(tmp_path):
    """String hashes and the time differ between the processes."""
    program = (
        "import json, sys; from pathlib import Path; from agents.experiment.plot import plot; "
        "from agents.experiment.evaluation import Curve; "
        "[plot([Curve(**c) for c in json.loads(sys.argv[1])], Path(sys.argv[2]) / f'x.{f}') for f in sys.argv[3:]]"
    )
    curves = json.dumps([curve.to_json() for curve in SEEDS])
    subprocess.run([sys.executable, "-c", program, curves, str(tmp_path), "png", *UNDATED], check=True)
    for format in ("png", *UNDATED):
        assert (tmp_path / f"x.{format}").read_bytes() == draw(SEEDS, format=format)


def test_postscript_bands_are_pale_without_transparency(caplog):
    """PostScript would draw a translucent area in full colour, covering the grid and other bands."""
    encoded = draw({"quantum": SEEDS}, format="eps")
    assert not caplog.records
    red, green, blue = (1 - 0.2 * (1 - each / 255) for each in (0x00, 0x72, 0xB2))
    assert f"{red:.3g} {green:.3g} {blue:.2g} setrgbcolor".encode() in encoded


def test_global_plot_style_is_unchanged(tmp_path):
    before = dict(mpl.rcParams)
    agents.plot(curve_of(), tmp_path / "curve.png")
    assert dict(mpl.rcParams) == before
    assert mpl.rcParams["svg.hashsalt"] is None, "no other plot has left its own"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("curve.pgn", r"no format 'pgn'; did you mean 'png'\? \(choices: .*pdf, png.*svg.*\)$"),
        ("curve.txt", r"no format 'txt'.*choices: .*pdf, png"),
        ("curve", r"has no suffix that says its format; choices: .*pdf, png"),
        ("v1.2", r"no format '2'; choices: .*pdf, png"),
    ],
)
def test_unknown_suffix_is_rejected_before_drawing(tmp_path, name, message):
    for curves in (curve_of(), [], [curve_of(), curve_of(env="navigation")]):
        with pytest.raises(UsageError, match=message) as caught:
            agents.plot(curves, tmp_path / name)
        assert "\n" not in str(caught.value) and str(caught.value).startswith(str(tmp_path / name))
    with pytest.raises(UsageError, match=message):
        run_plot(PlotOptions(runs=(tmp_path / "nowhere",), out=tmp_path / name))
    assert list(tmp_path.iterdir()) == []


def test_unwritable_picture_is_rejected(tmp_path):
    with pytest.raises(UsageError, match="missing"):
        agents.plot(curve_of(), tmp_path / "missing" / "curve.png")
    for nothing in ([], {}, {"maml": []}):
        with pytest.raises(UsageError, match="no curve"):
            agents.plot(nothing, tmp_path / "none.png")


def test_gradient_and_memory_based_curves_share_a_cost_axis(tmp_path):
    curves = [curve_of("maml", "gradient_steps"), curve_of("rl2", "episodes", references={"memory_reset": [1.0, 1.0]})]
    for against in ("episodes", "env_steps", "env-steps"):
        agents.plot(curves, tmp_path / f"{against}.png", against=against)
        assert (tmp_path / f"{against}.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="one curve is over gradient steps, another over episodes"):
        agents.plot(curves, tmp_path / "none.png")
    with pytest.raises(UsageError, match=r"different tasks.*cartpole, test; navigation, test"):
        agents.plot([curves[0], curve_of("maml", "gradient_steps", env="navigation")], tmp_path / "none.png")
    arms = [curve_of("rl2", "episodes", env="bandit", env_options={"arms": k, "horizon": 1}) for k in (5, 2)]
    with pytest.raises(UsageError, match=r"different tasks.*: bandit, test, arms=5; bandit, test, arms=2$"):
        agents.plot(arms, tmp_path / "none.png")
    with pytest.raises(UsageError, match=r"cannot be drawn against 'env_step'.*did you mean 'env_steps'"):
        agents.plot(curves, tmp_path / "none.png", against="env-step")
    with pytest.raises(UsageError, match="one curve is of 2 tasks, another of 50: evaluate all runs on the same tasks"):
        agents.plot([curves[0], curve_of("maml", "gradient_steps", n_tasks=50)], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


# --- the command ------------------------------------------------------------------------------------------------------


def saved(path, seed, curve, inner_steps=1, **spec):
    """Write a run folder with an evaluation."""
    agent = {"inner_steps": inner_steps, "outer": "ppo"}
    RunFolder.create(path, {"spec": {"agent": "maml", "agent_config": agent, "seed": seed, **spec}, "origins": {}})
    (path / "evaluation.json").write_text(json.dumps(curve.to_json()))
    return path


@pytest.fixture
def labels(monkeypatch):
    """Record the labels and numbers of seeds that the command draws."""
    found = []
    monkeypatch.setattr(
        "agents.cli.plot.plot", lambda curves, *_, **__: found.append({k: len(v) for k, v in curves.items()})
    )
    return found


def test_runs_that_differ_only_in_their_seed_are_one_line(tmp_path, labels):
    runs = [saved(tmp_path / f"a{seed}", seed, curve, threads=seed) for seed, curve in enumerate(SEEDS)]
    other = [saved(tmp_path / f"b{seed}", seed, curve, inner_steps=2) for seed, curve in enumerate(SEEDS[:2])]
    run_plot(PlotOptions(runs=(runs[0], other[0], *runs[1:], other[1]), out=tmp_path / "all.pdf"))
    assert labels == [{"maml, agent.inner-steps 1": 3, "maml, agent.inner-steps 2": 2}]
    run_plot(PlotOptions(runs=tuple(runs), out=tmp_path / "one.pdf"))
    assert labels[1:] == [{"maml": 3}]
    run_plot(PlotOptions(runs=(*runs, *other), out=tmp_path / "own.pdf", labels=("mine", "theirs")))
    assert labels[2:] == [{"mine": 3, "theirs": 2}]
    with pytest.raises(UsageError, match="plot: 1 labels were given for 2 lines"):
        run_plot(PlotOptions(runs=(*runs, *other), out=tmp_path / "no.pdf", labels=("mine",)))


@pytest.mark.parametrize(
    ("options", "changes", "expected"),
    [
        ({"iterations": 5}, {}, {"maml, iterations 0": 2}),
        ({}, {"iteration": 30}, {"maml, iterations 0": 1, "maml, iterations 30": 1}),
        ({"noise": ["readout=0.1"]}, {}, {"maml, noise None": 1, "maml, noise ['readout=0.1']": 1}),
        ({}, {"backend": {"shots": 3}}, {"maml, evaluated.shots None": 1, "maml, evaluated.shots 3": 1}),
        ({"a": 1, "b": 1, "c": 1, "d": 1}, {}, {"maml, one": 1, "maml, two": 1}),
    ],
)
def test_runs_that_differ_in_other_options_are_separate_lines(tmp_path, labels, options, changes, expected):
    one = saved(tmp_path / "one", 0, curve_of())
    two = saved(tmp_path / "two", 1, curve_of(**changes), **options)
    run_plot(PlotOptions(runs=(one, two), out=tmp_path / "all.png"))
    # The planned number of iterations is not the number at evaluation.
    assert labels == [{"maml": 2} if "iterations" in options else expected]


def test_runs_are_drawn_from_their_evaluations(tmp_path, capsys):
    out = tmp_path / "both.svg"
    one, two = (saved(tmp_path / f"run{seed}", seed, SEEDS[seed]) for seed in (0, 1))
    assert run_plot(PlotOptions(runs=(one, two), out=out)) == 0
    assert "maml (2 seeds)" in out.read_text()
    assert capsys.readouterr().out == f"wrote {out}\n"
    with pytest.raises(UsageError, match="exists"):
        run_plot(PlotOptions(runs=(one,), out=out))
    with pytest.raises(UsageError, match=r"has no evaluation-ood.json: run.py evaluate .* --split ood"):
        run_plot(PlotOptions(runs=(one,), out=tmp_path / "ood.png", split="ood"))
    with pytest.raises(UsageError, match=r"run0 and .*again are the same configuration and seed: give one of them"):
        run_plot(PlotOptions(runs=(one, saved(tmp_path / "again", 0, SEEDS[0])), out=tmp_path / "twice.png"))
    (one / "evaluation.json").write_text("{}")
    with pytest.raises(UsageError, match="not the evaluation of a run"):
        run_plot(PlotOptions(runs=(one,), out=tmp_path / "no.png"))
    assert not list(tmp_path.glob("*.png"))
