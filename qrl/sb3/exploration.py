"""Exploration schedule of DQN by episode."""

from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback

from qrl.common.errors import UsageError


class ExplorationByEpisode(BaseCallback):
    """Exploration schedule that multiplies DQN's rate of random actions by `factor` after every episode.

    The rate starts at `first` and does not fall below `last` (Skolik et al. 2022).
    """

    def __init__(self, factor: float = 0.99, last: float = 0.01, first: float = 1.0) -> None:
        super().__init__()
        if not (0 < factor <= 1 and 0 <= last <= first <= 1):
            wanted = "a factor in (0, 1] and rates in [0, 1], the last one not above the first"
            raise UsageError(f"sb3: exploration takes {wanted}, not {factor}, {last} and {first}")
        self.factor, self.last, self.rate = factor, last, first

    def _on_training_start(self) -> None:
        if not isinstance(self.model, DQN):
            raise UsageError(f"sb3: exploration by episode is for DQN, not {type(self.model).__name__}")
        # The algorithm evaluates this schedule at every step, with the remaining fraction of training.
        self.model.exploration_schedule = lambda _: self.rate
        self.model.exploration_rate = self.rate

    def _on_step(self) -> bool:
        self.rate = max(self.last, self.rate * self.factor ** int(self.locals["dones"].sum()))
        return True
