"""Files of environments as their authors have them: functions, wrappers, neighbours, arguments without default."""

import sys
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch

import envs
from agents.cli.main import main
from envs import Choice, GymnasiumTasks, Integer, Uniform
from envs.core.make import make
from qrl.common.errors import UsageError
from qrl.common.importing import import_file

SOURCE = """
import abc
import gymnasium as gym
import numpy as np
from gymnasium import Env

class Base(gym.Env, abc.ABC):
    @abc.abstractmethod
    def seen(self): ...

class Price(Base):
    observation_space = gym.spaces.Box(-99, 99, (2,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, table, fee, options=None, windy=False):
        options = {} if options is None else options
        self.table, self.fee, self.windy = table, fee, windy
        self.first = options.pop("first", 0.0)
        self.label, self.days = "none", {1: 1.5}

    def seen(self):
        return np.array([self.table[0] + self.fee, self.first + self.windy + self.days[1]])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.seen(), {}

    def step(self, action):
        return self.seen(), 0.0, False, False, {}

class Doubled(gym.RewardWrapper):
    def reward(self, reward):
        return 2 * reward

def make(fee, first=0.0):
    return Doubled(Price([1.0], fee, {"first": first}))

env = make(0.0)
"""


@pytest.fixture
def price(tmp_path: Path) -> str:
    (tmp_path / "price.py").write_text(SOURCE)
    return str(tmp_path / "price.py")


def first(made: GymnasiumTasks, **task: Any) -> list[float]:
    observation, _ = made.vectorise(1, 1).reset(options={"tasks": made.task(task)})
    return [round(float(value), 4) for value in observation[0]]


# -- arguments ---------------------------------------------------------------------------------------------------------


def test_abstract_classes_and_wrappers_are_no_choices(price: str) -> None:
    made = make(price, vary=("fee=0:1",), fixed=("table=[2,3]",), horizon=3)
    assert (made.name, first(made, fee=0.5)) == ("Price", [2.5, 1.5])


def test_lists_and_objects_are_values_in_json(price: str) -> None:
    given = ("table=[2,3]", 'options={"first":4}', "windy=1")
    made = make(price, vary=("fee=0:1",), fixed=given, horizon=3)
    # Each environment has a dict of its own: the constructor takes an entry out of it.
    assert [first(made, fee=fee) for fee in (0.5, 0.25)] == [[2.5, 6.5], [2.25, 6.5]]
    with pytest.raises(UsageError, match=r"--set table: '\[2,' is not JSON, such as \[1,2\]"):
        make(price, vary=("fee=0:1",), fixed=("table=[2,",), horizon=3)


def test_argument_without_default_is_named(price: str) -> None:
    with pytest.raises(UsageError, match="Price: argument 'table' has no default; give its value, --set table=VALUE"):
        make(price, vary=("fee=0:1",), horizon=3)
    with pytest.raises(UsageError, match="make: argument 'fee' has no default"):
        make(f"{price}:make", horizon=3)


@pytest.mark.parametrize("value", ["no", "", "2"])
def test_only_booleans_stand_for_booleans(price: str, value: str) -> None:
    with pytest.raises(UsageError, match="windy must be true or false, not "):
        make(price, vary=("fee=0:1",), fixed=("table=[2]", f"windy={value}"), horizon=3)


def test_attributes_of_any_type_can_be_fixed(price: str) -> None:
    made = make(price, vary=("fee=0:1",), fixed=("table=[2]", "label=short"), horizon=3)
    assert made.make().unwrapped.label == "short"  # type: ignore[attr-defined]


def test_paths_through_keys_that_are_numbers(price: str) -> None:
    made = make(price, vary=("days.1=0:3",), fixed=("table=[2]", "fee=1"), horizon=3)
    assert first(made, **{"days.1": 2.0}) == [3.0, 2.0]
    with pytest.raises(UsageError, match=r"'days' is no number but dict; name a number in it, such as days.1"):
        make(price, vary=("days=0:3",), fixed=("table=[2]", "fee=1"), horizon=3)


def test_entries_of_tuples_cannot_vary() -> None:
    class Pair(Plain):
        def __init__(self) -> None:
            self.pair = (0.1, 0.2)

    with pytest.raises(UsageError, match=r"pair.0 cannot be set: a tuple cannot change; make it a list"):
        GymnasiumTasks(Pair, {"pair.0": Uniform(0, 1)}, horizon=3)


