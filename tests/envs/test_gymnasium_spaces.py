"""Spaces and constructors of environments as people write them: observations, actions, masks, classes, parameters."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch

import envs
from agents.cli.main import main
from agents.core.context import build
from agents.core.spec import Spec
from agents.experiment.video import check_pictures
from envs import Choice, GymnasiumTasks, Labels, Uniform
from envs.core.check import CHECKS
from envs.core.make import make as make_family
from envs.core.registry import ENVS
from envs.wrapped.actions import action_map
from envs.wrapped.observations import beyond_bounds, flattened, vector
from envs.wrapped.task_wrapper import format_task
from qrl.common.errors import TrainingError, UsageError

EVALUATION = ["--eval-tasks", "2", "--eval-episodes", "2", "--eval-steps", "1"]
SMALL = ["--model", "mlp", "--iterations", "1", *EVALUATION]
SMALL += ["--agent.meta-batch", "2", "--agent.episodes", "2", "--threads", "1"]


class Slide(gym.Env[Any, Any]):
    """One number that a push and a drift move; subclasses have other spaces."""

    observation_space: gym.Space[Any] = gym.spaces.Box(-1, 1, (2,))
    action_space: gym.Space[Any] = gym.spaces.Discrete(2)

    def __init__(self, drift: float = 0.1) -> None:
        self.drift = drift

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.x, self.taken = float(self.np_random.uniform(-0.1, 0.1)), []
        return self.seen(), self.info()

    def seen(self) -> Any:
        return np.array([self.x, self.drift], dtype=np.float32)

    def info(self) -> dict[str, Any]:
        return {}

    def push(self, action: Any) -> float:
        return 0.1 * float(action)

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        self.taken.append(action)
        self.x += self.push(action) + self.drift
        return self.seen(), -abs(self.x), False, False, self.info()


def family(cls: type[Slide], **options: Any) -> GymnasiumTasks:
    return GymnasiumTasks(cls, {"drift": Uniform(0.0, 0.2)}, **{"horizon": 8, **options})


def passes(made: GymnasiumTasks) -> bool:
    return bool(envs.check(made))


# -- observations ------------------------------------------------------------------------------------------------------


class Leaving(Slide):
    """Observations leave their bounds."""

    def push(self, action: Any) -> float:
        return 0.5


def test_values_outside_the_bounds_pass_with_one_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = family(Leaving)
    (note,) = made.notes
    assert note.startswith("Leaving on the nominal task: entry 0 is 1.") and "outside its bounds [-1, 1]" in note
    assert made.observation_scale[0] > 4  # that of what was seen, not of the bounds
    assert passes(made) and not family(Slide, horizon=3).notes
    (tmp_path / "leaving.py").write_text(
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from tests.envs.test_gymnasium_spaces import family, Leaving\ndistribution = family(Leaving)\n"
    )
    assert main(["--env", str(tmp_path / "leaving.py"), *SMALL, "--out", str(tmp_path / "run")]) == 0
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert warned == [f"warning: {note}"]


def test_note_names_the_part_of_a_dictionary() -> None:
    space = gym.spaces.Dict({"goal": gym.spaces.Box(0, 1, (2,)), "pose": gym.spaces.Box(-2, 2, (3,))})
    seen = np.array([0, 1, -2, 2.5, 9], dtype=np.float32)
    assert beyond_bounds(space, seen) == "entry 1 of 'pose' is 2.5, outside its bounds [-2, 2]"
    assert beyond_bounds(space, np.zeros(5, dtype=np.float32)) == ""


NESTED = gym.spaces.Dict(
    {
        "arm": gym.spaces.Tuple((gym.spaces.Box(-1, 1, (2, 2)), gym.spaces.Discrete(3, start=1))),
        "bits": gym.spaces.MultiBinary(3),
        "knobs": gym.spaces.MultiDiscrete([2, 3]),
    }
)


def test_vectors_are_those_of_gymnasium() -> None:
    NESTED.seed(0)
    for _ in range(20):
        drawn = NESTED.sample()
        assert np.array_equal(vector(NESTED, drawn), gym.spaces.flatten(NESTED, drawn))
    assert flattened(NESTED).shape == (4 + 3 + 3 + 5,)


def test_other_types_are_converted() -> None:
    """Lists, whole numbers, doubles and NumPy's scalars."""
    expected = [1, 0, 0, 0.5, 0, 1, 0, 1, 0, 1, 1, 0, 0, 0, 1]
    for number in (2, np.int64(2), np.array(2, dtype=np.uint8)):
        given = {"arm": [[[1, 0], [0, 0.5]], number], "bits": [True, False, True], "knobs": (0, 2)}
        assert vector(NESTED, given).tolist() == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arm": None}, "entry 'arm' of the observation is None, not a tuple of 2 parts"),
        ({"bits": [1, 0]}, "entry 'bits' of the observation is a list of 2 values, not an array of int8 of shape"),
        ({"knobs": [0, 3]}, r"entry 'knobs' of the observation is a list .*not in the space MultiDiscrete\(\[2 3\]\)"),
        ({"arm": [np.zeros((2, 2)), 0]}, "entry 1 of entry 'arm' of the observation is the int 0, which is not in"),
        ({"more": 1}, "the observation is a dict of arm, bits, knobs, more, not a dict of arm, bits, knobs"),
    ],
)
def test_misfits_name_their_entry(change: dict[str, Any], message: str) -> None:
    given = {"arm": [np.zeros((2, 2)), 1], "bits": [1, 0, 1], "knobs": [0, 2]} | change
    with pytest.raises(UsageError, match=message):
        vector(NESTED, given)


