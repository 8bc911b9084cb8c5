"""Study files in TOML."""

from pathlib import Path

import pytest

from agents.study.file import read_request
from agents.study.request import Variant
from qrl.common.errors import UsageError

WHOLE = """
out = "studies/whole"
seeds = [3, 5]
jobs = 2
envs = ["navigation", "cartpole"]
agents = ["maml"]

[options]
iterations = 5
agent.inner_steps = 2
"policy.head" = "auto"

[grid]
"agent.clip" = [0.1, 0.2]
agent.estimator = ["dice", "lvc"]

[[variants]]
name = "plain"

[[variants]]
name = "classical"
options = { model = "mlp", "model.budget" = 100, "agent.learn-step-sizes" = false }
"""


def request_of(text: str, path: Path):
    path.write_text(text)
    return read_request(path)


def test_every_key(tmp_path):
    request = request_of(WHOLE, tmp_path / "study.toml")
    assert (request.out, request.seeds, request.jobs) == (Path("studies/whole"), (3, 5), 2)
    assert request.names == {"env": ("navigation", "cartpole"), "agent": ("maml",)}
    assert [each.words for each in request.settings] == [
        ("--iterations=5",), ("--agent.inner-steps=2",), ("--policy.head=auto",)]  # fmt: skip
    assert {name: [each.text for each in axis] for name, axis in request.grid.items()} == {
        "agent.clip": ["0.1", "0.2"], "agent.estimator": ["dice", "lvc"]}  # fmt: skip
    plain, classical = request.variants
    assert plain == Variant("plain")
    assert (classical.name, classical.names) == ("classical", {"model": "mlp"})
    assert [each.words for each in classical.settings] == [("--model.budget=100",), ("--agent.no-learn-step-sizes",)]
    assert request.file == tmp_path / "study.toml"
    assert request.typed == frozenset()


def test_missing_keys_have_defaults(tmp_path):
    request = request_of("[options]", tmp_path / "study.toml")
    assert (request.seeds, request.jobs, request.out, request.names) == ((0,), None, None, {})
    assert request.variants == (Variant(),)
    assert request_of("seeds = 3", tmp_path / "study.toml").seeds == (0, 1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modells = ['mlp']", "unknown option 'modells'; did you mean 'models'? (choices: agents, envs, grid, jobs, "),
        ("[[variants]]\nname = 'a'\nopts = {}", ".variants[0]: unknown option 'opts'; did you mean 'options'?"),
        ("[[variants]]\noptions = {}", ": variants: a variant needs a name, or a plug-in of its own"),
        ("[[variants]]\nname = ''", ": variants: a variant needs a name, or a plug-in of its own"),
        ("variants = [{options = {model = 'mlp'}}, {options = {model = 'mlp'}}]", ": variants: mlp is given twice"),
        ("variants = [{name='a'}, {name='a'}]", ": variants: a is given twice"),
        ("models = 'mlp'", ".models: expected a list, found 'mlp'"),
        ("models = ['mlp', 'mlp']", ": models: mlp is given twice"),
        ("seeds = 'x'", ": seeds: expected a number of seeds, such as 10, or seeds, such as 3,5,7; found 'x'"),
        ("seeds = 2.5", ": seeds: expected a number of seeds"),
        ("seeds = true", ": seeds: expected a number of seeds"),
        ("models = []", ": models: expected at least one, found none: there would be no runs"),
        ("seeds = []", ": seeds: expected at least one, found none: there would be no runs"),
        ("seeds = [1, 1]", ": seeds: 1 is given twice"),
        ("jobs = 0", ": jobs must be at least 1, not 0"),
        ("grid = {'agent.clip' = 1}", ": grid: agent.clip: expected a list of values, found 1"),
        ("grid = {'agent.clip' = []}", ": grid: agent.clip has no values: there would be no runs"),
        ("grid = {'agent.clip' = [1, 1]}", ": grid: agent.clip: 1 is given twice"),
        ("options = {shots = 2026-01-01}", ": options: shots: expected a number, a string, true, false or a list"),
        ("options = {seed = 1}", ": seed is no option of single runs in a study: give seeds"),
        ("options = {model = 'mlp'}", ": model is no option of single runs in a study: give models"),
        ("options = {'--trust' = true}", ": trust is not taken from a study file: give --trust on the command line"),
        ("options = {config = 'x'}", ": config is not taken from a study file: give --config on the command line"),
        ("grid = {overwrite = [true]}", ": overwrite is not taken from a study file: give --overwrite"),
        ("variants = [{name='a', options={trust=true}}]", ": trust is not taken from a study file"),
        ("options = {'noise' = ['x', '--trust']}", ": options: noise: '--trust' is an option, no value"),
        ("variants = [{name='a', options={shots=1}}]\ngrid = {shots=[1]}", ": shots is an axis of the grid and "),
        ("seeds = ", ": not TOML: Invalid value (at end of document)"),
        (f"seeds = {'9' * 5000}", ": not TOML: a number has thousands of digits"),
        (f"seeds = 0x{'f' * 5000}", ".seeds must be at most 9223372036854775807, not a number of about 6,021 digits"),
        (f"options = {{shots = 0x{'f' * 5000}}}", ": options: shots: a number of about 6,021 digits is too large"),
        (f"models = [[0x{'f' * 5000}]]", ".models[0]: expected a string, found a list with a number of thousands of "),
        (f"options = {'[' * 5000}", ": not TOML: nested too deeply"),
        (f"options{'.a' * 5000} = 1", ": nested too deeply"),
        ("# nothing\n", ": empty: expected at least one of out, seeds, jobs, envs, agents, models, options, grid, "),
        ("envs = []", ": envs: expected at least one, found none: there would be no runs"),
        ("agents = []", ": agents: expected at least one, found none: there would be no runs"),
        ("variants = []", ": variants: expected at least one, found none: there would be no runs"),
    ],
)  # fmt: skip
def test_refusals(tmp_path, text, message):
    path = tmp_path / "study.toml"
    with pytest.raises(UsageError) as refused:
        request_of(text, path)
    assert str(refused.value).startswith(f"{path}{message}" if message[0] in ":." else f"{path}: {message}")


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    for name, message in {"missing.toml": "No such file or directory", "bytes.toml": "not TOML"}.items():
        with pytest.raises(UsageError, match=f"{name}: {message}"):
            read_request(tmp_path / name)
