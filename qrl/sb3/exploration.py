"""Exploration schedule of DQN by episode."""

from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback

from qrl.common.errors import UsageError


class ExplorationByEpisode(BaseCallback):
    """Exploration schedule that multiplies DQN's rate of random actions by `decay` after every episode.

    The rate starts at `initial` and does not fall below `final` (Skolik et al. 2022).
    """

    def __init__(self, decay: float = 0.99, final: float = 0.01, initial: float = 1.0) -> None:
        super().__init__()
        if not (0 < decay <= 1 and 0 <= final <= initial <= 1):
            wanted = "a decay in (0, 1] and rates 0 <= final <= initial <= 1"
            raise UsageError(f"sb3: exploration needs {wanted}, not {decay=}, {final=}, {initial=}")
        self.decay, self.final, self.rate = decay, final, initial

    def _on_training_start(self) -> None:
        if not isinstance(self.model, DQN):
            raise UsageError(f"sb3: exploration by episode is for DQN, not {type(self.model).__name__}")
        # The algorithm evaluates this schedule at every step, with the remaining fraction of training.
        self.model.exploration_schedule = lambda _: self.rate
        self.model.exploration_rate = self.rate

    def _on_step(self) -> bool:
        self.rate = max(self.final, self.rate * self.decay ** int(self.locals["dones"].sum()))
        return True
