"""Search for an algorithm: the selector's proposals on a sample of the rows, then the best of them on all rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from agents.core.agent import DeterministicInContextAgent, InContextAgent
from agents.experiment.run import Run
from agents.select.options import SelectOptions
from agents.select.selection import CONTROL, Selection
from agents.select.selectors import best_single
from envs.automl.choice_bias import corrected
from envs.automl.evaluation import Evaluator, Event
from envs.automl.lookup_tasks import LookupTasks
from envs.automl.meta_features import META_FEATURES, meta_features
from envs.automl.reading import UserDataset, read_dataset
from envs.automl.results import AlgorithmResult, named, ranked
from qrl.common.errors import UsageError

Watch = Callable[[Iterator[Event], int], Iterator[AlgorithmResult]]
"""Function that yields the results among events, and reports on both; the number is that of all evaluations."""

N_FINALISTS = 2
"""Number of the best algorithms on the sample that are scored on all rows."""
SCREENING_SHARE = 0.5
"""Share of the time budget that the sample may take if there are more rows; ours."""


def read(data: Path | pd.DataFrame, options: SelectOptions) -> UserDataset:
    """Read the user's dataset as the options say. Raises UsageError as `read_dataset` does."""
    return read_dataset(
        data,
        options.target,
        rows=options.rows,
        bins=options.bins,
        ignore=options.ignore,
        decimal=options.decimal,
        dates=options.dates,
    )


def check_evaluations(run: Run, evaluations: int) -> None:
    """Raise UsageError if there are more evaluations than algorithms."""
    assert isinstance(run.distribution, LookupTasks)  # selector_of refuses other families
    if evaluations > (most := len(run.distribution.table.candidates)):
        raise UsageError(f"--evaluations must be at most {most}, the number of algorithms, not {evaluations}")


def choose(evaluator: Evaluator, run: Run, options: SelectOptions, watch: Watch) -> Selection:
    """Search for an algorithm: on a sample of the rows, then on all rows.

    Args:
        evaluator: evaluator of algorithms on the dataset.
        run: the selector, see `selectors.selector_of`.
        options: options of the search.
        watch: reports on the evaluations.

    Raises:
        UsageError: every algorithm failed.
    """
    dataset, metric = evaluator.dataset, evaluator.metric
    assert isinstance(run.distribution, LookupTasks)
    single = best_single(run.distribution, metric)
    comparisons = list(dict.fromkeys((single, CONTROL))) if options.compare else []
    classes = dataset.classes[dataset.sample]
    features = meta_features(dataset.frame.iloc[dataset.sample].reset_index(drop=True), classes)
    screening = screen(evaluator, run, features, options.evaluations, comparisons)
    screened = tuple(ranked(watch(screening, options.evaluations)))
    if (worst := screened[0]).scores.failure:
        raise UsageError(f"{dataset.path or 'the frame'}: all algorithms failed; {worst.name}: {worst.scores.failure}")
    final = tuple(ranked(watch(finish(evaluator, screened, compare=options.compare), options.evaluations)))
    if final and not final[0].scores.failure and _surpassed(evaluator, screened[0], final):
        final = ()
    if not final or final[0].scores.failure:
        final = screened
    else:
        classes = dataset.classes
    confusion = np.zeros((len(dataset.names),) * 2, dtype=np.int64)
    np.add.at(confusion, (classes, final[0].scores.predicted), 1)
    ranking = tuple(map(_without_outputs, final))
    return Selection(
        ranking=ranking,
        screening=ranking if final is screened else tuple(map(_without_outputs, screened)),
        expected=corrected(metric, classes, [each.scores for each in final if not each.scores.failure]),
        best_single=single,
        left_out=tuple(evaluator.left_out),
        classes=dataset.names,
        confusion=confusion,
        meta_features=dict(zip(META_FEATURES, map(float, features), strict=True)),
        excluded=dataset.dropped,
        notes=dataset.notes,
    )


