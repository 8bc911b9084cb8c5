"""The native families under Gymnasium's own names: `gymnasium.make("qrl/CartPole-v0", task={"gravity": 12})`.

A family's id is that of the class in its file: `class CartPole(TorchTasks)` in envs/cartpole.py is `qrl/CartPole-v0`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym

if TYPE_CHECKING:
    from envs.native.arrays import ArrayVectorEnv
    from envs.native.vector import SingleEnv

_FAMILY = re.compile(r"^class (\w+)\(TorchTasks\):", re.MULTILINE)


def ids() -> dict[str, str]:
    """The id of each native family of the folder, by the family's name. The files are read, not imported."""
    files = sorted(path for path in Path(__file__).parent.parent.glob("*.py") if not path.name.startswith("_"))
    classes = {path.stem: _FAMILY.search(path.read_text(encoding="utf-8")) for path in files}
    return {name: f"qrl/{match[1]}-v0" for name, match in classes.items() if match}


def register_all() -> None:
    """Make every native family known to `gymnasium.make` and `gymnasium.make_vec`."""
    for name, id in ids().items():
        if id not in gym.registry:
            here = "envs.native.registration"
            gym.register(id, f"{here}:make", kwargs={"family": name}, vector_entry_point=f"{here}:make_vec")


def make(
    family: str, task: Mapping[str, Any] | None = None, render_mode: str | None = None, **options: Any
) -> "SingleEnv":
    """What `gymnasium.make` calls.

    Args:
        family: its name.
        task: values of some parameters; the others are nominal.
        render_mode: "rgb_array" where the family has pictures, or None.
        options: the fields of the family's `Config`, such as `horizon`.

    Raises:
        UsageError: an unknown option, parameter or render mode.
    """
    from envs import make as make_family
    from envs.native.vector import SingleEnv

    return SingleEnv(_native(make_family(family, **options)), task, render_mode)


def make_vec(
    family: str,
    num_envs: int = 1,
    task: Mapping[str, Any] | None = None,
    autoreset_mode: gym.vector.AutoresetMode | str = gym.vector.AutoresetMode.NEXT_STEP,
    render_mode: str | None = None,
    **options: Any,
) -> "ArrayVectorEnv":
    """What `gymnasium.make_vec` calls; `autoreset_mode` is one of Gymnasium's, the other arguments as in `make`.

    Raises:
        UsageError: as in `make`; any render mode.
    """
    from envs import make as make_family
    from envs.native.arrays import ArrayVectorEnv
    from qrl.common.errors import UsageError

    if render_mode is not None:
        raise UsageError(f"{family}: many environments at once have no pictures; gymnasium.make has, of one")
    return ArrayVectorEnv(_native(make_family(family, **options)), num_envs, task, autoreset_mode)


def _native(distribution: Any) -> Any:
    from envs.native.torch_tasks import TorchTasks

    assert isinstance(distribution, TorchTasks)
    return distribution
