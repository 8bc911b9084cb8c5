"""Custom environments on the command line: checks, saved origins, and errors during a run."""

import re
import signal
from pathlib import Path

import pytest

import agents
import envs
from agents.cli.main import main
from agents.cli.train import parse_train
from agents.core.context import build
from agents.core.registry import AGENTS
from agents.experiment.loop import Training
from agents.runs.folder import RunFolder
from envs.core.registry import ENVS
from qrl.common.errors import UsageError

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.usefixtures("no_pictures")]

SMALL = ["--iterations", "3", "--checkpoint-every", "1", "--threads", "1", "--eval-tasks", "2", "--eval-episodes", "2",
         "--agent.meta-batch", "3", "--agent.episodes", "3", "--agent.epochs", "1"]  # fmt: skip

MINE = """
import gymnasium
import numpy as np
import envs


class Slope(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-100, 100, (1,))
    action_space = gymnasium.spaces.Discrete(2)
    steps_so_far = 0

    def __init__(self, slope=0.0, inert=0.0):
        self.slope = slope

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = self.np_random.uniform(-1, 1)
        return np.array([self.position], dtype=np.float32), {}

    def step(self, action):
        type(self).steps_so_far += 1
        FAULT
        self.position += action - 0.5 + self.slope
        return np.array([self.position], dtype=np.float32), -abs(self.position), False, False, {}


distribution = envs.GymnasiumTasks(Slope, {RANGES}, horizon=5)
"""


def write(path: Path, fault: str = "pass", ranges: str = '"slope": envs.Uniform(-1, 1)') -> str:
    path.write_text(MINE.replace("FAULT", fault).replace("RANGES", ranges))
    return str(path)