def _surpassed(evaluator: Evaluator, best: AlgorithmResult, final: Sequence[AlgorithmResult]) -> bool:
    """Return whether the best on the sample, for which there was no time on all rows, is better than all others there.

    Then the ranking is that of the sample. More rows make hardly any algorithm worse.
    """
    if named(final, best.name) is not None or ranked((final[0], best))[0] is not best:
        return False
    there = f"{final[0].name} has {final[0].mean:.4f} there, worse than {best.name} on the sample, {best.mean:.4f}"
    evaluator.left_out.append(f"the comparison on {final[0].n_rows} rows: {there}")
    return True


def _without_outputs(result: AlgorithmResult) -> AlgorithmResult:
    """Return a result without the outputs for each class, which take much memory."""
    return replace(result, scores=replace(result.scores, outputs=None))


@torch.no_grad()
def screen(
    evaluator: Evaluator, run: Run, features: NDArray[np.float64], evaluations: int, comparisons: Sequence[str]
) -> Iterator[Event]:
    """Evaluate the selector's proposals, then the algorithms to compare with, on the sample.

    A policy proposes its most probable algorithm; its observation marks the evaluated algorithms. An algorithm that
    is proposed again is not evaluated again; one that the budget does not allow has no gain.

    Args:
        evaluator: evaluator of algorithms on the dataset.
        run: the selector, see `selectors.selector_of`.
        features: meta-features of the sample [feature].
        evaluations: number of proposals.
        comparisons: algorithms that are evaluated in any case.
    """
    dataset, rows = evaluator.dataset, evaluator.dataset.sample
    share = SCREENING_SHARE if len(rows) < len(dataset.classes) else 1.0
    assert isinstance(run.distribution, LookupTasks) and isinstance(run.agent, InContextAgent)  # see selector_of
    table = run.distribution.table
    family = run.distribution.with_new_task(f"{dataset.path} (user's dataset)", features, evaluations)
    row, proposed = len(table.names), set[str]()
    agent, generator = run.agent, torch.Generator().manual_seed(0)
    lanes, state = family.vectorise(1, 1), agent.begin(1, 1)
    observation, _ = lanes.reset(seed=0, options={"tasks": family.task({family.parameter: row})})
    for evaluation in range(1, evaluations + 1):
        if isinstance(agent, DeterministicInContextAgent):
            action, state = agent.act_deterministically(state, observation[None])
        else:
            action, state = agent.act(state, observation[None], generator)
        if (name := table.candidates[int(action)]) not in proposed:
            proposed.add(name)
            for event in evaluator.evaluate(rows, [(name, evaluation)], share):
                if isinstance(event, AlgorithmResult):
                    family.record_score(row, int(action), event.observed_gain)
                yield event
        observation, reward, terminated, truncated, _ = lanes.step(agent.to_environment(action)[0])
        ended = (terminated | truncated)[None]
        state = agent.observe(state, action, reward[None], ended, observation[None])
    yield from evaluator.evaluate(rows, [(name, None) for name in comparisons if name not in proposed], share)


def finish(evaluator: Evaluator, screened: Sequence[AlgorithmResult], *, compare: bool) -> Iterator[Event]:
    """Evaluate the best algorithms for which there is time on all rows, if there are more rows than the sample.

    Args:
        evaluator: evaluator of algorithms on the dataset.
        screened: results on the sample.
        compare: whether to evaluate `CONTROL` in any case.
    """
    if len(evaluator.dataset.sample) == len(evaluator.dataset.classes):
        return
    good = [(each.name, each.evaluation) for each in ranked(screened) if not each.scores.failure]
    first, *others = good
    controls = [(CONTROL, dict(good).get(CONTROL))] if compare else []
    # Each once; the control takes the place of a finalist only if it is one of the best itself.
    finalists = N_FINALISTS
    best = dict(good[:N_FINALISTS])
    for name, evaluation in dict([first, *controls, *others]).items():
        for event in evaluator.evaluate(np.arange(len(evaluator.dataset.classes)), [(name, evaluation)]):
            finalists -= isinstance(event, AlgorithmResult) and (name != CONTROL or name in best)
            yield event
        if not finalists:
            return
