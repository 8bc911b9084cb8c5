"""Trained parameters of a learner, by their names in the checkpoint."""

from torch import Tensor

from agents.core.agent import Learner


def trained(agent: Learner) -> dict[str, Tensor]:
    """Return the trained parameters, not copies."""
    return {n.removeprefix("params/"): t for n, t in agent.state_dict().items() if n.startswith("params/")}