def test_dictionaries_train(tmp_path: Path) -> None:
    class Named(Slide):
        observation_space = gym.spaces.Dict({"x": gym.spaces.Box(-5, 5, ()), "sign": gym.spaces.Discrete(2)})

        def seen(self) -> Any:
            return {"x": self.x, "sign": int(self.x > 0)}

    made = family(Named)
    observation, _ = made.vectorise(2, 1).reset(seed=0)
    assert observation.shape == (2, 3) and passes(made)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (gym.spaces.Dict({"camera": gym.spaces.Box(0, 255, (8, 8, 3), np.uint8)}), "of 'camera' are pixels of shape"),
        (gym.spaces.Tuple((gym.spaces.Discrete(2), gym.spaces.Text(4))), "observations of '1' are Text, which has no"),
    ],
)
def test_parts_without_a_vector_are_refused(space: gym.Space[Any], message: str) -> None:
    class Odd(Slide):
        observation_space = space

    with pytest.raises(UsageError, match=message):
        family(Odd)


# -- actions -----------------------------------------------------------------------------------------------------------

ACTIONS: dict[str, tuple[gym.Space[Any], int]] = {
    "start": (gym.spaces.Discrete(3, start=-1), 3),
    "multi-discrete": (gym.spaces.MultiDiscrete([2, 3], start=[0, 4]), 6),
    "multi-binary": (gym.spaces.MultiBinary(3), 8),
    "matrix of choices": (gym.spaces.MultiDiscrete(np.full((2, 2), 2)), 16),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_every_discrete_action_is_one_of_the_family(name: str) -> None:
    space, count = ACTIONS[name]
    mapped = action_map(space)
    assert mapped.space == gym.spaces.Discrete(count) and mapped.to_environment is not None
    taken = [mapped.to_environment(np.int64(action)) for action in range(count)]
    assert all(space.contains(action) for action in taken)
    assert len({tuple(np.ravel(action).tolist()) for action in taken}) == count


@pytest.mark.parametrize("name", ACTIONS)
def test_environments_receive_actions_of_their_own_space(name: str) -> None:
    class Other(Slide):
        action_space = ACTIONS[name][0]

        def push(self, action: Any) -> float:
            return 0.05 * float(np.sum(action))

    assert passes(family(Other))  # Slide asserts that its space contains each action


def test_matrix_actions_are_flattened_and_clipped() -> None:
    class Panel(Slide):
        action_space = gym.spaces.Box(
            np.array([[0, -1, 0]] * 2, np.float32), np.array([[1, 1, 9]] * 2, np.float32), dtype=np.float32
        )

        def push(self, action: Any) -> float:
            return 0.01 * float(action[1, 2])

    made = family(Panel)
    assert made.action_space.shape == (6,) and passes(made)
    env = made.vectorise(1, 1)
    before, _ = env.reset(seed=0)
    after, *_ = env.step(torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0, 20.0]]))
    assert float(after[0, 0] - before[0, 0]) == pytest.approx(0.01 * 9 + 0.1)