# -- functions, instances, names ---------------------------------------------------------------------------------------


def test_function_in_a_file_is_a_family(price: str, tmp_path: Path) -> None:
    made = make(f"{price}:make", vary=("fee=0:1",), fixed=("first=3",), horizon=3)
    assert (made.name, first(made, fee=0.5)) == ("make", [1.5, 4.5])
    with pytest.raises(UsageError, match="make: unknown parameter 'frst'; did you mean 'first'"):
        make(f"{price}:make", vary=("fee=0:1",), fixed=("frst=3",), horizon=3)
    words = ["--vary", "fee=0:1", "--set", "first=3", "--env.horizon", "3", "--model", "mlp", "--iterations", "1"]
    words += ["--agent.meta-batch", "2", "--agent.episodes", "2", "--eval-tasks", "2", "--eval-episodes", "2"]
    out = str(tmp_path / "run")
    assert main(["--env", f"{price}:make", *words, "--threads", "1", "--out", out]) == 0
    assert main(["evaluate", out, "--tasks", "2"]) == 0


def test_fixed_values_of_a_function() -> None:
    def build(drift: float, start: float = 0.0) -> gym.Env[Any, Any]:
        return Plain(drift + start)

    assert first(GymnasiumTasks(build, {"drift": Uniform(0, 1)}, fixed={"start": 2.0}, horizon=3), drift=0.5) == [2.5]


def test_environment_in_place_of_its_class(price: str) -> None:
    with pytest.raises(UsageError, match=r"price.py:env': is an environment; name its class, such as Price, or a func"):
        make(f"{price}:env", horizon=3)


def test_functions_and_imported_classes_are_named(tmp_path: Path) -> None:
    (tmp_path / "few.py").write_text("from gymnasium.envs.classic_control import CartPoleEnv\ndef build(): ...\n")
    with pytest.raises(UsageError, match=r"imported class, name it: few.py:CartPoleEnv, few.py:build"):
        make(str(tmp_path / "few.py"), horizon=3)


