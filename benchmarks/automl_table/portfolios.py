"""Pipelines of the configurations in `algorithms.PORTFOLIOS`."""

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from envs.automl.algorithms import PORTFOLIOS, SMO_STEPS, assemble_pipeline, preprocessing
from qrl.common.errors import UsageError, suggest

BINS = 64
"""Number of histogram bins per column in the portfolio of gradient boosting."""


def configured(portfolio: str, index: int, frame: pd.DataFrame, seed: int = 0) -> Pipeline:
    """Return an unfitted pipeline of configuration `index` of a portfolio; see `algorithms.algorithm_pipeline`.

    Raises:
        UsageError: no such portfolio or configuration.
    """
    if portfolio not in PORTFOLIOS:
        raise UsageError(f"unknown portfolio {portfolio!r}{suggest(portfolio, PORTFOLIOS)}")
    options = PORTFOLIOS[portfolio]
    if not 0 <= index < len(options):
        raise UsageError(f"portfolio {portfolio} has configurations 0 to {len(options) - 1}, not {index}")
    if portfolio == "svm":
        classifier = SVC(max_iter=SMO_STEPS, random_state=seed, **options[index])
        return assemble_pipeline(preprocessing(frame, scale=True), classifier)
    boosting = HistGradientBoostingClassifier(early_stopping=False, max_bins=BINS, random_state=seed, **options[index])
    return assemble_pipeline(preprocessing(frame, add_indicator=True, scale=False), boosting)