def test_integer_boxes_are_refused() -> None:
    class Whole(Slide):
        action_space = gym.spaces.Box(0, 3, (2,), np.int64)

    with pytest.raises(UsageError, match="actions must be Discrete, MultiDiscrete, MultiBinary or a Box of floats"):
        family(Whole)


# -- masks -------------------------------------------------------------------------------------------------------------


class EachOnce(Slide):
    """Every action can be taken once."""

    action_space = gym.spaces.Discrete(4)

    def flags(self) -> Any:
        return np.array([action not in self.taken for action in range(4)], dtype=np.int8)

    def info(self) -> dict[str, Any]:
        return {"action_mask": self.flags()}

    def step(self, action: Any) -> Any:
        if action in self.taken:
            raise ValueError(f"{action} is taken")
        observation, reward, *_, info = super().step(action)
        return observation, reward, len(self.taken) == 4, False, info


class EachOnceByMethod(EachOnce):
    def info(self) -> dict[str, Any]:
        return {}

    def action_masks(self) -> Any:
        return self.flags().astype(bool)


@pytest.mark.parametrize("cls", [EachOnce, EachOnceByMethod])
@pytest.mark.parametrize("agent", ["maml", "random"])
def test_masks_are_respected(cls: type[Slide], agent: str, tmp_path: Path) -> None:
    """In checks, training and evaluation: the environment raises for a second use of an action."""
    made = family(cls)
    assert made.invalid_action_slice == slice(2, 6) and passes(made)
    env = made.vectorise(1, 1)
    observation, _ = env.reset(seed=0)
    assert observation[0, 2:].tolist() == [0] * 4
    observation, *_ = env.step(torch.tensor([2]))
    assert observation[0, 2:].tolist() == [0, 0, 1, 0]
    envs.register("each_once", made)
    try:
        words = SMALL if agent == "maml" else EVALUATION
        assert main(["--env", "each_once", "--agent", agent, *words, "--out", str(tmp_path / "run")]) == 0
    finally:
        ENVS.unregister("each_once")


class Choosy(Slide):
    """Only the last value of each part of an action can be taken, from the first step on."""

    action_space: gym.Space[Any] = gym.spaces.Discrete(4)

    def info(self) -> dict[str, Any]:
        return {"action_mask": np.array([0, 0, 0, 1], dtype=np.int8)}

    def step(self, action: Any) -> Any:
        assert action == 3, f"{action} cannot be taken"
        return super().step(int(action))


class ChoosyInParts(Choosy):
    action_space = gym.spaces.MultiDiscrete([2, 3])

    def info(self) -> dict[str, Any]:
        return {"action_mask": ([0, 1], [0, 0, 1])}

    def step(self, action: Any) -> Any:
        assert list(action) == [1, 2], f"{action} cannot be taken"
        return Slide.step(self, action)

    def push(self, action: Any) -> float:
        return 0.1


@pytest.mark.parametrize("cls", [Choosy, ChoosyInParts])
def test_masks_of_the_first_step_hold_for_the_trial_step_and_the_checks(cls: type[Slide]) -> None:
    made = family(cls)
    build(Spec.default(env=made, agent="maml"))
    assert passes(made)


