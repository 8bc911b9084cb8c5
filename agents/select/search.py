"""Search for an algorithm: the selector's proposals on a sample of the rows, then the best of them on all rows."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from agents.core.agent import DeterministicInContextAgent, InContextAgent
from agents.experiment.run import Run
from envs.automl.evaluation import Evaluator, Event
from envs.automl.lookup_tasks import LookupTasks
from envs.automl.meta_features import meta_features
from envs.automl.results import AlgorithmResult, ranked

CONTROL = "gradient_boosting"
"""Algorithm that is compared in any case: what a practitioner would fit without a search."""
N_FINALISTS = 2
"""Number of the best algorithms on the sample that are scored on all rows."""
SCREENING_SHARE = 0.5
"""Share of the time budget that the sample may take if there are more rows; ours."""


@torch.no_grad()
def screen(evaluator: Evaluator, run: Run, evaluations: int, comparisons: Sequence[str]) -> Iterator[Event]:
    """Evaluate the selector's proposals, then the algorithms to compare with, on the sample.

    A policy proposes its most probable algorithm; its observation marks the evaluated algorithms. An algorithm that
    is proposed again is not evaluated again; one that the budget does not allow has no gain.

    Args:
        evaluator: evaluator of algorithms on the dataset.
        run: the selector, see `command.selector_of`.
        evaluations: number of proposals.
        comparisons: algorithms that are evaluated in any case.
    """
    dataset, rows = evaluator.dataset, evaluator.dataset.sample
    share = SCREENING_SHARE if len(rows) < len(dataset.classes) else 1.0
    features = meta_features(dataset.frame.iloc[rows].reset_index(drop=True), dataset.classes[rows])
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
    """Evaluate the best algorithms on all rows, if there are more rows than the sample; see `N_FINALISTS`.

    Args:
        evaluator: evaluator of algorithms on the dataset.
        screened: results on the sample.
        compare: whether to evaluate `CONTROL` in any case.
    """
    if len(evaluator.dataset.sample) == len(evaluator.dataset.classes):
        return
    good = [(each.name, each.evaluation) for each in ranked(screened) if not each.scores.failure]
    first, *others = good[:N_FINALISTS]
    controls = [(CONTROL, dict(good).get(CONTROL))] if compare else []
    candidates = dict([first, *controls, *others])  # each once
    yield from evaluator.evaluate(np.arange(len(evaluator.dataset.classes)), list(candidates.items()))