def test_ids_without_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "registers_price.py").write_text(
        "import gymnasium\ngymnasium.register('Pole', 'gymnasium.envs.classic_control:CartPoleEnv')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert make("registers_price:Pole", vary=("gravity=5:15",), horizon=3).name == "registers_price:Pole"
    finally:
        del gym.registry["Pole"]
    with pytest.raises(UsageError, match="no attribute 'Pol'"):
        make("registers_price:Pol", vary=("gravity=5:15",), horizon=3)


# -- modules that are not found ----------------------------------------------------------------------------------------


def test_module_near_the_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_mine.py").write_text("")
    file = tmp_path / "mine.py"
    file.write_text("import neighbour_of_mine\n")
    place = rf"it lies in {tmp_path}: put this folder on the module path, PYTHONPATH={tmp_path}"
    with pytest.raises(UsageError, match=f"No module named 'neighbour_of_mine'; {place}"):
        import_file("env", file, file.read_bytes())
    file.write_text("import mine\n")  # the file itself is none
    with pytest.raises(UsageError, match=r"No module named 'mine'$"):
        import_file("env", file, file.read_bytes())


def test_module_in_the_working_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "registers_here.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    for name in ("registers_here:Here-v0", "registers_here:Here"):
        with pytest.raises(UsageError, match=f"it lies in {tmp_path}: put this folder on the module path"):
            make(name)


def test_file_of_a_package_is_named_as_a_module(tmp_path: Path) -> None:
    folder = tmp_path / "pack" / "sub"
    folder.mkdir(parents=True)
    for each in (folder, folder.parent):
        (each / "__init__.py").write_text("")
    (folder / "mine.py").write_text("from .other import x\n")
    with pytest.raises(UsageError, match=f"as a module of its package: pack.sub.mine:NAME, with PYTHONPATH={tmp_path}"):
        make(str(folder / "mine.py"))


def test_gym_has_a_successor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gym", None)
    (tmp_path / "old.py").write_text("import gym.spaces\n")
    with pytest.raises(UsageError, match="Gymnasium has succeeded gym: write `import gymnasium as gym`"):
        make(str(tmp_path / "old.py"))


# -- spaces and results ------------------------------------------------------------------------------------------------


class Plain(gym.Env[Any, Any]):
    """Observes its drift."""

    observation_space: Any = gym.spaces.Box(-9, 9, (1,))
    action_space: Any = gym.spaces.Discrete(2)

    def __init__(self, drift: float = 0.1) -> None:
        self.drift = drift

    def seen(self) -> Any:
        return np.array([self.drift], dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.seen(), {}

    def step(self, action: Any) -> Any:
        return self.seen(), float(np.sum(action)), False, False, {}


def family(cls: type[Plain], **changes: Any) -> GymnasiumTasks:
    return GymnasiumTasks(type(cls.__name__, (cls,), changes), {"drift": Uniform(0.0, 0.2)}, horizon=4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observation_space": None}, r"observation_space must be a space such as .* not None"),
        ({"action_space": 2}, r"action_space must be a space such as .* before the first reset, not 2"),
        ({"observation_space": gym.spaces.Box(0, 1, (0,))}, r"observations have no entries, shape \(0,\)"),
        ({"action_space": gym.spaces.Box(-1, 1, (0,))}, "actions must be Discrete, .*TransformAction in a function"),
        ({"seen": lambda self: [np.array([0.1])]}, r"is a list of 1 values of shape \(1, 1\), not an array"),
        ({"seen": lambda self: [[0.1], 2]}, "is a list of 2 values, whose shapes differ, not an array"),
        ({"reset": lambda self, seed=None: (self.seen(), {})}, "reset takes no options: this is the interface"),
    ],
)
def test_messages_name_the_cause(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        family(Plain, **changes)


def test_value_outside_a_discrete_space_is_named() -> None:
    with pytest.raises(
        UsageError, match=r"shape \(2,\) and type int64, \[3 0\], which is not in the space MultiDiscrete"
    ):
        family(Plain, observation_space=gym.spaces.MultiDiscrete([3, 3]), seen=lambda self: np.array([3, 0]))


def test_spaces_before_and_after_are_named() -> None:
    class Grown(Plain):
        def __init__(self, size: int = 2) -> None:
            self.observation_space = gym.spaces.Box(0, 9, (size,))

        def seen(self) -> Any:
            return np.zeros(self.observation_space.shape)

    with pytest.raises(
        UsageError, match=r"from Box\(0.0, 9.0, \(2,\), float32\) to Box\(0.0, 9.0, \([45],\), float32\)"
    ):
        GymnasiumTasks(Grown, {"size": Choice((4, 5))}, horizon=3)


def test_tensors_that_record_gradients_are_observations() -> None:
    made = family(Plain, seen=lambda self: torch.tensor([self.drift], requires_grad=True))
    assert first(made, drift=0.15) == [0.15]


def test_boards_of_bytes_are_no_pixels() -> None:
    board = gym.spaces.Box(0, 2, (3, 3), np.uint8)
    made = family(Plain, observation_space=board, seen=lambda self: np.full((3, 3), self.drift > 0.1, np.uint8))
    assert first(made, drift=0.15) == [1] * 9


def test_bounds_may_be_left_where_the_probes_did_not() -> None:
    made = GymnasiumTasks(Plain, {"drift": Uniform(0, 1)}, ood={"drift": Uniform(20, 30)}, horizon=3)
    assert not made.notes and envs.check(made)


def test_environment_that_disables_gradients_leaves_the_library_its_own() -> None:
    class Frozen(Plain):
        def step(self, action: Any) -> Any:
            torch.set_grad_enabled(False)
            return super().step(action)

    env = family(Frozen).vectorise(1, 1)
    env.reset(seed=0)
    env.step(torch.tensor([1]))
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("by_function", [False, True])
def test_environment_may_have_a_render_mode_of_its_own(by_function: bool) -> None:
    class Drawn(Plain):
        metadata: ClassVar[dict[str, Any]] = {"render_modes": ["human", "rgb_array"]}

        def __init__(self, drift: float = 0.1, render_mode: str = "human") -> None:
            self.drift, self.render_mode = drift, render_mode

    def build(drift: float) -> gym.Env[Any, Any]:
        return Drawn(drift)

    made = GymnasiumTasks(build if by_function else Drawn, {"drift": Uniform(0, 1)}, horizon=3)
    assert envs.check(made) and made.make().render_mode == "human"
    assert by_function or made.make(render_mode="rgb_array").render_mode == "rgb_array"


# -- masks -------------------------------------------------------------------------------------------------------------

PAIRS = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
JOINT = np.array([[1, 0, 1], [0, 1, 1]], dtype=np.int8)
BY_PART = [True, False, True, False, True]


class Masked(Plain):
    """Raises for an action that its mask excludes."""

    action_space = gym.spaces.MultiDiscrete([2, 3])
    allowed: tuple[Any, ...] = ()

    def step(self, action: Any) -> Any:
        key = tuple(action.tolist()) if isinstance(action, np.ndarray) else int(action)
        if key not in self.allowed:
            raise ValueError(f"{key} cannot be taken")
        observation, reward, *_ = super().step(action)
        return observation, reward, False, False, self.info()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=seed)[0], self.info()

    def info(self) -> dict[str, Any]:
        return {}


def with_info(mask: Any) -> dict[str, Any]:
    return {"info": lambda self: {"action_mask": mask}}


BY_PARTS_ALLOWED = ((0, 0), (0, 2))
IN_DICT = {
    "action_space": gym.spaces.Discrete(3),
    "observation_space": gym.spaces.Dict(a=gym.spaces.Box(-9, 9, (1,)), action_mask=gym.spaces.Box(0, 1, (3,))),
    "seen": lambda self: {"a": np.array([self.drift]), "action_mask": np.array([0.0, 1.0, 1.0])},
}


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        (with_info(JOINT), ((0, 0), (0, 2), (1, 1), (1, 2))),
        (with_info(np.array(BY_PART)), BY_PARTS_ALLOWED),
        (with_info((np.array([1, 0]), np.array([1, 0, 1]))), BY_PARTS_ALLOWED),
        (with_info([[1, 0], [1, 0, 1]]), BY_PARTS_ALLOWED),
        (with_info([np.array([1, 0]), np.array([1, 0, 1])]), BY_PARTS_ALLOWED),
        ({"action_space": gym.spaces.MultiBinary(2), **with_info([[1, 0], [0, 1]])}, ((0, 1),)),
        ({"action_masks": lambda self: BY_PART}, BY_PARTS_ALLOWED),
        ({"action_masks": property(lambda self: BY_PART)}, BY_PARTS_ALLOWED),
        ({"action_space": gym.spaces.MultiBinary(2), **with_info([1, 0, 0, 1])}, ((0, 1),)),
        (IN_DICT, (1, 2)),
    ],
)
def test_masks_of_every_form_are_respected(changes: dict[str, Any], allowed: tuple[Any, ...]) -> None:
    """The environment raises otherwise, in the constructor's probes and in the checks."""
    made = family(Masked, **changes, allowed=allowed)
    assert envs.check(made)
    observation, _ = made.vectorise(1, 1).reset(seed=0)
    n = int(made.action_space.n)  # type: ignore[union-attr]
    actions = {6: PAIRS, 4: [(0, 0), (0, 1), (1, 0), (1, 1)], 3: [0, 1, 2]}[n]
    assert observation[0, -n:].tolist() == [float(action not in allowed) for action in actions]


