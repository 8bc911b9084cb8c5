"""Adaptation curve: return on held-out tasks against the number of updates or episodes, with confidence intervals."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, get_args

import numpy as np
from scipy import stats

from agents.core.agent import Agent, NetworkAgent, State
from agents.core.confidence import CONFIDENCE
from agents.core.plain import from_plain
from agents.core.spec import Spec
from agents.experiment.certificate import Certificate, certificate_of
from agents.experiment.returns import EvaluationPlan, EvaluationReturns, evaluate_returns
from envs import TaskDistribution
from envs.core.distribution import Split
from envs.core.quantum_data import QuantumDataFamily
from qrl.common.checks import check_choice, check_count
from qrl.common.errors import UsageError
from qrl.common.registry import short_name

RESAMPLES = 10_000
LARGEST_BATCH = 20_000_000
"""Maximum number of values per batch of bootstrap resamples."""


AXES = ("gradient_steps", "episodes", "evaluations")
"""Quantities on the axis x of a curve."""
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


def adaptation_curve(
    agent: Agent[State],
    distribution: TaskDistribution,
    plan: EvaluationPlan | None = None,
    *,
    names: tuple[str, str, str] = ("", "", ""),
) -> Curve:
    """Return the curve of `agent` after 0 to `steps` updates of `episodes` episodes each, on tasks of a split.

    For an in-context agent, the curve is the return of each episode of a trial, averaged over `episodes` trials per
    task. If a trial is one episode and each of its steps evaluates a candidate
    (`TaskDistribution.steps_are_evaluations`), the curve is the cumulative return at each step.

    Every task starts from the agent's initial state. The seed of the plan seeds the episodes only: held-out tasks do
    not depend on it, and train tasks are new draws. A family with fewer tasks than requested contributes each task
    once, so that the interval counts no task twice. A single task is repeated, and the interval is over repetitions.
    The argument `names` gives the names of env, agent and model. Raises UsageError for fewer than two tasks, which give
    no interval, and for a split that the family does not have.
    """
    plan = plan or EvaluationPlan()
    return curve_of(evaluate_returns(agent, distribution, plan), distribution, plan, names)


def curve_of(
    evaluated: EvaluationReturns, distribution: TaskDistribution, plan: EvaluationPlan, names: tuple[str, str, str]
) -> Curve:
    """Return the curve of the returns of an evaluation; see `adaptation_curve`."""
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


def _certificate(distribution: TaskDistribution, evaluated: EvaluationReturns, n_episodes: int) -> Certificate | None:
    """Return the certificate of `n_episodes` episodes at each x; None unless they are on quantum data."""
    if not isinstance(distribution, QuantumDataFamily):
        return None
    of_trials = evaluated.axis != "gradient_steps"
    return certificate_of(distribution, evaluated.n_successes, n_episodes, of_trials=of_trials)


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
