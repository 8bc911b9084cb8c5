"""Measurement of one group: statistics of its evaluations, learning curve, and cost."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from agents.compare.certification import group_certificate
from agents.compare.configuration import changes_of
from agents.compare.groups import RunGroup
from agents.compare.result import Group, Learning, Member, Profile, Score
from agents.compare.runs import EvaluatedRun
from agents.compare.statistics import MIN_SEEDS, Estimate, difference, iqm, mean, performance_profile
from agents.compare.training import LearningPoint, Training
from agents.core.plain import from_plain
from agents.experiment.evaluation import Curve
from agents.experiment.series import t_interval
from agents.runs.provenance import versions_in
from qrl.common.errors import UsageError
from qrl.policies.summary import PolicySummary


def scores_at(curves: Sequence[Curve], index: int) -> Float[np.ndarray, "seed task"]:
    """Return the returns at the x of this index."""
    return np.array([[row[index] for row in curve.per_task] for curve in curves], dtype=float)


def check_alike(label: str, group: RunGroup) -> None:
    """Raise UsageError unless the runs of a group have been evaluated alike, on the same tasks."""
    first = group.runs[0]
    names = ["axis", "x", "episodes", "n_tasks", "env_options"]
    names += ["seed"] if first.curve.split == "train" else []  # train tasks are new draws for each seed
    for run in group.runs:
        if not run.curve.per_task:
            raise UsageError(f"{run.path}: its evaluation has no returns per task: evaluate it again")
        for name in names:
            mine, theirs = getattr(first.curve, name), getattr(run.curve, name)
            if mine != theirs:
                raise UsageError(
                    f"compare: the seeds of {label!r} differ in {name}, {mine} ({first.path}) and {theirs} "
                    f"({run.path}): evaluate them alike"
                )
        mine, theirs = (each.certificate and each.certificate.bounds for each in (first.curve, run.curve))
        if mine != theirs:
            raise UsageError(
                f"compare: the seeds of {label!r} differ in the ceiling of a classical memory or in the optimum "
                f"({first.path}, {run.path}): evaluate them with one version of the task family"
            )


def measure(
    label: str, group: RunGroup, trainings: Sequence[Training], at: int, thresholds: Float[np.ndarray, " threshold"]
) -> Group:
    """Return the measured group.

    Args:
        label: its label.
        group: its runs, evaluated alike.
        trainings: training of each run.
        at: x at which groups are compared.
        thresholds: returns at which the performance profile is computed.
    """
    curves = group.evaluations
    first = curves[0]
    index = first.x.index(at)
    policy = _policy(group.runs[0])
    profile = performance_profile(scores_at(curves, index), thresholds)
    seconds = [training.seconds for training in trainings if training.seconds is not None]
    counts = [training.circuits for training in trainings if training.circuits is not None]
    return Group(
        label=label,
        agent=first.agent,
        model=first.model,
        members=tuple(map(_member, group.runs)),
        options=dict(group.options),
        axis=first.axis,
        x=tuple(first.x),
        episodes=tuple(first.episodes),
        n_tasks=first.n_tasks,
        means=tuple(mean(scores_at(curves, i)) for i in range(len(first.x))),
        first=_score(curves, 0),
        at=_score(curves, index),
        references=_references(curves),
        profile=Profile(tuple(profile.thresholds.tolist()), _estimates(profile.values, profile.low, profile.high)),
        learning=_learning(trainings),
        n_parameters=None if policy is None else policy.n_parameters,
        circuits="" if policy is None else _circuits(policy),
        circuit_runs=float(np.mean(counts)) if len(counts) == len(trainings) else None,
        env_steps=float(np.mean([training.env_steps for training in trainings])),
        seconds=float(np.mean(seconds)) if len(seconds) == len(trainings) else None,
        is_deterministic=group.is_deterministic,
        certificate=group_certificate(curves, index),
        gain=difference(scores_at(curves, index), scores_at(curves, 0)) if index else None,
    )


def _score(curves: Sequence[Curve], index: int) -> Score:
    scores = scores_at(curves, index)
    worst = float(np.mean([curve.worst_decile[index] for curve in curves]))
    return Score(curves[0].x[index], mean(scores), iqm(scores), worst, tuple(scores.mean(0).tolist()))


def _member(run: EvaluatedRun) -> Member:
    config = run.folder.config
    command = config.get("command")
    words = tuple(map(str, command)) if isinstance(command, list) else ()
    means = tuple(map(Estimate, run.curve.mean, run.curve.ci_low, run.curve.ci_high))
    return Member(run.path, run.seed, words, changes_of(run.folder), versions_in(config), means)


def _references(curves: Sequence[Curve]) -> dict[str, tuple[float, ...]]:
    """Return the references that every seed has: exact returns where known, else means over seeds."""
    shared = [name for name in curves[0].references if all(name in curve.references for curve in curves)]
    found = {name: np.mean([curve.references[name] for curve in curves], axis=0) for name in shared}
    return {name: tuple(values.tolist()) for name, values in found.items()} | {
        name: tuple(map(float, values)) for name, values in curves[0].exact.items()
    }


def _policy(run: EvaluatedRun) -> PolicySummary | None:
    """Return the summary of the policy network. Raises UsageError for values that are none."""
    summary = run.curve.policy or run.folder.config.get("policy")
    return from_plain(PolicySummary, summary, f"{run.path}: policy") if summary else None


def _circuits(policy: PolicySummary) -> str:
    parts = []
    for circuit in policy.circuits:
        several = f"{circuit.count} × " if circuit.count > 1 else ""
        parts.append(f"{several}{circuit.n_wires} wires, depth {circuit.depth}")
    return "; ".join(parts)


def _learning(trainings: Sequence[Training]) -> Learning | None:
    """Return the learning curve at the iterations that all seeds have; None without any."""
    by_iteration: list[dict[int, LearningPoint]] = [
        {point.iteration: point for point in training.points} for training in trainings
    ]
    shared = sorted(set.intersection(*(set(points) for points in by_iteration)))
    if not shared:
        return None
    steps = np.array([[points[i].env_steps for i in shared] for points in by_iteration], dtype=float).mean(0)
    values = np.array([[points[i].value for i in shared] for points in by_iteration], dtype=float)
    value, low, high = t_interval(values)
    few = len(trainings) < MIN_SEEDS or not np.isfinite(low).all()
    return Learning(
        all(training.validated for training in trainings),
        by_iteration[0][shared[-1]].updates,
        tuple(steps.tolist()),
        _estimates(value, None if few else low, None if few else high),
        tuple(tuple(row) for row in values.tolist()),
    )


def _estimates(value: np.ndarray, low: np.ndarray | None, high: np.ndarray | None) -> tuple[Estimate, ...]:
    if low is None or high is None:
        return tuple(Estimate(each, None, None) for each in value.tolist())
    return tuple(map(Estimate, value.tolist(), low.tolist(), high.tolist()))
