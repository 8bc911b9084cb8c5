"""What a learner has trained, by the names of its checkpoint."""

from torch import Tensor

from agents.core.agent import Learner


def trained(agent: Learner) -> dict[str, Tensor]:
    """The trained parameters themselves, not copies."""
    return {n.removeprefix("params/"): t for n, t in agent.state_dict().items() if n.startswith("params/")}
