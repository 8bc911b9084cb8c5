"""Adaptation curve: return on held-out tasks against the number of updates or episodes, with confidence intervals."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, get_args

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from torch.nn.functional import pad

from agents.core.agent import Agent, InContextAgent, MemoryBoundAgent, NetworkAgent, State
from agents.core.confidence import CONFIDENCE
from agents.core.context import seed_shots, torch_generator
from agents.core.plain import from_plain
from agents.core.rollout import Rollout
from agents.core.spec import Spec
from agents.experiment.certificate import Certificate, certificate_of, count_successes
from agents.experiment.loop import collect_and_adapt
from agents.experiment.memory import check_rollouts
from envs import TaskDistribution
from envs.core.distribution import Split
from envs.core.quantum_data import QuantumDataFamily
from envs.core.task_vector import TaskVectorEnv
from qrl.common.checks import check_choice, check_count
from qrl.common.errors import UsageError
from qrl.common.memory import check_fits
from qrl.common.registry import short_name

RESAMPLES = 10_000
LARGEST_BATCH = 20_000_000
"""Maximum number of values per batch of bootstrap resamples."""
RETURN_BYTES = 100
"""Memory of a mean return in a curve: an array's entry, a Python number, and its text in evaluation.json [bytes]."""
MAX_LANES = 2_000
"""Maximum number of environments stepped in parallel; tasks beyond it are evaluated in turn to bound the memory."""


AXES = ("gradient_steps", "episodes", "evaluations")
"""Quantities on the axis x of a curve."""
Vectorise = Callable[[int, int, str], TaskVectorEnv]
"""Function that makes an environment for a number of tasks, of episodes per task, and a torch device."""
FRESH = 0xF2E5_2026
"""Key of the random streams of fresh episodes; no other stream has it."""
STATISTICS = ("mean", "ci_low", "ci_high", "iqm", "worst_decile")
"""Fields of a curve with a statistic over tasks at each x."""


