"""Selection of an algorithm: the ranking, the expected score, and what the selector observed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from envs.automl.choice_bias import Estimate
from envs.automl.results import AlgorithmResult, difference, named

CONTROL = "gradient_boosting"
"""Algorithm that is compared in any case: what a practitioner would fit without a search."""


@dataclass(frozen=True, repr=False, eq=False)
class Selection:
    """Result of a search for an algorithm."""

    ranking: tuple[AlgorithmResult, ...]
    """Results from best to worst: on all rows if any algorithm could be scored on them, else on the sample."""
    screening: tuple[AlgorithmResult, ...]
    """Results on the sample; the same object as `ranking` if there are no others."""
    expected: Estimate
    """Score to expect on new rows, corrected for the choice."""
    best_single: str
    """Best single algorithm on the training datasets of the selector."""
    left_out: tuple[str, ...]
    """Evaluations for which there was no time."""
    classes: tuple[str, ...]
    """Names of the classes."""
    confusion: NDArray[np.int64]
    """Held-out rows of the ranking by class and by the class that the best algorithm predicts [class, class]."""
    meta_features: Mapping[str, float]
    """Meta-features of the dataset, which the selector observed."""
    excluded: Mapping[str, str]
    """Columns that are not used, with the reason."""
    notes: tuple[str, ...]
    """Notes on how the data was read."""

    @property
    def best(self) -> AlgorithmResult:
        """Result of the recommended algorithm."""
        return self.ranking[0]

    @property
    def best_proposed(self) -> AlgorithmResult:
        """Best result on the sample of an algorithm that the selector proposed."""
        return next(each for each in self.screening if each.evaluation is not None)

    def to_frame(self) -> pd.DataFrame:
        """Return the ranking, a row for each algorithm: metrics, standard error, gain, seconds [s], failure."""
        records = [each.to_json() for each in self.ranking]
        return pd.DataFrame([{k: v for k, v in each.items() if not isinstance(v, list)} for each in records])

    def to_json(self) -> dict[str, object]:
        """Return the JSON of the rankings, and of the best proposed algorithm compared with the best single one.

        The screening is null if the ranking is on the same rows.
        """
        metric, proposed = self.best.metric, self.best_proposed
        compared = named(self.screening, self.best_single)
        return {
            "ranked_by": metric,
            "best": self.best.to_json(),
            "confusion": self.confusion.tolist(),
            "expected_on_new_rows": {**asdict(self.expected), "interval": "95 %", "method": "BBC-CV"},
            "best_proposed": {"algorithm": proposed.name, metric: proposed.mean},
            "best_single": {
                "algorithm": self.best_single,
                metric: None if compared is None else compared.mean,
                "best_proposed_minus_this": None if compared is None else difference(proposed, compared),
            },
            "ranking": [each.to_json() for each in self.ranking],
            "screening": None if self.screening is self.ranking else [each.to_json() for each in self.screening],
            "meta_features": dict(self.meta_features),
            "left_out": list(self.left_out),
        }
