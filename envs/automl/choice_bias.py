"""Bootstrap bias-corrected cross-validation: the expected score of the best of several candidates on new rows.

The best of several cross-validated scores is too good, as it was chosen by the same rows. In every bootstrap sample of
the rows the best candidate is chosen anew, by its predictions on the rows drawn, and scored on the rows not drawn; no
model is fitted again. Tsamardinos, Greasidou & Borboudakis (2018), "Bootstrapping the out-of-sample predictions for
efficient and accurate cross-validation", Machine Learning 107, algorithm 5 (BBC-CV).

Unlike there, the scores of each candidate on the rows not drawn are shifted so that their mean is its cross-validated
score. For accuracy and log loss this removes only the noise of the resampling. Other metrics depend on how many rows of
each class there are, and are larger on few rows: with a rare class, a single candidate, chosen from nothing, would gain
by the "correction".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from envs.automl.metrics import Metric, one_vs_rest_classes, sign
from envs.automl.scoring import N_FOLDS, PipelineScores, folds

N_RESAMPLES, MIN_RESAMPLES = 500, 100
MAX_DRAWS = 20_000_000
"""Rows drawn in all resamples together beyond which there are fewer resamples, to limit the time [rows]."""
_CHUNK = 2_000_000
"""Size of the arrays of weights [numbers]."""
_LEAST_PROBABILITY = np.finfo(float).eps  # as in scikit-learn


@dataclass(frozen=True)
class Estimate:
    """Expected score on new rows of the candidate that cross-validation chooses, with its 95 % interval."""

    mean: float
    low: float
    high: float
    n_candidates: int
    n_resamples: int


def corrected(
    metric: Metric, classes: NDArray[np.int64], candidates: Sequence[PipelineScores], seed: int = 0
) -> Estimate:
    """Estimate the score of the chosen candidate on new rows, corrected for the choice.

    Rows are resampled within folds, and scores are averaged over folds. The interval has the percentiles of the scores
    on rows not drawn, which are about 37 % of the rows: it is wide rather than narrow.

    Args:
        metric: metric of the choice.
        classes: classes [row], numbered from 0.
        candidates: predictions of each candidate for these rows, in the same folds.
        seed: seed of the resampling.
    """
    n_resamples = int(np.clip(MAX_DRAWS // len(classes), MIN_RESAMPLES, N_RESAMPLES))
    one_vs_rest = one_vs_rest_classes(metric, np.bincount(classes))
    rng = np.random.default_rng(seed)
    whole = np.full((N_FOLDS, len(candidates)), np.nan)
    # [part, fold, candidate, resample]; part 0: rows drawn, 1: rows not drawn
    by_fold = np.full((2, N_FOLDS, len(candidates), n_resamples), np.nan)
    for fold, (_, held) in enumerate(folds(classes)):
        for index, each in enumerate(candidates):
            (whole[fold, index],) = _scores(metric, classes, each, held, one_vs_rest, np.ones((1, len(held))))
        size = max(1, _CHUNK // len(held))
        for start in range(0, n_resamples, size):
            chunk = slice(start, min(start + size, n_resamples))
            drawn = rng.multinomial(len(held), np.full(len(held), 1 / len(held)), size=chunk.stop - start)
            for index, each in enumerate(candidates):
                for part, weights in enumerate((drawn, drawn == 0)):
                    scores = _scores(metric, classes, each, held, one_vs_rest, weights.astype(float))
                    by_fold[part, fold, index, chunk] = scores
    inside, outside = _mean(by_fold, axis=1)
    # Rounded, so that equal scores tie whatever the rounding errors; the first of them is chosen.
    chosen = np.nan_to_num(sign(metric) * inside, nan=-np.inf).round(12).argmax(0)
    outside += (_mean(whole, axis=0) - _mean(outside, axis=1))[:, None]
    scores = outside[chosen, np.arange(n_resamples)]
    low, high = np.nanquantile(scores, [0.025, 0.975]).clip(0, np.inf if metric == "log_loss" else 1)
    return Estimate(float(np.nanmean(scores)), float(low), float(high), len(candidates), n_resamples)


def _scores(
    metric: Metric,
    classes: NDArray[np.int64],
    candidate: PipelineScores,
    held: NDArray[np.int64],
    one_vs_rest: Sequence[int],
    weights: Float64[np.ndarray, "resample row"],
) -> Float64[np.ndarray, " resample"]:
    outputs = None if candidate.outputs is None else candidate.outputs[held]
    return weighted_metric(metric, classes[held], candidate.predicted[held], outputs, one_vs_rest, weights)


def weighted_metric(
    metric: Metric,
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    outputs: NDArray[np.float64] | None,
    one_vs_rest: Sequence[int],
    weights: Float64[np.ndarray, "resample row"],
) -> Float64[np.ndarray, " resample"]:
    """Return a metric for many weightings of the same rows at once; NaN where it is undefined.

    Equal to scikit-learn's functions with `sample_weight`, without sorting the rows for each weighting again.
    """
    if metric == "accuracy":
        return _ratio(weights @ (predicted == truth), weights.sum(1))
    if metric == "balanced_accuracy":
        present = [truth == each for each in np.unique(truth)]
        return _mean(np.stack([_ratio(weights @ (c & (predicted == truth)), weights @ c) for c in present]), axis=0)
    assert outputs is not None
    if metric == "log_loss":
        probability = outputs[np.arange(len(truth)), truth].clip(_LEAST_PROBABILITY, 1)
        return _ratio(weights @ -np.log(probability), weights.sum(1))
    return _mean(np.stack([_area(metric, truth == c, outputs[:, c], weights) for c in one_vs_rest]), axis=0)


def _area(
    metric: Metric,
    positive: NDArray[np.bool_],
    output: NDArray[np.float64],
    weights: Float64[np.ndarray, "resample row"],
) -> Float64[np.ndarray, " resample"]:
    """Return ROC AUC or average precision; rows with the same output are one point of the curve."""
    order = np.argsort(-output, kind="stable")
    firsts = np.flatnonzero(np.diff(output[order], prepend=np.inf))
    hits, others = (np.add.reduceat(weights[:, order] * part[order], firsts, axis=1) for part in (positive, ~positive))
    n_hits, n_others = hits.sum(1), others.sum(1)
    if metric == "roc_auc":
        below = n_others[:, None] - others.cumsum(1) + others / 2
        return _ratio((hits * below).sum(1), n_hits * n_others)
    precision = np.nan_to_num(_ratio(hits.cumsum(1), (hits + others).cumsum(1)))
    return _ratio((hits * precision).sum(1), np.where(n_others > 0, n_hits, 0))


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(numerator, denominator, out=np.full(denominator.shape, np.nan), where=denominator > 0)


def _mean(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return the mean of the defined values."""
    return _ratio(np.nansum(values, axis), np.sum(~np.isnan(values), axis).astype(float))
