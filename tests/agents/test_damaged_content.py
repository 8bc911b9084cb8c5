"""Content of the wrong kind behind valid digests: the older checkpoint is used, or one line says what is wrong."""

import hashlib
import json
import shutil

import pytest
import safetensors.torch
import torch

import agents
from agents.cli.export import _circuits
from agents.cli.main import main
from agents.core.context import build
from agents.experiment.evaluation import Curve
from agents.experiment.loop import Training
from agents.runs.checkpoints import encode_state
from agents.runs.folder import RunFolder
from agents.runs.seal import identity, sealed
from qrl.common.errors import UsageError

MAML = {"meta_batch": 2, "episodes": 3}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "maml"
    agents.train(
        folder,
        env_config={"horizon": 5},
        agent_config=MAML,
        model="mlp",
        iterations=3,
        checkpoint_every=1,
        threads=1,
        eval_tasks=2,
        eval_steps=1,
        eval_episodes=2,
        progress=False,
    )
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a run with checkpoints of iterations 2 and 3."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def forge_state(run, change, checkpoint="00000003"):
    file = run / "checkpoint" / checkpoint / "state.json"
    content = json.loads(file.read_bytes())
    change(content["meta"])
    file.write_bytes(encode_state(content["iteration"], content["tensors"], content["run"], content["meta"]))


def forge_tensors(run, change, checkpoint="00000003"):
    folder = run / "checkpoint" / checkpoint
    tensors = safetensors.torch.load((folder / "state.safetensors").read_bytes())
    change(tensors)
    data = safetensors.torch.save(tensors)
    (folder / "state.safetensors").write_bytes(data)
    content = json.loads((folder / "state.json").read_bytes())
    digest = hashlib.sha256(data).hexdigest()
    (folder / "state.json").write_bytes(encode_state(content["iteration"], digest, content["run"], content["meta"]))


def forge_config(run, change):
    config = json.loads((run / "config.json").read_bytes())
    change(config)
    config = sealed(config)
    (run / "config.json").write_text(json.dumps(config))
    for file in run.glob("checkpoint/*/state.json"):
        content = json.loads(file.read_bytes())
        file.write_bytes(encode_state(content["iteration"], content["tensors"], identity(config), content["meta"]))


def tasks_generator(**values):
    return lambda meta: meta["rngs"]["tasks"].update(values)


STATES = {
    "no steps": (lambda meta: meta.pop("env_steps"), "env_steps is missing"),
    "negative steps": (lambda meta: meta.update(env_steps=-1), "env_steps must be at least 0"),
    "fractional steps": (lambda meta: meta.update(env_steps=1.5), "env_steps: expected a whole number, found 1.5"),
    "negative time": (lambda meta: meta.update(seconds=-1), "seconds must be at least 0"),
    "time as text": (lambda meta: meta.update(seconds="1"), "seconds: expected a number, found '1'"),
    "no generators": (lambda meta: meta.update(rngs=None), "rngs: expected an object, found None"),
    "generator missing": (
        lambda meta: meta["rngs"].pop("tasks"),
        "expected the states of tasks, env",
    ),
    "generator of another kind": (tasks_generator(bit_generator="MT19937"), r"rngs\.tasks: not the state of a gen"),
    "generator with text": (tasks_generator(uinteger="x"), "not the state of a generator"),
    "generator that is negative": (tasks_generator(state={"state": -(10**30), "inc": 1}), "not the state of a gen"),
    "generator that is rounded": (tasks_generator(has_uint32=0.5), "not the state of a generator"),
    "unknown entry": (lambda meta: meta.update(more=1), "unknown option 'more'"),
}


@pytest.mark.parametrize(("change", "message"), STATES.values(), ids=STATES)
def test_state_of_the_wrong_kind(run, change, message):
    forge_state(run, change)
    with pytest.warns(UserWarning, match=rf"00000003: state\.json: .*{message}.*iteration 2 is used"):
        assert agents.load(run).iteration == 2


