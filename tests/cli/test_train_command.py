"""`run.py train`: its options reach plug-ins and spec; invalid ones give one-line errors."""

import json
import re
from pathlib import Path

import pytest

from agents.cli.main import main
from agents.cli.train import parse_train
from agents.core.spec import Spec, default_out
from agents.runs.folder import RunFolder
from envs import bandit
from tests.support.command_line import OURS, refused, training_call


@pytest.mark.parametrize("command", [[], ["train"]])
def test_options_reach_the_three_plug_ins_and_the_spec(calls, command):
    arguments = [
        *command, *OURS, "--seed", "3", "--iterations=20", "--env.inner-steps", "4", "--agent.steps.rate=0.5",
        "--agent.no-learned", "--agent.goal", "-1", "2", "--model.estimator", "first-order", "--model.limit", "2",
    ]  # fmt: skip
    assert main(arguments) == 0
    spec, out, keywords = training_call(calls)
    assert type(spec) is Spec
    assert (spec.seed, spec.iterations) == (3, 20)
    assert spec.env_config.inner_steps == 4
    assert spec.agent_config.steps.rate == 0.5
    assert spec.agent_config.learned is False
    assert spec.agent_config.goal == (-1.0, 2.0)
    assert spec.model_config.learned is True
    assert (spec.model_config.estimator, spec.model_config.limit) == ("first-order", 2.0)
    assert spec.env == str(Path.cwd() / "place.py")
    assert out == Path("runs/place-learner-net-seed3")
    assert keywords == {
        "overwrite": False, "start_from": None, "track": (), "note": "",
        "command": ["run.py", "train", *arguments[len(command) :]],
    }  # fmt: skip


def test_defaults_may_depend_on_the_environment(calls):
    assert main([*OURS, "--env", "navigation"]) == 0
    spec, out, _ = training_call(calls)
    assert spec.agent_config.inner_steps == len("navigation")
    assert out == Path("runs/navigation-learner-net-seed0")


def test_saved_configuration_is_rerun_and_overridden(calls, tmp_path):
    main([*OURS, "--seed", "5", "--agent.steps.rate", "0.25", "--env.inner-steps", "9"])
    spec, _, _ = training_call(calls)
    folder = RunFolder.create(tmp_path / "saved", {"spec": spec.to_json()})
    Path("bare.json").write_text(json.dumps(spec.to_json()))
    for source in (str(folder.path), str(folder.path / "config.json"), "bare.json"):
        main(["--config", source, "--trust"])
        assert training_call(calls)[0] == spec
    main(["--config", "bare.json", "--trust", "--agent.goal", "0", "1", "--seed=6", "--env", "navigation"])
    again, _, _ = training_call(calls)
    assert again.agent_config == Spec.from_json({**spec.to_json(), "agent_config": {
        **spec.to_json()["agent_config"], "goal": [0, 1]}}).agent_config  # fmt: skip
    assert again.seed == 6
    # Options saved for one environment do not apply to another.
    assert again.env_config != spec.env_config
    assert again.model_config == spec.model_config


def test_help_of_a_command_shows_the_options_of_the_chosen_plug_ins(calls, capsys):
    assert main([*OURS, "--help"]) == 0
    text = " ".join(re.sub("[│|]", " ", capsys.readouterr().out).split())  # where lines break depends on paths
    for expected in (
        r"--env NAME", r"--seed N", r"--agent\.inner-steps N", r"--agent\.steps\.rate X", r"--model\.no-learned",
        r"Learning rate \[1/step\]; Finn et al\. 2017\.", r"--env\.estimator \{dice,first-order\}",
        r"Length of training \[meta-iterations\]", r"A plug-in of mine\.",
    ):  # fmt: skip
        assert re.search(expected, text), expected
    assert calls == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "nowhere.py"], "env file {cwd}/nowhere.py: No such file or directory"),
        (["--env", "navigaton"], "unknown env 'navigaton'; did you mean 'navigation'? (choices: "),
        (["--agent", "os.path"], "agent 'os.path' has no dataclass called Config: "),
        (["--env"], "--env: expected one argument"),
        (["--env="], "the name of the env is empty"),
        (["--agent", "--seed"], "--agent: expected one argument"),
        (["--agent.iner-steps", "2"], "unknown option --agent.iner-steps; did you mean --agent.inner-steps?"),
        (["--inner-steps", "2"], "unknown option --inner-steps; did you mean --"),
        (["--model.no-lerned"], "unknown option --model.no-lerned; did you mean --model.no-learned?"),
        (["--qqqq=3"], "unknown option --qqqq; `run.py train --help` lists all"),
        (["stray"], "unexpected argument 'stray'; `run.py train --help` shows what is accepted"),
        (["--agent.inner-steps", "two"], "--agent.inner-steps: expected a whole number, found 'two'"),
        (["--agent.inner-steps", "1.5"], "--agent.inner-steps: expected a whole number, found '1.5'"),
        (["--agent.inner-steps", "0"], "--agent: inner_steps must be at least 1, not 0"),
        (["--agent.inner-steps"], "--agent.inner-steps: expected one argument"),
        (["--agent.goal", "1"], "--agent.goal: expected 2 arguments"),
        (["--agent.steps.rate", "fast"], "--agent.steps.rate: expected a number, found 'fast'"),
        (["--agent.steps.rate", "nan"], "--agent.steps.rate is nan: a finite number is needed"),
        (["--env.goal", "0", "inf"], "--env.goal[1] is inf: a finite number is needed"),
        (["--agent.limit", "high"], "--agent.limit: expected a number, found 'high'"),
        (
            ["--agent.estimator", "dise"],
            "--agent.estimator: expected one of 'dice', 'first-order', found 'dise'; did you mean 'dice'?",
        ),
        (["--device", "tpu"], "--device: expected one of 'cpu', 'cuda', found 'tpu'; did you mean 'cpu'?"),
        (["--iterations", "0"], "--iterations must be at least 1, not 0"),
        (["--iterations", "-3"], "--iterations must be at least 1, not -3"),
        (["--seed", "-1"], "--seed must be at least 0, not -1"),
        (["--eval-steps", "0"], "--eval-steps must be at least 1, not 0"),
        (["--out", ""], "--out: expected a path, found ''"),
        (["--out", "x" * 300], f"{'x' * 300}: File name too long"),
        (["--config", "x" * 300], f"{'x' * 300}: File name too long"),
        (["--env", "x" * 300 + ".py"], "env file {cwd}/" + "x" * 300 + ".py: File name too long"),
        (["--agent.foo", "3"], "unknown option --agent.foo; "),
        (["--agent.itrations", "3"], "unknown option --agent.itrations; did you mean --agent."),
        (["--config", "nowhere.json"], "nowhere.json: No such file or directory"),
        (["--config", "net.py"], "net.py: not JSON, or truncated: "),
        (["--config", "."], "config.json: No such file or directory"),
    ],
)
def test_untrainable_configurations_give_one_line_errors(calls, capsys, arguments, message):
    given = [*OURS, *arguments]
    assert refused(capsys, given).startswith(message.format(cwd=Path.cwd()))
    assert calls == []