def test_masks_of_parts_have_their_shapes() -> None:
    with pytest.raises(UsageError, match=r"info\['action_mask'\] must be 5 numbers, 0 or 1, not a list of 6 values"):
        family(Masked, **with_info([1] * 6), allowed=tuple(PAIRS))
    with pytest.raises(UsageError, match=r"must be 3 numbers, 0 or 1, not a list of 2 values"):
        family(Masked, **with_info([[0, 1], [1, 0]]), allowed=tuple(PAIRS))
    with pytest.raises(UsageError, match=r"must be 5 numbers, 0 or 1, not a list of 3 values"):
        family(Masked, **with_info([[0, 1], [1, 0, 1], [1]]), allowed=tuple(PAIRS))


def test_no_mask_and_no_valid_action() -> None:
    """In a dead end any action will do; an attribute that is None is no mask."""
    made = family(Masked, **with_info([0] * 5), allowed=tuple(PAIRS))
    assert first(made, drift=0.1) == [0.1] + [0] * 6
    assert family(Masked, action_masks=None, allowed=tuple(PAIRS)).invalid_action_slice is None


def test_integers_reach_arguments_without_default() -> None:
    class Sized(Plain):
        def __init__(self, size: int) -> None:
            self.drift = float([0, 1, 2][size])

    assert first(GymnasiumTasks(Sized, {"size": Integer(0, 2)}, horizon=3), size=2) == [2]
