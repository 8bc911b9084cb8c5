"""The adaptation curve: return on held-out tasks against the number of updates, with its uncertainty."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats

from agents._rollout import Adapter
from agents._setting import torch_generator
from agents._train import adaptation
from qrl.errors import UsageError

CONFIDENCE = 0.95
RESAMPLES = 10_000
MAX_LANES = 2_000
"""Environments stepped together; more tasks are evaluated in turn, so that memory does not grow with their number."""


@dataclass(frozen=True)
class Curve:
    """What evaluation.json holds.

    Over tasks, at each x: `mean`; `ci_low` and `ci_high`, the 95 % percentile bootstrap interval of that mean; `iqm`,
    the interquartile mean; `worst_decile`, the mean of the worst tenth. `episodes` and `env_steps` are spent per task
    on adapting up to x. `per_task` is [task][x], each the mean return over episodes.
    """

    env: str
    agent: str
    model: str
    split: str
    n_tasks: int
    seed: int
    axis: str
    x: list[int]
    episodes: list[int]
    env_steps: list[float]
    mean: list[float]
    ci_low: list[float]
    ci_high: list[float]
    iqm: list[float]
    worst_decile: list[float]
    per_task: list[list[float]]

    def to_json(self) -> dict[str, Any]:
        """The content of evaluation.json."""
        return asdict(self)

    @property
    def label(self) -> str:
        """A name for legends."""
        return self.agent if self.agent == "random" else f"{self.agent}, {self.model}"

    def table(self) -> str:
        """The curve as text."""
        names = (self.axis.replace("_", " "), "episodes", "mean", "95 % interval", "IQM", "worst 10 %")
        header = " ".join(name.rjust(width) for name, width in zip(names, (14, 9, 9, 20, 9, 11), strict=True))
        rows = zip(
            self.x, self.episodes, self.mean, self.ci_low, self.ci_high, self.iqm, self.worst_decile, strict=True
        )
        lines = [
            f"{x:>14} {episodes:>9} {mean:>9.2f} {f'[{low:.2f}, {high:.2f}]':>20} {iqm:>9.2f} {worst:>11.2f}"
            for x, episodes, mean, low, high, iqm, worst in rows
        ]
        return "\n".join([header, *lines])


def adaptation_curve(
    adapter: Adapter,
    distribution: Any,
    *,
    names: tuple[str, str, str] = ("", "", ""),
    n_tasks: int = 100,
    steps: int = 3,
    episodes: int = 40,
    split: str = "test",
    seed: int = 0,
    device: str = "cpu",
) -> Curve:
    """Return of `adapter` after 0 to `steps` updates from `episodes` episodes each, on `n_tasks` tasks of a split.

    Every task starts from the adapter's initial state. Test and ood tasks do not depend on `seed`, which only seeds
    the episodes; train tasks are new draws. `names` are those of env, agent and model. Raises UsageError for fewer than
    two tasks, from which there is no interval, and for a split that the family does not have.
    """
    if n_tasks < 2:
        raise UsageError(f"evaluate: an interval over tasks needs at least 2 tasks, not {n_tasks}")
    if steps < 1 or episodes < 1:
        raise UsageError(f"evaluate: steps and episodes must be at least 1, not {steps} and {episodes}")
    streams = np.random.SeedSequence(seed).spawn(3)
    tasks = distribution.sample(n_tasks, split, np.random.default_rng(streams[0]))
    rng, generator = np.random.default_rng(streams[1]), torch_generator(streams[2], device)
    together = max(1, MAX_LANES // episodes)
    returns: list[np.ndarray] = []
    taken = np.zeros(steps + 1)
    for first in range(0, n_tasks, together):
        part = tasks[first : first + together]
        env = distribution.vectorise(len(part), episodes, device)
        rollouts, _ = adaptation(env, adapter, part, steps + 1, rng, generator)
        returns.append(torch.stack([r.returns.mean(-1) for r in rollouts], dim=-1).double().cpu().numpy())
        taken += [rollout.n_steps for rollout in rollouts]
    per_task = np.concatenate(returns)
    low, high = bootstrap_interval(per_task)
    return Curve(
        *names,
        split=split,
        n_tasks=n_tasks,
        seed=seed,
        axis="gradient_steps",
        x=list(range(steps + 1)),
        episodes=[episodes * x for x in range(steps + 1)],
        env_steps=[0.0, *(np.cumsum(taken)[:-1] / n_tasks).tolist()],
        mean=per_task.mean(0).tolist(),
        ci_low=low,
        ci_high=high,
        iqm=stats.trim_mean(per_task, 0.25).tolist(),
        worst_decile=np.sort(per_task, axis=0)[: max(1, n_tasks // 10)].mean(0).tolist(),
        per_task=per_task.tolist(),
    )


def bootstrap_interval(per_task: np.ndarray | Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    """Ends of the 95 % percentile bootstrap interval of the mean over tasks; values are [task, x]."""
    values = np.asarray(per_task)
    result = stats.bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, confidence_level=CONFIDENCE, method="percentile", rng=0
    )
    interval = result.confidence_interval
    return np.atleast_1d(interval.low).tolist(), np.atleast_1d(interval.high).tolist()


def paired_gain(curve: Curve, x: int) -> tuple[float, float, float]:
    """Mean gain from 0 to x updates over the same tasks, with its 95 % bootstrap interval."""
    values = np.asarray(curve.per_task)
    gain = values[:, [x]] - values[:, [0]]
    low, high = bootstrap_interval(gain)
    return float(gain.mean()), low[0], high[0]