@pytest.mark.parametrize("name", ["info", "action_masks"])
def test_masks_of_a_box_are_ignored_with_one_note(name: str) -> None:
    class Boxed(Slide):
        action_space = gym.spaces.Box(-1, 1, (1,))

        def push(self, action: Any) -> float:
            return 0.01 * float(action[0])

    setattr(Boxed, name, lambda self: {"action_mask": [1]} if name == "info" else [1])
    made = family(Boxed, horizon=3)
    assert made.notes == (
        "Boxed: the environment's action masks have no effect: its actions are a Box, of which none is masked",
    )
    assert made.invalid_action_slice is None and not any("masks" in note for note in family(EachOnce).notes)


@pytest.mark.parametrize("agent", ["sb3_ppo", "cross_entropy"])
def test_agents_without_masks_are_refused(agent: str) -> None:
    spec = Spec.default(env=family(EachOnce), agent=agent)
    with pytest.raises(UsageError, match=f"agent {agent} takes no action masks, which EachOnce has"):
        build(spec)


def test_masks_of_another_shape_are_refused() -> None:
    class Short(EachOnce):
        def flags(self) -> Any:
            return np.ones(3, dtype=np.int8)

    with pytest.raises(
        UsageError, match=r"info\['action_mask'\] must be 4 numbers, 0 or 1, not an array of shape \(3,"
    ):
        family(Short)


# -- classes, fixed values, words, paths -------------------------------------------------------------------------------

SPRING = """
import gymnasium as gym
import numpy as np

class World:
    def __init__(self):
        self.gravity, self.masses = -9.81, [1.0, 2.0]

class Spring(gym.Env):
    observation_space = gym.spaces.Box(-99, 99, (4,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, stiffness=1.0, windy=False, course="short", scale=1):
        self.stiffness, self.windy, self.course, self.scale = stiffness, windy, course, scale
        self.world = World()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.seen(), {}

    def seen(self):
        length = {"short": 1, "long": 2, "steep": 3}[self.course]
        wind = {True: 1, False: 0}[self.windy]
        return np.array([self.stiffness, wind + length, self.world.gravity, self.world.masses[1] * self.scale])

    def step(self, action):
        return self.seen(), 0.0, False, False, {}
"""


@pytest.fixture
def spring(tmp_path: Path) -> str:
    (tmp_path / "spring.py").write_text(SPRING)
    return str(tmp_path / "spring.py")


def seen(made: Any, **task: Any) -> list[float]:
    observation, _ = made.vectorise(1, 1).reset(options={"tasks": made.task(task)})
    return [round(float(value), 4) for value in observation[0]]