TENSORS = {
    "shape": (lambda own: own.update({first(own): torch.zeros(7, 7, 7)}), "should be .* is .7, 7, 7. of float32"),
    "type": (lambda own: own.update({first(own): own[first(own)].double()}), "of float32, is .* of float64"),
    "missing": (lambda own: own.pop(first(own)), "is nothing"),
    "extra": (lambda own: own.update(more=torch.zeros(1)), "has a tensor 'more'"),
    "moment of another shape": (lambda own: own.update({moment(own): torch.zeros(7, 7, 7)}), "exp_avg should be"),
    "moment missing": (lambda own: own.pop(moment(own)), "exp_avg should be .* is nothing"),
    "moment of another type": (lambda own: own.update({moment(own): own[moment(own)].half()}), "is .* of float16"),
    "no generator": (lambda own: own.pop("generator"), "tensor generator, the state of a generator, is missing"),
    "generator too short": (lambda own: own.update(generator=own["generator"][:10].clone()), "not the state of a gen"),
    "generator of floats": (lambda own: own.update(generator=own["generator"].float()), "not the state of a gen"),
    "generator out of range": (lambda own: own["generator"].fill_(255), "not the state of a generator"),
}


def first(tensors):
    return min(name for name in tensors if name.startswith("params/"))


def moment(tensors):
    return min(name for name in tensors if name.endswith("/exp_avg"))


@pytest.mark.parametrize(("change", "message"), TENSORS.values(), ids=TENSORS)
def test_tensors_of_the_wrong_kind(run, change, message):
    forge_tensors(run, change)
    with pytest.warns(UserWarning, match=f"00000003: .*{message}.*iteration 2 is used"):
        loaded = agents.load(run)
    assert loaded.iteration == 2
    intact = RunFolder.open(run).checkpoints._load(2)[0]
    restored = loaded.agent.state_dict()
    assert restored.keys() == intact.keys() - {"generator"}
    assert all(torch.equal(value, intact[name]) for name, value in restored.items())


def test_resume_falls_back_and_ends_as_from_the_older_checkpoint(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "other")
    (tmp_path / "other" / "checkpoint" / "00000003" / "state.json").write_bytes(b"")
    forge_tensors(run, lambda own: own.pop(moment(own)))
    for folder in (run, tmp_path / "other"):
        agents.resume(folder, progress=False)
    assert "warning: " in capsys.readouterr().err
    ours, theirs = (RunFolder.open(folder).checkpoints.load() for folder in (run, tmp_path / "other"))
    assert ours.iteration == theirs.iteration == 3
    assert all(torch.equal(value, theirs.tensors[name]) for name, value in ours.tensors.items())


@pytest.mark.parametrize("what", ["tensors", "state"])
def test_refused_checkpoint_changes_nothing(run, what):
    """Not even the parameters, which are sound."""
    spec = agents.load(run).spec
    if what == "tensors":
        forge_tensors(run, lambda own: own.pop(moment(own)))
    else:
        forge_state(run, STATES["no steps"][0])
    shutil.rmtree(run / "checkpoint" / "00000002")
    training = Training(spec, *build(spec))
    before = {name: value.clone() for name, value in training.agent.state_dict().items()}
    drawn, rngs = training.generator.get_state(), {n: rng.bit_generator.state for n, rng in training.rngs.items()}
    with pytest.raises(UsageError, match=r"no usable checkpoint: .*00000003"):
        RunFolder.open(run).load(training.load)
    assert training.iteration == training.env_steps == 0
    assert {n: rng.bit_generator.state for n, rng in training.rngs.items()} == rngs
    after = training.agent.state_dict() | {"drawn": training.generator.get_state()}
    assert after.keys() == before.keys() | {"drawn"}
    assert all(torch.equal(value, after[name]) for name, value in (before | {"drawn": drawn}).items())


