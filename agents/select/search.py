"""Search for an algorithm: the selector's proposals on a sample of the rows, then the best of them on all rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from agents.core.agent import DeterministicInContextAgent, InContextAgent
from agents.experiment.run import Run
from envs.automl import scoring
from envs.automl.algorithms import algorithm_pipeline, weight_classes_equally, with_probabilities
from envs.automl.family import shipped_table
from envs.automl.lookup_tasks import LookupTasks
from envs.automl.meta_features import meta_features
from envs.automl.metrics import NEED_OUTPUTS, Metric
from envs.automl.reading import UserDataset
from envs.automl.results import AlgorithmResult, ranked
from envs.automl.time_limit import OutOfTime, TimeBudget, relative_durations

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

CONTROL = "gradient_boosting"
"""Algorithm that is compared in any case: what a practitioner would fit without a search."""
N_FINALISTS = 2
"""Number of the best algorithms on the sample that are scored on all rows."""
SCREENING_SHARE = 0.5
"""Share of the time budget that the sample may take if there are more rows; ours."""
_QUADRATIC = frozenset({"knn", "rbf_svm"})
"""Algorithms whose time grows with the square of the number of rows."""


@dataclass(frozen=True)
class Started:
    """Event: the evaluation of an algorithm starts."""

    name: str
    n_rows: int
    seconds: float
    """Expected duration [s]; 0: unknown."""


Event = Started | AlgorithmResult


class Search:
    """Evaluations of algorithms on one dataset, by one metric, within one time budget."""

    def __init__(self, dataset: UserDataset, metric: Metric, budget: TimeBudget) -> None:
        self.dataset, self.metric, self.budget = dataset, metric, budget
        self.left_out: list[str] = []
        """Evaluations that were left out or ended because of the budget, as phrases."""
        self._seconds: dict[str, float] = {}
        known = shipped_table().algorithms
        self._relative = dict(zip(known.choices, relative_durations(known.seconds), strict=True))

    def pipeline(self, name: str) -> "Pipeline":
        """Build the unfitted pipeline of an algorithm, as the metric needs it."""
        unfitted = algorithm_pipeline(name, self.dataset.frame)
        if self.metric == "balanced_accuracy":
            return weight_classes_equally(unfitted, len(self.dataset.names))
        return with_probabilities(unfitted) if self.metric == "log_loss" else unfitted

    def expected_seconds(self, name: str, n_rows: int) -> float:
        """Predict the time of an evaluation [s]: from its time on the sample, or else from that of other algorithms."""
        if not self._seconds:
            return 0.0
        speed = float(np.median([seconds / self._relative[each] for each, seconds in self._seconds.items()]))
        ratio = n_rows / len(self.dataset.sample)
        seconds = self._seconds.get(name, speed * self._relative[name])
        return float(seconds * ratio ** (2 if name in _QUADRATIC else 1))

    def _evaluate(
        self, rows: NDArray[np.int64], candidates: Sequence[tuple[str, int | None]], share: float = 1.0
    ) -> Iterator[Event]:
        """Yield the start and the result of each algorithm that the budget allows.

        Args:
            rows: rows on which the algorithms are cross-validated.
            candidates: names, and numbers of the evaluations.
            share: share of the budget within which an evaluation must end to be started.
        """
        classes = self.dataset.classes[rows]
        frame = self.dataset.frame if len(rows) == len(self.dataset.frame) else self.dataset.frame.iloc[rows]
        constant, outputs = scoring.constant(classes), self.metric in NEED_OUTPUTS
        where = f"on {len(rows)} rows"
        for name, evaluation in candidates:
            first, seconds = not self._seconds, self.expected_seconds(name, len(rows))
            if not first and not self.budget.allows(seconds, share):
                self.left_out.append(f"{name} {where}, which would take about {seconds:.1f} s")
                continue
            yield Started(name, len(rows), seconds)
            try:
                with (TimeBudget(None) if first else self.budget).enforced():
                    scores = scoring.score(partial(self.pipeline, name), frame, classes, outputs=outputs)
            except OutOfTime:
                self.left_out.append(f"{name} {where}, which was not finished")
                continue
            if len(rows) == len(self.dataset.sample):
                self._seconds[name] = scores.seconds
            by_fold, of_constant = (each.by_fold(self.metric, classes) for each in (scores, constant))
            yield AlgorithmResult(name, evaluation, scores, self.metric, by_fold, constant, of_constant)

    @torch.no_grad()
    def screen(self, run: Run, evaluations: int, comparisons: Sequence[str]) -> Iterator[Event]:
        """Evaluate the selector's proposals, then the algorithms to compare with, on the sample.

        A policy proposes its most probable algorithm; its observation marks the evaluated algorithms. An algorithm that
        is proposed again is not evaluated again; one that the budget does not allow has no gain.

        Args:
            run: the selector, see `command.selector_of`.
            evaluations: number of proposals.
            comparisons: algorithms that are evaluated in any case.
        """
        dataset, rows = self.dataset, self.dataset.sample
        share = SCREENING_SHARE if len(rows) < len(dataset.classes) else 1.0
        features = meta_features(dataset.frame.iloc[rows].reset_index(drop=True), dataset.classes[rows])
        assert isinstance(run.distribution, LookupTasks) and isinstance(run.agent, InContextAgent)  # see selector_of
        table = run.distribution.table
        family = run.distribution.with_new_task(f"{dataset.layout.path} (user's dataset)", features, evaluations)
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
                for event in self._evaluate(rows, [(name, evaluation)], share):
                    if isinstance(event, AlgorithmResult):
                        family.record_score(row, int(action), event.observed_gain)
                    yield event
            observation, reward, terminated, truncated, _ = lanes.step(agent.to_environment(action)[0])
            ended = (terminated | truncated)[None]
            state = agent.observe(state, action, reward[None], ended, observation[None])
        yield from self._evaluate(rows, [(name, None) for name in comparisons if name not in proposed], share)

    def finish(self, screened: Sequence[AlgorithmResult], *, compare: bool) -> Iterator[Event]:
        """Evaluate the best algorithms on all rows, if there are more rows than the sample; see `N_FINALISTS`.

        Args:
            screened: results on the sample.
            compare: whether to evaluate `CONTROL` in any case.
        """
        if len(self.dataset.sample) == len(self.dataset.classes):
            return
        good = [(each.name, each.evaluation) for each in ranked(screened) if not each.scores.failure]
        first, *others = good[:N_FINALISTS]
        controls = [(CONTROL, dict(good).get(CONTROL))] if compare else []
        candidates = dict([first, *controls, *others])  # each once
        yield from self._evaluate(np.arange(len(self.dataset.classes)), list(candidates.items()))
