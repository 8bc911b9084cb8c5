"""Options shared by several algorithms: those of the inner update, of PPO, and of meta-learners with both."""

import math
from dataclasses import dataclass, field
from typing import Literal

from agents.core.options import Options
from qrl.common.errors import UsageError
from qrl.common.options import only_with, tunable

Baseline = Literal["leave-one-out", "linear", "none"]


@dataclass(frozen=True)
class InnerConfig(Options):
    """Options of the inner update; agents extend them."""

    episodes: int = 20
    """Episodes per task and rollout [episodes] (Finn et al. 2017)."""
    inner_step_size: float = field(default=0.1, metadata=tunable(0.01, 10, log=True))
    """Initial inner step size [per unit of the gradient of the mean standardised advantage] (Finn et al. 2017: 0.1)."""
    extra_step_decay: float = field(default=0.3, metadata=tunable(0.05, 1))
    """Factor on the step sizes in inner updates after those that are meta-trained (ours; Finn et al. 2017: 0.5)."""
    baseline: Baseline = "leave-one-out"
    """Baseline of the advantages: leave-one-out (Kool et al. 2019) or linear (Duan et al. 2016, but cross-fitted);
    neither biases the policy gradient."""
    discount: float = field(default=0.99, metadata=tunable(0.9, 1))
    """Discount factor of the returns in training [per step] (Finn et al. 2017)."""
    standardise_inner: bool = True
    """Divide inner advantages by each task's root mean square (after Finn et al. 2017), so that step sizes do not
    depend on the scale of the reward."""
    memory_budget: float = 2.0
    """Memory for the graph of a meta-gradient [GiB]; the gradient is accumulated over chunks of tasks that fit."""
    chunk_tasks: int = 0
    """Tasks per chunk [tasks; 0 = from memory_budget]; changes results only within rounding."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("episodes",), lambda value: value >= 1, "at least 1")
        positive = ("inner_step_size", "memory_budget", "extra_step_decay")
        self.require(positive, lambda value: 0 < value < math.inf, "finite and positive")
        self.require(("chunk_tasks",), lambda value: value >= 0, "not negative")
        self.require(("discount",), lambda value: 0 < value <= 1, "in (0, 1]")
        if self.episodes < 2 and self.baseline != "none":
            raise UsageError(f"agent {self.agent}: baseline {self.baseline} needs at least 2 episodes")


@dataclass(frozen=True)
class PPOConfig(Options):
    """Options of epochs of PPO."""

    epochs: int = field(default=3, metadata=tunable(1, 10))
    """PPO epochs on the data of a meta-iteration [epochs] (ours; Schulman et al. 2017: 3 to 15)."""
    clip: float = field(default=0.2, metadata=tunable(0.05, 0.4))
    """PPO clip range of the ratio (Schulman et al. 2017)."""
    target_kl: float = field(default=0.02, metadata=tunable(0.002, 0.2, log=True))
    """Target KL(old || new) per meta-iteration, to which the learning rates adapt [nat; 0 = constant rates, no limit]
    (after the adaptive penalty of Schulman et al. 2017; `agents.KLAdaptiveAdam`)."""
    entropy_bonus: float = field(default=0.0, metadata=tunable(0, 0.1))
    """Weight of the entropy [per nat] (ours)."""
    lr_angles: float = field(default=0.01, metadata=tunable(0.001, 0.1, log=True))
    """Adam learning rate of circuit angles, hidden weights and phases [rad per step] (Jerbi et al. 2021)."""
    lr_scales: float = field(default=0.05, metadata=tunable(0.001, 0.2, log=True))
    """Adam learning rate of input scales, projections and frequencies [per step] (ours; Jerbi et al. 2021: 0.1)."""
    lr_heads: float = field(default=0.02, metadata=tunable(0.001, 0.2, log=True))
    """Adam learning rate of read-out and head [per step] (ours; Jerbi et al. 2021: 0.1)."""
    max_grad_norm: float = 0.5
    """Maximum norm of the gradient [0 = no limit] (ours)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("epochs",), lambda value: value >= 1, "at least 1")
        self.require(("clip",), lambda value: 0 < value < math.inf, "finite and positive")
        not_negative = ("lr_angles", "lr_scales", "lr_heads", "max_grad_norm", "target_kl", "entropy_bonus")
        self.require(not_negative, lambda value: 0 <= value < math.inf, "finite and not negative")

    def rate(self, group: str) -> float:
        """Return the learning rate of a group of parameters: "angles", "scales" or "heads"."""
        return {"angles": self.lr_angles, "scales": self.lr_scales, "heads": self.lr_heads}[group]


@dataclass(frozen=True)
class MetaConfig(InnerConfig, PPOConfig):
    """Options of the inner update and of an outer step by PPO."""

    meta_batch: int = 20
    """Tasks per meta-iteration [tasks] (20 to 40 in Finn et al. 2017)."""
    learn_step_sizes: bool = True
    """Learn a step size for each parameter (Meta-SGD, Li et al. 2017); otherwise all stay at inner_step_size."""
    lr_step_sizes: float = field(
        default=0.01, metadata=only_with(learn_step_sizes=True) | tunable(0.001, 0.1, log=True)
    )
    """Adam rate of the inner step sizes [per step] (ours)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("meta_batch",), lambda value: value >= 1, "at least 1")
        self.require(("lr_step_sizes",), lambda value: 0 <= value < math.inf, "finite and not negative")
        if not self.learn_step_sizes:
            self.refuse(("lr_step_sizes",), "learn_step_sizes false")