@dataclass(frozen=True)
class Curve:
    """Adaptation curve, the content of evaluation.json.

    The axis `x` counts updates; for an in-context agent, it counts the episodes of a trial, from 1. Statistics over
    tasks at each x are `mean`; `ci_low` and `ci_high`, the 95 % percentile bootstrap interval of the mean; `iqm`, the
    interquartile mean; and `worst_decile`, the mean of the worst tenth. Entries `per_task` [task][x] are mean returns
    over episodes, or over trials. Adaptation up to x takes `episodes` and `env_steps` per task. The agent was trained
    for `iteration` meta-iterations; `model` is empty for an agent without a network. Mean returns of other agents on
    the same tasks are `references`; `fractions` are this agent's fractions of their returns, each a mean with its 95 %
    interval. Exactly known mean returns of references over the whole task distribution are `exact`. The options of the
    task family are `env_options`; `backend` describes the backend of the circuits, `policy` the policy network
    (`qrl.policies.summary.PolicySummary`). On quantum data, `certificate` tests the success rate against any classical
    memory.
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
    iteration: int = 0
    references: dict[str, list[float]] = field(default_factory=dict)
    fractions: dict[str, list[float]] = field(default_factory=dict)
    exact: dict[str, list[float]] = field(default_factory=dict)
    env_options: dict[str, Any] = field(default_factory=dict)
    backend: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    certificate: Certificate | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the content of evaluation.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: object, where: str = "evaluation") -> "Curve":
        """Return the curve of an evaluation.json, also of an earlier version; `where` names it in errors.

        Raises:
            UsageError: the data are not those of a curve: a key is missing or unknown, a value has the wrong type, a
                number is not finite, or lengths differ.
        """
        renamed = {"tries": "evaluations", "forgetful": "memory_reset"}
        if not isinstance(data, Mapping):
            raise UsageError(f"{where}: not the evaluation of a run: expected a JSON object")
        values = dict(data)
        for key in ("references", "fractions"):
            if isinstance(named := values.get(key), Mapping):
                values[key] = {renamed.get(name, name): value for name, value in named.items()}
        if isinstance(axis := values.get("axis"), str):
            values["axis"] = renamed.get(axis, axis)
        try:
            curve = from_plain(cls, values, "")
            curve.check()
        except UsageError as error:
            raise UsageError(f"{where}: not the evaluation of a run: {error}") from error
        return curve

    def check(self) -> None:
        """Raise UsageError unless the curve is consistent: lists have a value for each x, counts are in range."""
        check_choice("curve", "axis", self.axis, AXES)
        check_choice("curve", "split", self.split, get_args(Split))
        for name in ("n_tasks", "seed", "iteration"):
            check_count(name, getattr(self, name), least=0)
        if not self.x or self.x != sorted({*self.x}):
            raise UsageError(f"x: expected increasing numbers, found {self.x}")
        if self.per_task and len(self.per_task) != self.n_tasks:  # Summaries in results leave the tasks out.
            raise UsageError(f"per_task has {len(self.per_task)} tasks, n_tasks is {self.n_tasks}")
        lists = {name: getattr(self, name) for name in (*STATISTICS, "episodes", "env_steps")}
        lists |= {f"per_task[{index}]": row for index, row in enumerate(self.per_task)}
        lists |= {f"references.{name}": row for name, row in self.references.items()}
        lists |= {f"exact.{name}": row for name, row in self.exact.items()}
        for name, values in lists.items():
            if len(values) != len(self.x):
                raise UsageError(f"{name} has {len(values)} values, x has {len(self.x)}")
        for name, values in self.fractions.items():
            if len(values) != 3 or name not in self.references:
                raise UsageError(f"fractions.{name}: expected a mean and the ends of its interval, of a reference")
        if self.certificate and len(self.certificate.by_x) != len(self.x):
            raise UsageError(f"certificate.by_x has {len(self.certificate.by_x)} values, x has {len(self.x)}")

    @property
    def score(self) -> float:
        """Number by which agents of one kind are ranked: the mean return after all updates; in context, over all x."""
        return self.mean[-1] if self.axis == "gradient_steps" else sum(self.mean) / len(self.mean)

    @property
    def label(self) -> str:
        """Name of the curve in legends."""
        return f"{self.agent}, {self.model}" if self.model else self.agent

    @property
    def digits(self) -> int:
        """Number of printed decimals: more for small values, because accuracies and fidelities differ in the third."""
        return 2 if max(map(abs, self.mean)) >= 2 else 4

    def table(self) -> str:
        """Format the curve as a table."""
        rows = zip(
            *([text.rjust(width) for text in (name, *cells)] for name, width, cells in self._columns()), strict=True
        )
        return "\n".join(map(" ".join, rows))

    def to_csv(self) -> str:
        """Format the curve as CSV: one row for each x, in full precision, with the bounds of the interval apart."""
        columns = {
            self.axis: self.x,
            "episodes_before": self.episodes,
            "mean": self.mean,
            "ci_low": self.ci_low,
            "ci_high": self.ci_high,
            "iqm": self.iqm,
            "worst_decile": self.worst_decile,
        }
        rows = zip(*columns.values(), strict=True)
        return "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n"

    def to_latex(self) -> str:
        """Format the table as a LaTeX tabular."""
        columns = [[name.replace("%", r"\%"), *cells] for name, _, cells in self._columns()]
        header, *rows = (" & ".join(cells) + r" \\" for cells in zip(*columns, strict=True))
        begin = rf"\begin{{tabular}}{{{'r' * len(columns)}}}"
        return "\n".join([begin, r"\hline", header, r"\hline", *rows, r"\hline", r"\end{tabular}"]) + "\n"

    def _columns(self) -> list[tuple[str, int, list[str]]]:
        """Return name, width in the table, and cells of each column."""
        n = f".{self.digits}f"
        intervals = [f"[{low:{n}}, {high:{n}}]" for low, high in zip(self.ci_low, self.ci_high, strict=True)]
        columns: list[tuple[str, int, list[str]]] = [
            (self.axis.replace("_", " "), 14, [str(x) for x in self.x]),
            ("episodes before", 15, [str(count) for count in self.episodes]),
            ("mean", 9, [f"{value:{n}}" for value in self.mean]),
            ("95 % interval", 20, intervals),
            ("IQM", 9, [f"{value:{n}}" for value in self.iqm]),
            ("worst 10 %", 11, [f"{value:{n}}" for value in self.worst_decile]),
        ]
        if self.axis == "evaluations":  # all of them are in one episode
            del columns[1]
        return columns


@dataclass(frozen=True)
class EvaluationPlan:
    """Evaluation protocol: tasks, adaptation and seed."""

    n_tasks: int = 100
    steps: int = 3
    """Updates [gradient steps]."""
    episodes: int = 40
    """Episodes per task and update [episodes]; for an in-context agent, trials per task [trials]."""
    split: str = "test"
    seed: int = 0
    device: str = "cpu"
    training_seed: int | None = None
    """Seed of training, if the episodes must be fresh: their random streams then differ from those of training with any
    seed, from those of validations, and between training seeds. Without it, they depend on `seed` only, which agents
    have in common."""

    @property
    def streams(self) -> list[np.random.SeedSequence]:
        """Random streams of train tasks, environments, actions and shots."""
        fresh = () if self.training_seed is None else (FRESH, self.training_seed)
        return np.random.SeedSequence(self.seed, spawn_key=fresh).spawn(4)


def adaptation_curve(
    agent: Agent[State],
    distribution: TaskDistribution,
    plan: EvaluationPlan | None = None,
    *,
    names: tuple[str, str, str] = ("", "", ""),
    vectorise: Vectorise | None = None,
) -> Curve:
    """Return the curve of `agent` after 0 to `steps` updates of `episodes` episodes each, on tasks of a split.

    For an in-context agent, the curve is the return of each episode of a trial, averaged over `episodes` trials per
    task. If a trial is one episode and each of its steps evaluates a candidate
    (`TaskDistribution.steps_are_evaluations`), the curve is the cumulative return at each step.

    Every task starts from the agent's initial state. The seed of the plan seeds the episodes only: held-out tasks do
    not depend on it, and train tasks are new draws. A family with fewer tasks than requested contributes each task
    once, so that the interval counts no task twice. A single task is repeated, and the interval is over repetitions.
    The argument `names` gives the names of env, agent and model; `vectorise` makes the environments, by default
    `distribution.vectorise`. Raises UsageError for fewer than two tasks, which give no interval, and for a split that
    the family does not have.
    """
    plan = plan or EvaluationPlan()
    evaluated = evaluate_returns(agent, distribution, plan, vectorise)
    per_task, axis = evaluated.per_task, evaluated.axis
    n_tasks, n_x = per_task.shape
    low, high = bootstrap_interval(per_task)
    first, each = {"gradient_steps": (0, plan.episodes), "episodes": (1, 1), "evaluations": (1, 0)}[axis]
    return Curve(
        *names,
        split=plan.split,
        n_tasks=n_tasks,
        seed=plan.seed,
        axis=axis,
        x=list(range(first, first + n_x)),
        episodes=[each * index for index in range(n_x)],
        env_steps=[0.0, *np.cumsum(evaluated.steps)[:-1].tolist()],
        mean=per_task.mean(0).tolist(),
        ci_low=low,
        ci_high=high,
        iqm=stats.trim_mean(per_task, 0.25).tolist(),
        worst_decile=np.sort(per_task, axis=0)[: max(1, n_tasks // 10)].mean(0).tolist(),
        per_task=per_task.tolist(),
        certificate=_certificate(distribution, evaluated, n_tasks * plan.episodes),
    )


def names_of(spec: Spec, agent: object) -> tuple[str, str, str]:
    """Return the names of env, agent and model for a curve; the last one is empty for an agent without a network."""
    model = short_name(spec.model) if isinstance(agent, NetworkAgent) else ""
    return short_name(spec.env), short_name(spec.agent), model


def check_evaluation(
    agent: object, distribution: TaskDistribution, n_tasks: int, steps: int, episodes: int, device: str
) -> None:
    """Raise UsageError if an evaluation would exceed the memory of its torch device, or its returns this machine's."""
    trial = agent.trial_episodes if isinstance(agent, InContextAgent) else None
    together = min(n_tasks, max(1, MAX_LANES // episodes))
    check_rollouts("evaluate", agent, distribution, together, episodes, 1 if trial else steps + 1, device)
    n_x = trial or steps + 1
    check_fits("evaluate", f"the returns of {n_tasks:,} tasks at {n_x:,} points", RETURN_BYTES * n_tasks * n_x)
    if isinstance(agent, MemoryBoundAgent):
        agent.check_memory(episodes)


@dataclass(frozen=True)
class EvaluationReturns:
    """Returns and numbers of steps from which a curve is computed."""

    per_task: np.ndarray
    """Mean return over episodes, or over trials [task, x]."""
    steps: np.ndarray
    """Environment steps per task at each x, averaged over tasks [steps]; for a trial, steps of one lane."""
    axis: str
    """Unit of x: gradient_steps; for an in-context agent, episodes of a trial, or evaluations in its one episode."""
    n_successes: tuple[int, ...] = ()
    """Number of successful episodes at each x, on quantum data."""


def evaluate_returns(
    agent: Agent[State], distribution: TaskDistribution, plan: EvaluationPlan, vectorise: Vectorise | None = None
) -> EvaluationReturns:
    """Evaluate the returns of `adaptation_curve`, without intervals. Raises UsageError as `adaptation_curve` does."""
    steps, episodes, split, device = plan.steps, plan.episodes, plan.split, plan.device
    count = distribution.n_distinct(split) if split != "train" else None
    n_tasks = min(plan.n_tasks, count) if count and count > 1 else plan.n_tasks
    if n_tasks < 2:
        raise UsageError(f"evaluate: an interval over tasks needs at least 2 tasks, not {n_tasks}")
    if steps < 1 or episodes < 1:
        raise UsageError(f"evaluate: steps and episodes must be at least 1, not {steps} and {episodes}")
    check_evaluation(agent, distribution, n_tasks, steps, episodes, device)
    streams = plan.streams
    seed_shots(agent, streams[3])
    tasks = distribution.sample(n_tasks, split, np.random.default_rng(streams[0]))
    rng, generator = np.random.default_rng(streams[1]), torch_generator(streams[2], device)
    together = max(1, MAX_LANES // episodes)
    trial = agent.trial_episodes if isinstance(agent, InContextAgent) else None
    by_evaluation = trial == 1 and distribution.steps_are_evaluations
    returns: list[np.ndarray] = []
    successes: list[Tensor] = []
    taken = np.zeros(distribution.horizon if by_evaluation else trial or steps + 1)
    for first in range(0, n_tasks, together):
        part = tasks[first : first + together]
        env = (vectorise or distribution.vectorise)(len(part), episodes, device)
        rollouts, _ = collect_and_adapt(env, agent, part, 1 if trial else steps + 1, rng, generator)
        by_x, lengths = _by_evaluation(rollouts[0], distribution.horizon) if by_evaluation else _by_x(rollouts, trial)
        returns.append(by_x.mean(-1).mT.double().cpu().numpy())
        if isinstance(distribution, QuantumDataFamily):
            successes.append(count_successes(distribution.name, by_x))
        taken += lengths.double().sum((1, 2)).cpu().numpy() / (episodes if trial else 1)
    axis = "evaluations" if by_evaluation else "episodes" if trial else "gradient_steps"
    counts = tuple(int(count) for count in torch.stack(successes).sum(0)) if successes else ()
    return EvaluationReturns(np.concatenate(returns), taken / n_tasks, axis, counts)


def _certificate(distribution: TaskDistribution, evaluated: EvaluationReturns, n_episodes: int) -> Certificate | None:
    """Return the certificate of `n_episodes` episodes at each x; None unless they are on quantum data."""
    if not isinstance(distribution, QuantumDataFamily):
        return None
    of_trials = evaluated.axis != "gradient_steps"
    return certificate_of(distribution, evaluated.n_successes, n_episodes, of_trials=of_trials)


def _by_evaluation(rollout: Rollout, horizon: int) -> tuple[Tensor, Tensor]:
    """Return of an episode up to each step, and whether that step was taken [horizon, task, env]."""
    after_the_last = (0, 0, 0, 0, 0, horizon - len(rollout.reward))
    return pad(rollout.reward, after_the_last).cumsum(0), pad(rollout.valid, after_the_last)


def _by_x(rollouts: list[Rollout], trial: int | None) -> tuple[Tensor, Tensor]:
    """Return the returns and the numbers of steps [x, task, env]."""
    if trial:
        return rollouts[0].returns_by_episode(trial), rollouts[0].n_steps_by_episode(trial)
    return torch.stack([r.returns for r in rollouts]), torch.stack([r.valid.sum(0) for r in rollouts])


def with_references(curve: Curve, references: Mapping[str, np.ndarray]) -> Curve:
    """Return the curve with the returns of reference agents [task, x] on the same tasks, and its fractions of them.

    A fraction is the ratio of returns summed over x, with a 95 % percentile bootstrap interval, paired over tasks. A
    reference has no fraction if its mean return is not positive, or is zero in a bootstrap resample of the tasks.
    """
    mine, fractions = np.asarray(curve.per_task).sum(1), {}
    for name, per_task in references.items():
        theirs = per_task.sum(1)
        if theirs.mean() > 0:
            with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore", stats.DegenerateDataWarning)
                low, high = _bootstrap((mine, theirs), lambda a, b, axis: a.mean(axis) / b.mean(axis))
            if np.isfinite([low, high]).all():
                fractions[name] = [float(mine.mean() / theirs.mean()), float(low), float(high)]
    means = {name: per_task.mean(0).tolist() for name, per_task in references.items()}
    return replace(curve, references=means, fractions=fractions)


def bootstrap_interval(per_task: np.ndarray | Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    """Return the 95 % percentile bootstrap interval of the mean over tasks, for values [task, x]."""
    low, high = _bootstrap((np.asarray(per_task),), np.mean)
    return np.atleast_1d(low).tolist(), np.atleast_1d(high).tolist()


def _bootstrap(samples: tuple[np.ndarray, ...], statistic: Callable[..., Any]) -> tuple[Any, Any]:
    """Return the 95 % percentile bootstrap interval of a statistic of samples whose first axis is the task.

    Up to 2000 tasks, draw RESAMPLES resamples; for more tasks, fewer resamples, down to a tenth. The interval's ends
    then vary by a fiftieth of its width, and the width is small.
    """
    n_tasks = len(samples[0])
    resamples = max(RESAMPLES // 10, min(RESAMPLES, 2000 * RESAMPLES // n_tasks))
    interval = stats.bootstrap(
        samples,
        statistic,
        paired=len(samples) > 1,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, LARGEST_BATCH // samples[0].size),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=0,
    ).confidence_interval
    return interval.low, interval.high


def paired_gain(curve: Curve, x: int) -> tuple[float, float, float]:
    """Return the mean gain from the first x to this x, paired over tasks, with its 95 % bootstrap interval."""
    values, index = np.asarray(curve.per_task), curve.x.index(x)
    gain = values[:, [index]] - values[:, [0]]
    low, high = bootstrap_interval(gain)
    return float(gain.mean()), low[0], high[0]