def test_configuration_file_with_invalid_values(calls, capsys):
    names = {"env": "place.py", "agent": "learner.py", "model": "net.py"}
    for change, message in (
        ({"sed": 3}, "bad.json: unknown option 'sed'; did you mean 'seed'? "),
        ({"seed": "3"}, "bad.json.seed: expected a whole number, found '3'"),
        (
            {"agent_config": {"inner_step": 3}},
            "bad.json.agent_config: unknown option 'inner_step'; did you mean 'inner_steps'? ",
        ),
        ({"agent_config": {"inner_steps": -3}}, "bad.json.agent_config: inner_steps must be at least 1, not -3"),
    ):
        Path("bad.json").write_text(json.dumps({**names, **change}))
        assert refused(capsys, ["--config", "bad.json", "--trust"]).startswith(message)
    Path("bad.json").write_text('{"seed": NaN}')
    assert refused(capsys, ["--config", "bad.json"]) == "bad.json: NaN is not a finite number"


def test_existing_run_folder_is_rejected_before_any_work(calls, capsys):
    made = RunFolder.create(default_out(Spec.default("place.py", "learner.py", "net.py")), {"spec": {}})
    assert made.path == Path("runs/place-learner-net-seed0")
    message = f"{made.path} exists and is not empty: give another --out, or --overwrite to replace that run"
    assert refused(capsys, OURS) == message
    assert refused(capsys, [*OURS, "--out", "."]).startswith(". exists and is not empty")
    assert refused(capsys, [*OURS, "--out", ".", "--overwrite"]) == ". is not a run folder: it has no config.json"
    assert refused(capsys, [*OURS, "--out", "net.py"]) == "net.py exists and is not a folder: give another --out"
    assert calls == []
    assert main([*OURS, "--overwrite"]) == 0
    assert training_call(calls)[2]["overwrite"] is True


def test_path_of_a_built_in_plug_in_is_saved_as_its_name():
    spec, *_ = parse_train(["--env", bandit.__file__, "--agent", "thompson"])
    assert spec.env == "bandit" and spec.env_config == bandit.Config()


def test_options_without_effect_are_reported(tmp_path, capsys):
    """Thompson sampling has no network and does not train; a policy from scratch has one."""
    common = ["--threads", "1", "--eval-tasks", "2", "--eval-episodes", "2"]
    bandit_run = ["--env", "bandit", "--agent", "thompson", "--model=gru", "--iterations", "5"]
    assert main([*bandit_run, *common, "--out", str(tmp_path / "a")]) == 0
    assert "warning: no effect: --model, --iterations: agent thompson" in capsys.readouterr().err
    scratch = ["--env", "navigation", "--env.horizon", "3", "--agent", "scratch", "--model", "mlp"]
    assert main([*scratch, *common, "--out", str(tmp_path / "b")]) == 0
    assert "without effect" not in capsys.readouterr().err
    assert main([*bandit_run[:4], "--eval-steps=2", *common, "--out", str(tmp_path / "c")]) == 0
    assert "warning: no effect: --eval-steps: agent thompson does not use it" in capsys.readouterr().err