def test_evaluation_and_export_use_the_older_checkpoint(run, tmp_path, capsys):
    forge_state(run, STATES["no steps"][0])
    assert main(["evaluate", str(run), "--tasks", "2", "--episodes", "2", "--out", str(tmp_path / "e.json")]) == 0
    errors = capsys.readouterr().err
    assert "env_steps is missing; the checkpoint of iteration 2 is used" in errors
    assert json.loads((tmp_path / "e.json").read_text())["iteration"] == 2


CONFIGS = {
    "another role": (lambda config: config["origins"].update(more={"from": "name"}), "origins: unknown role 'more'"),
    "text": (lambda config: config["origins"].update(env="cpu"), "origins.env: expected an object, found 'cpu'"),
    "number": (lambda config: config.update(origins=7), "origins: expected an object, found 7"),
    "source": (lambda config: config["origins"]["env"].update({"from": "moon"}), "unknown from 'moon'"),
    "no source": (lambda config: config["origins"]["env"].pop("from"), "unknown from None"),
    "no path": (lambda config: config["origins"]["env"].update({"from": "file"}), "expected path and sha256"),
    "spec": (lambda config: config.update(spec=1.5), "its spec is missing, or no object"),
    "options": (lambda config: config["spec"].update(agent_config=[]), "agent_config: expected an object of options"),
    "name": (lambda config: config["spec"].update(env="a\0b"), "is not text"),
}


@pytest.mark.parametrize(("change", "message"), CONFIGS.values(), ids=CONFIGS)
def test_configuration_of_the_wrong_kind(run, change, message):
    forge_config(run, change)
    with pytest.raises(UsageError, match=message) as caught:
        agents.load(run)
    assert "config.json" in str(caught.value) and "\n" not in str(caught.value)


# --- missing checkpoints ----------------------------------------------------------------------------------------------


def test_missing_newer_checkpoint_is_told(run, capsys):
    shutil.rmtree(run / "checkpoint" / "00000003")
    message = "a checkpoint of iteration 3 or later is missing: the metrics end at iteration 3"
    with pytest.warns(UserWarning, match=f"{message}; the checkpoint of iteration 2 is used"):
        assert agents.load(run).iteration == 2
    assert main(["evaluate", str(run), "--tasks", "2", "--episodes", "2"]) == 0
    assert f"warning: {run}: {message}; the checkpoint of iteration 2 is used" in capsys.readouterr().err
    agents.resume(run, progress=False)
    assert f"{message}; continuing from iteration 2" in capsys.readouterr().err


def test_run_killed_between_checkpoints_is_no_run_with_a_missing_one(run):
    """Checkpoints are due at 10, 20, and at the end, 25."""
    forge_config(run, lambda config: config["spec"].update(iterations=25, checkpoint_every=10))
    (run / "evaluation.json").write_text('{"iteration": 7}')
    folder = RunFolder.open(run)
    for iteration, last, lost in (
        *((0, 0, False), (0, 7, True), (7, 7, False), (0, 9, False), (0, 10, False), (0, 11, True)),
        *((10, 10, False), (10, 20, False), (10, 21, True), (13, 20, False), (13, 21, True)),
        *((20, 24, False), (20, 25, True), (25, 25, False), (30, 30, False)),
    ):
        (run / "metrics.jsonl").write_text("".join(f'{{"iteration": {row + 1}}}\n' for row in range(last)))
        assert bool(folder._lost_since(iteration)) == lost, (iteration, last)


def test_run_without_its_checkpoints(run, capsys):
    shutil.rmtree(run / "checkpoint")
    before = (run / "metrics.jsonl").read_bytes()
    for command in ("evaluate", "resume", "export"):
        assert main([command, str(run)]) == 2
        assert "put the folder checkpoint back, or train anew: run.py --config" in capsys.readouterr().err
    assert (run / "metrics.jsonl").read_bytes() == before
    for file in ("evaluation.json", "metrics.jsonl"):  # the run ended before its first checkpoint
        (run / file).unlink()
    with pytest.raises(UsageError, match="the run ended before the first one; resume starts from the beginning"):
        agents.load(run)