def test_class_in_a_file_is_a_family(
    spring: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name in (spring, f"{spring}:Spring", "spring:Spring"):
        made = make_family(name, vary=("stiffness=0.5:3",), horizon=4)
        assert (made.name, list(made.parameters), made.nominal) == ("Spring", ["stiffness"], {"stiffness": 1.0})
        assert seen(made, stiffness=2.5)[0] == 2.5
    out = tmp_path / "run"
    words = ["--vary", "stiffness=0.5:3", "--env.horizon", "4", *SMALL]
    assert main(["--env", f"{spring}:Spring", *words, "--out", str(out)]) == 0
    assert main(["evaluate", str(out), "--tasks", "2"]) == 0
    capsys.readouterr()
    assert main(["--env", f"{spring}:Sprin", *words, "--out", str(tmp_path / "other")]) == 2
    assert "no attribute 'Sprin'; did you mean 'Spring'?" in capsys.readouterr().err


def test_file_with_several_classes_names_them(spring: str) -> None:
    Path(spring).write_text(SPRING + "\nclass Other(Spring):\n    pass\n")
    with pytest.raises(UsageError, match=r"several classes .*; choose one of spring\.py:Spring, spring\.py:Other"):
        envs.make(spring)


def test_environments_of_the_package_gym_are_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("gym")
    exec("class Env:\n    pass\n", vars(package))
    monkeypatch.setitem(sys.modules, "gym", package)  # removed afterwards
    (tmp_path / "old.py").write_text("import gym\n\nclass Stock(gym.Env):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    message = "Stock is an environment of the package gym; inherit from gymnasium.Env, or wrap it with shimmy's"
    with pytest.raises(UsageError, match=message):
        envs.make(str(tmp_path / "old.py"))
    from old import Stock  # type: ignore[import-not-found]

    with pytest.raises(UsageError, match=message):
        GymnasiumTasks(lambda k: Stock(), {"k": Uniform(0, 1)}, horizon=3)


@pytest.mark.parametrize(("method", "wanted"), [("reset", r"reset\(\*, seed=None"), ("step", "step that returns")])
def test_a_missing_method_is_named(method: str, wanted: str) -> None:
    members = {name: getattr(Slide, name) for name in ("__init__", "reset", "step", "seen", "info", "push")}
    spaces = {"observation_space": Slide.observation_space, "action_space": Slide.action_space}
    members.pop(method)
    bare = type("Bare", (gym.Env,), members | spaces)
    for make in (bare, lambda drift: gym.wrappers.TransformReward(bare(drift), float)):
        with pytest.raises(UsageError, match=f"Bare has no method {method}; write {wanted}"):
            GymnasiumTasks(make, {"drift": Uniform(0, 1)}, horizon=3)


def test_a_missing_render_is_named() -> None:
    class Blind(Slide):
        metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}

        def __init__(self, drift: float = 0.1, render_mode: str | None = None) -> None:
            super().__init__(drift)
            self.render_mode = render_mode

    made = family(Blind)
    with pytest.raises(UsageError, match="Blind has no method render, which pictures need"):
        check_pictures(made, None)


def test_private_classes_of_a_file_are_no_choices(spring: str) -> None:
    Path(spring).write_text(SPRING.replace("class Spring(gym.Env)", "class _Base(gym.Env): ...\n\nclass Spring(_Base)"))
    assert make_family(spring, vary=("stiffness=0.5:3",), horizon=4).name == "Spring"


def test_choices_have_words_and_paths(spring: str) -> None:
    choices = "choices: course, masses.0, scale, stiffness, windy, world.gravity"
    Path(spring).write_text(SPRING.replace("self.world = World()", "self.world = World(); self.masses = [1.0]"))
    with pytest.raises(UsageError, match=f"unknown parameter 'colour'.*{choices}"):
        make_family(spring, vary=("colour=red,blue",), horizon=4)


def test_fixed_values_of_any_type(spring: str) -> None:
    fixed = ("windy=true", "course=long", "scale=3", "world.gravity=-1.5")
    made = make_family(spring, vary=("stiffness=0.5:3",), fixed=fixed, horizon=4)
    assert seen(made, stiffness=2) == [2, 3, -1.5, 6]
    for text, message in (
        ("wind=true", "unknown parameter 'wind'; did you mean 'windy'"),
        ("windy", "--set: 'windy' is not of the form NAME=VALUE, such as windy=true"),
        ("stiffness=2", "'stiffness' is both fixed and a parameter"),
    ):
        with pytest.raises(UsageError, match=message):
            make_family(spring, vary=("stiffness=0.5:3",), fixed=(text,), horizon=4)
    with pytest.raises(UsageError, match="a value that does not vary is --set windy=True"):
        make_family(spring, vary=("windy=True",), horizon=4)


def test_words_and_booleans_vary(spring: str) -> None:
    made = make_family(spring, vary=("course=steep,long", "windy=true,false"), horizon=4)
    assert made.parameters == {"course": Labels(("steep", "long")), "windy": Choice((0, 1))}
    assert [seen(made, course=c, windy=w)[1] for c in (0, 1) for w in (0, 1)] == [3, 4, 2, 3]
    drawn = made.sample(400, "train", np.random.default_rng(0)).course
    assert 0.4 < float(drawn.mean()) < 0.6 and set(drawn.tolist()) == {0, 1}
    assert passes(made) and made.parameters["course"].describe() == "{steep, long}"
    with pytest.raises(UsageError, match="words cannot be out of distribution"):
        make_family(spring, vary=("course=steep,long",), ood=("course=short,other",), horizon=4)


def test_messages_name_words() -> None:
    """Of parameters that do not matter, and of tasks on which an environment fails."""

    class Windy(Slide):
        faulty = False

        def __init__(self, windy: str = "no") -> None:
            super().__init__()
            self.windy = windy

        def step(self, action: Any) -> Any:
            if self.faulty and self.windy == "yes":
                raise ValueError("gust")
            return super().step(action)

    class Infinite(Windy):
        infinite = False

        def seen(self) -> Any:
            return super().seen() + (np.inf if self.infinite else 0)

    vary = {"windy": Labels(("yes", "no"))}
    with pytest.raises(UsageError, match="observations, rewards and ends are equal at yes and no"):
        envs.check(GymnasiumTasks(Windy, vary, horizon=3))
    made = GymnasiumTasks(Windy, vary, horizon=3)
    Windy.faulty = True
    with pytest.raises(UsageError, match="on the task windy=yes: ValueError: gust"):
        GymnasiumTasks(Windy, vary, horizon=3)
    env = made.vectorise(1, 1)
    env.reset(options={"tasks": made.task({"windy": 0})})
    with pytest.raises(TrainingError, match="at step 1 of an episode on the task windy=yes: ValueError: gust"):
        env.step(torch.tensor([0]))
    Windy.faulty = False
    made = GymnasiumTasks(Infinite, vary, horizon=3)
    Infinite.infinite = True
    with pytest.raises(UsageError, match=r"not finite.* windy=(yes|no)"):
        CHECKS["reproducible"](made)


def test_tasks_are_formatted_whatever_their_values() -> None:
    task = {"a": 0.12345678, "b": np.array([1.00000001, 2.0]), "c": True, "d": "short", "e": 3}
    assert format_task(task) == "a=0.123457, b=[1.0, 2.0], c=True, d=short, e=3"


def test_paths_reach_attributes_of_attributes(spring: str) -> None:
    made = make_family(spring, vary=("world.gravity=-15:-5", "world.masses.1=1:3"), horizon=4)
    assert made.nominal == {"world.gravity": -9.81, "world.masses.1": 2.0}
    env, rows = (
        made.vectorise(3, 1),
        [{"world.gravity": g, "world.masses.1": m} for g, m in ((-6, 1), (-7, 2), (-8, 3))],
    )
    for order in (rows, rows[::-1]):  # made on one task, then set to another
        tasks = envs.Tasks.from_rows(order)
        observation, _ = env.reset(options={"tasks": tasks})
        assert observation[:, 2:].tolist() == [[row["world.gravity"], row["world.masses.1"]] for row in order]
    for text, message in (
        ("world.gravty=1:2", "'world.gravty': no 'gravty' in World; did you mean 'gravity'"),
        ("world.masses=1:2", "world.masses is no number but list: it has 2 entries; name one, such as world.masses.1"),
        ("world.masses.7=1:2", "no entry '7'; expected a number from 0 to 1"),
    ):
        with pytest.raises(UsageError, match=message):
            make_family(spring, vary=(text,), horizon=4)


def test_sensitivity_check_can_be_skipped_for_any_environment(spring: str) -> None:
    class Ignoring(Slide):
        def seen(self) -> Any:
            return np.array([self.x, 0], dtype=np.float32)

        def step(self, action: Any) -> Any:
            self.drift = 0.0
            return super().step(action)

    made = family(Ignoring)
    with pytest.raises(UsageError, match="8 episodes of random actions do not show that parameter 'drift' matters"):
        envs.check(made)
    exempt = made.without_sensitivity_check(["drift"])
    assert envs.check(exempt) and made.skip_sensitivity_check == ()
    with pytest.raises(UsageError, match="unknown parameter 'drft'; did you mean 'drift'"):
        made.without_sensitivity_check(["drft"])


def test_masks_must_not_come_and_go() -> None:
    class Lost(Slide):
        def info(self) -> dict[str, Any]:
            return {} if len(self.taken) == 2 else {"action_mask": np.ones(2)}

    with pytest.raises((UsageError, TrainingError), match="the info has no 'action_mask' in this step"):
        family(Lost)
