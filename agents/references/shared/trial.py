"""Options and checks of reference policies that adapt within a trial and are specific to a task family."""

from dataclasses import dataclass
from typing import TypeVar

from agents.core.context import BuildContext
from agents.core.limits import LARGEST_EPISODES
from envs.automl.lookup_tasks import LookupTasks
from envs.core.distribution import TaskDistribution
from qrl.common.checks import check_count
from qrl.common.errors import UsageError

Family = TypeVar("Family", bound=TaskDistribution)


@dataclass(frozen=True)
class TrialConfig:
    """Options of a policy that adapts within a trial."""

    episodes: int = 10
    """Episodes of a trial [episodes] (Duan et al. 2016: 10 and more)."""

    def __post_init__(self) -> None:
        check_count("episodes of a trial", self.episodes, most=LARGEST_EPISODES)


def require_family(agent: str, context: BuildContext, *families: type[Family]) -> Family:
    """Return the run's task family if it is one of `families`. Raises UsageError otherwise."""
    if not isinstance(context.distribution, families):
        supported = ", ".join(_label(family) for family in families)
        raise UsageError(f"agent {agent}: supports only {supported}, not {context.distribution.name!r}")
    return context.distribution


def _label(family: type[TaskDistribution]) -> str:
    """Name of a family in messages: the name of its file, or a common name for all lookup tasks."""
    return "lookup tasks" if issubclass(family, LookupTasks) else family.__module__.rpartition(".")[2]