# --- results ----------------------------------------------------------------------------------------------------------

CURVES = {
    "null": ({"episodes": None}, "episodes: expected a list, found None"),
    "number": ({"references": 7}, "references: expected an object, found 7"),
    "too short": ({"ci_low": []}, "ci_low has 0 values, x has 2"),
    "too long": ({"per_task": [[1.0, 2.0, 3.0], [1.0, 2.0]]}, r"per_task\[0\] has 3 values"),
    "tasks": ({"n_tasks": 3}, "per_task has 2 tasks, n_tasks is 3"),
    "text": ({"mean": ["a", 1.0]}, r"mean\[0\]: expected a number, found 'a'"),
    "no x": ({"x": []}, "x: expected increasing numbers"),
    "x twice": ({"x": [1, 1]}, "x: expected increasing numbers"),
    "axis": ({"axis": "moons"}, "curve: unknown axis 'moons'"),
    "split": ({"split": "moon"}, "curve: unknown split 'moon'"),
    "reference": ({"references": {"bayes": [1.0]}}, "references.bayes has 1 values"),
    "fraction": ({"fractions": {"bayes": [1.0, 0.9, 1.1]}}, r"fractions.bayes: expected a mean"),
    "iteration": ({"iteration": -1}, "iteration must be at least 0"),
    "unknown": ({"more": 1}, "unknown option 'more'"),
}


@pytest.mark.parametrize(("values", "message"), CURVES.values(), ids=CURVES)
def test_evaluation_of_the_wrong_kind(run, values, message):
    file = run / "evaluation.json"
    content = json.loads(file.read_text())
    assert Curve.from_json(content).to_json() == content
    with pytest.raises(UsageError, match=f"^evaluation.json: not the evaluation of a run: {message}"):
        Curve.from_json(content | values, "evaluation.json")
    with pytest.raises(UsageError, match="expected a JSON object"):
        Curve.from_json([], "evaluation.json")


ODD = (["a", "b"], [0.1], [[0.1], 0.2], [1e300, 0], [10**200, 0], None, {}, [None, 1.0], "x" * 1000, [[0.1, 0.2]])


@pytest.mark.parametrize("observation", ODD)
def test_observations_of_the_wrong_kind(finished, observation):
    adapted = agents.load(finished).adapt(episodes=2, steps=0)
    adapted.peek([0.1, 0.2])
    with pytest.raises(UsageError, match=r"^observation 0: policy: an observation is"):
        _circuits(adapted, {}, [observation], "openqasm3")
    with pytest.raises(UsageError, match=r"^policy: an observation is \(2,\) finite numbers, not ") as caught:
        adapted.peek(observation)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("{row1}{row2}", "ends at iteration 2; the run was trained for 3"),
        ("{row1}{row2}{torn}", "ends at iteration 2; the run was trained for 3"),
        ("{row1}{row2}{row2}{row3}", "line 3 is of iteration 2, after that of 2; the picture has no panel"),
        ("{row2}{row1}{row3}", "line 2 is of iteration 1, after that of 2; the picture has no panel"),
        ('{row1}{{"iteration": 2, "return_by_step": 7}}\n{row3}', "return_by_step: expected a list, found 7; the pic"),
        ('{row1}{{"iteration": 2, "return_by_step": []}}\n{row3}', "rows have different numbers of returns; the pict"),
    ],
)
def test_damaged_metrics_are_told(run, rows, message, tmp_path, capsys):
    file = run / "metrics.jsonl"
    lines = dict(zip(("row1", "row2", "row3"), file.read_text().splitlines(keepends=True), strict=True))
    file.write_text(rows.format(**lines, torn=lines["row3"][:30]))
    assert main(["evaluate", str(run), "--tasks", "2", "--episodes", "2", "--out", str(tmp_path / "e.json")]) == 0
    assert message in capsys.readouterr().err
