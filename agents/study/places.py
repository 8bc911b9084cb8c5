"""Places where the runs of a study are trained: this machine, or those of a Ray."""

from contextlib import AbstractContextManager, nullcontext

from agents.study import executor
from agents.study.executor import Executor
from agents.study.on_ray import RayExecutor
from qrl.common.checks import shown
from qrl.common.errors import UsageError


def place(ray: bool | str) -> AbstractContextManager[Executor]:
    """Return the executor of a study: processes of this machine, or jobs on Ray.

    Args:
        ray: whether to use a Ray of this machine, or the address of another one.

    Raises:
        UsageError: Ray is not installed, or the value is none of an address.
    """
    if not isinstance(ray, bool | str):
        raise UsageError(f"ray: expected True or an address, such as 'auto', found {shown(ray)}")
    if ray is False:
        return nullcontext(executor.LocalProcesses())
    return RayExecutor(None if ray is True else ray)