def test_inert_parameter_stops_the_run_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = write(tmp_path / "mine.py", ranges='"slope": envs.Uniform(-1, 1), "inert": envs.Uniform(1, 2)')
    assert main(["--env", mine, *SMALL, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "do not show that parameter 'inert' matters" in error
    assert not (tmp_path / "run").exists()


def test_parameters_can_be_exempt_from_the_sensitivity_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--env", "MountainCar-v0", "--vary", "goal_position=0.3:0.5", "--env.horizon", "20", *SMALL, "--out"]
    assert main([*arguments, str(tmp_path / "run")]) == 2
    assert "--env.skip-sensitivity-check goal_position (in Python" in capsys.readouterr().err
    assert main([*arguments, str(tmp_path / "run"), "--env.skip-sensitivity-check", "goal_position"]) == 0


def test_non_reproducible_environment_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = write(tmp_path / "mine.py", fault="self.position += np.random.default_rng().normal()")
    assert main(["--env", mine, *SMALL, "--out", str(tmp_path / "run")]) == 2
    assert "give different episodes" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_error_in_the_environment_ends_the_run_and_keeps_the_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calm = write(tmp_path / "calm.py")
    assert main(["--env", calm, *SMALL, "--out", str(tmp_path / "calm")]) == 0
    family = envs.make(calm)
    taken = family.factory._class.steps_so_far  # type: ignore[attr-defined]
    evaluated = 2 * 2 * 4 * 5
    # Sometime in the last iteration: 3 tasks, 3 episodes, 2 rollouts, 5 steps.
    late = taken - evaluated - 20
    mine = write(tmp_path / "mine.py", fault=f"assert type(self).steps_so_far != {late}, 'worn out'")
    capsys.readouterr()
    assert main(["--env", mine, *SMALL, "--out", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "the environment raised at step " in error and "on the task slope=" in error
    assert "AssertionError: worn out (mine.py, line" in error
    assert RunFolder.open(tmp_path / "run").checkpoints.load().iteration == 2


def test_keyboard_interrupt_of_an_environment_is_no_ctrl_c(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        mine = write(tmp_path / "mine.py", fault="raise KeyboardInterrupt")
        assert main(["--env", mine, *SMALL, "--out", str(tmp_path / "run")]) == 2
    finally:
        signal.signal(signal.SIGINT, before)
    error = capsys.readouterr().err
    assert "Slope on the nominal task: KeyboardInterrupt" in error and error.count("\n") == 1


def test_limit_of_a_step_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--env", "CartPole-v1", "--vary", "gravity=5:15", *SMALL, "--out", str(tmp_path / "run")]
    assert main([*arguments, "--env.step-timeout", "-1"]) == 2
    assert "step_timeout [s] must be between 0, no limit, and 1e+06, not -1.0" in capsys.readouterr().err
    spec, *_ = parse_train([*arguments, "--env.step-timeout", "20"])
    distribution, _ = build(spec)
    assert distribution.factory.step_timeout == 20


def test_run_saves_the_origin_of_its_environment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = write(tmp_path / "mine.py")
    out = tmp_path / "run"
    assert main(["--env", mine, *SMALL, "--out", str(out)]) == 0
    origin = RunFolder.open(out).config["origins"]["env"]
    assert origin["from"] == "file" and origin["path"] == mine and len(origin["sha256"]) == 64
    evaluate = ["evaluate", str(out), "--tasks", "2", "--episodes", "2"]
    capsys.readouterr()
    assert main(evaluate) == 0 and capsys.readouterr().err == ""
    write(tmp_path / "mine.py", fault="self.position += 0.1")
    assert main(evaluate) == 2 and "has changed since you last trained with it" in capsys.readouterr().err
    assert main([*evaluate, "--env", mine]) == 0
    assert f"warning: {out}: the file of env, {mine}, has changed since training\n" == capsys.readouterr().err
    with pytest.warns(UserWarning, match="has changed since training"):
        agents.load(out, trust=True)
    (tmp_path / "mine.py").unlink()
    assert main(evaluate) == 2 and f"{out}: the file of env, {mine}, with" in capsys.readouterr().err


def test_registered_environment_must_be_registered_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, distribution = tmp_path / "run", envs.make(write(tmp_path / "mine.py"))
    envs.register("sloping", distribution)
    try:
        assert main(["--env", "sloping", *SMALL, "--out", str(out)]) == 0
        assert RunFolder.open(out).config["origins"]["env"] == {"from": "registered in Python"}
    finally:
        ENVS.unregister("sloping")
    capsys.readouterr()
    assert main(["evaluate", str(out)]) == 2
    assert "env 'sloping' was registered in Python: register it again" in capsys.readouterr().err
    with pytest.raises(UsageError, match="registered in Python"):
        agents.load(out)
    envs.register("sloping", distribution)
    try:
        assert agents.load(out).evaluate(tasks=2, episodes=2).n_tasks == 2
    finally:
        ENVS.unregister("sloping")


def test_origins_of_built_in_and_gymnasium_environments(tmp_path: Path) -> None:
    assert ENVS.origin("navigation") == {"from": "this library"}
    assert ENVS.origin("CartPole-v1") == {"from": "name"}
    assert AGENTS.origin("agents.maml")["path"].endswith("maml.py")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "navigation", "--vary", "goal_x=1:2"], "--vary: env 'navigation' has no such option"),
        (["--env", "navigation", "--workers", "2"], "--workers: env 'navigation' has no such option"),
        (["--env", "CartPole-v1", "--vary"], "--env.vary/--vary: expected at least one argument"),
        (["--env", "CartPole-v1", "--vary", "gravity=15:5"], "--vary gravity: Uniform: low must be below high"),
        (["--env", "CartPole-v1", "--vary", "gravity=1:5", "--ood", "gravity=4:6"], "gravity, .*, overlaps|overlap"),
        (["--env", "CartPole-v1", "--vary", "gravity=1:5", "--workers", "-2"], "workers must be at least 0, not -2"),
        (
            ["--env", "CartPole-v1", "--vary", "gravity=1:5", "--ood", "length=1:2"],
            "--ood length: the parameter needs a train range",
        ),
        (["--env", "CartPole-v1", "--vary", "gravity=1:5", "--env.horizon", "-3"], "at least 1, or 0 for the environ"),
        (
            ["--env", "qrl/CartPole-v0", "--vary", "gravity=1:5"],
            "is a task distribution of this library: use --env cartpole",
        ),
        (["--env", "CartPole-v9", "--vary", "gravity=1:5"], "did you mean 'CartPole-v1'"),
        (
            ["--env", "ALE/Pong-v5", "--vary", "gravity=1:5"],
            "registers ALE/ and put its name before a colon: PACKAGE:",
        ),
    ],
)
def test_invalid_input_gives_a_one_line_error(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, *SMALL, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(message, error), error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "distributon = 3",
            "no task distribution called .*, no class of environments, and no Config and build; 'distributon' may be",
        ),
        ("", "no task distribution called 'distribution', no class of environments, and no Config and build$"),
        ("distribution = None", "'distribution' must be a task distribution, not None"),
        ("distribution = 3", "'distribution' must be a task distribution, not 3"),
    ],
)
def test_file_without_a_distribution_is_reported(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(UsageError, match=message):
        envs.make(str(tmp_path / "mine.py"))


def test_invalid_names_for_registration() -> None:
    distribution = envs.make("navigation")
    for name in ("CartPole-v1", "CartPole-v77", "navigation"):
        with pytest.raises(UsageError, match=f"env '{name}' cannot be registered: the name is already taken"):
            envs.register(name, distribution)


def test_repeated_shorthands_form_one_option() -> None:
    spec, *_ = parse_train(
        ["--vary", "gravity=1:5", "--env", "CartPole-v1", "--seed", "3", "--vary=length=1:2", "--vary", "masspole=1,2",
         "--ood", "gravity=-11:-6"]
    )  # fmt: skip
    assert spec.env_config.vary == ("gravity=1:5", "length=1:2", "masspole=1,2") and spec.seed == 3
    assert spec.env_config.ood == ("gravity=-11:-6",)


def test_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    spec, *_ = parse_train(["--env", write(tmp_path / "mine.py"), *SMALL])
    whole = Training(spec, *build(spec))
    rows = [whole.step() for _ in range(3)]
    first = Training(spec, *build(spec))
    assert [first.step() for _ in range(2)] == rows[:2]
    folder = RunFolder.create(tmp_path / "run", {"spec": spec.to_json()})
    first.save(folder)
    second = Training(spec, *build(spec))
    second.load(folder.checkpoints.load())
    assert second.step() == rows[2]
