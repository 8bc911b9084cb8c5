"""Bias of choosing by cross-validation, and its correction by the bootstrap (BBC-CV)."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from envs.automl import choice_bias, metrics
from envs.automl.choice_bias import corrected, weighted_metric
from envs.automl.scoring import PipelineScores, folds


def predictions(classes, seed, *, accuracy=None):
    """Random probabilities in steps of 1/8 (so that rows tie), or labels that are right at this rate."""
    rng = np.random.default_rng(seed)
    n_classes = int(classes.max()) + 1
    outputs = rng.integers(1, 9, (len(classes), n_classes)) / 8
    outputs /= outputs.sum(1, keepdims=True)
    predicted = outputs.argmax(1)
    if accuracy is not None:
        predicted = np.where(rng.random(len(classes)) < accuracy, classes, (classes + 1) % n_classes)
    return PipelineScores(np.zeros(5), np.zeros(5), 0.0, predicted=predicted, outputs=outputs)


def of_scikit_learn(metric, truth, predicted, outputs, one_vs_rest, weight):
    """A metric for one weighting, by scikit-learn's functions; NaN if it is undefined."""
    if not (rows := weight > 0).any():
        return np.nan
    truth, predicted, outputs, weight = truth[rows], predicted[rows], outputs[rows], weight[rows]
    if metric == "accuracy":
        return sklearn_metrics.accuracy_score(truth, predicted, sample_weight=weight)
    if metric == "balanced_accuracy":
        labels = np.unique(truth)
        return sklearn_metrics.recall_score(truth, predicted, labels=labels, average="macro", sample_weight=weight)
    if metric == "log_loss":
        labels = np.arange(outputs.shape[1])
        return sklearn_metrics.log_loss(truth, outputs, labels=labels, sample_weight=weight)
    area = {"roc_auc": sklearn_metrics.roc_auc_score, "average_precision": sklearn_metrics.average_precision_score}
    present = [c for c in one_vs_rest if 0 < (truth == c).sum() < len(truth)]
    values = [area[metric](truth == c, outputs[:, c], sample_weight=weight) for c in present]
    return np.mean(values) if values else np.nan


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("metric", metrics.METRICS)
def test_weighted_metrics_equal_those_of_scikit_learn(metric, n_classes):
    """Also if a class is missing among the rows drawn, and if outputs tie."""
    rng = np.random.default_rng(0)
    truth = rng.choice(n_classes, 25, p=[0.8, 0.2] if n_classes == 2 else [0.7, 0.2, 0.1])
    scores = predictions(truth, 1)
    one_vs_rest = metrics.one_vs_rest_classes(metric, np.bincount(truth))
    weights = rng.multinomial(25, np.full(25, 1 / 25), size=40).astype(float)
    weights[0, truth == one_vs_rest[-1]] = 0.0
    found = weighted_metric(metric, truth, scores.predicted, scores.outputs, one_vs_rest, weights)
    expected = [of_scikit_learn(metric, truth, scores.predicted, scores.outputs, one_vs_rest, w) for w in weights]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    ones = np.ones((1, 25))
    if metric in metrics.NEED_OUTPUTS:
        (unweighted,) = weighted_metric(metric, truth, scores.predicted, scores.outputs, one_vs_rest, ones)
        whole = metrics.metric_of_outputs(metric, truth, scores.outputs, one_vs_rest)
        assert unweighted == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc", "log_loss"])
def test_choice_is_repeated_in_every_resample(metric, monkeypatch):
    """The estimate equals a loop over resamples, with scikit-learn's metrics in each fold."""
    monkeypatch.setattr(choice_bias, "MAX_DRAWS", 0)
    monkeypatch.setattr(choice_bias, "MIN_RESAMPLES", n_resamples := 25)
    classes = np.random.default_rng(0).integers(0, 2, 60)
    candidates = [predictions(classes, seed) for seed in range(4)]
    found = corrected(metric, classes, candidates)
    rng, one_vs_rest = np.random.default_rng(0), metrics.one_vs_rest_classes(metric, np.bincount(classes))
    draws = [(held, rng.multinomial(12, np.full(12, 1 / 12), size=n_resamples)) for _, held in folds(classes)]

    def mean_over_folds(each, resample, part):
        values = []
        for held, drawn in draws:
            weight = drawn[resample] if part == "drawn" else drawn[resample] == 0
            outputs = each.outputs[held]
            values.append(
                of_scikit_learn(metric, classes[held], each.predicted[held], outputs, one_vs_rest, weight.astype(float))
            )
        return np.nanmean(values)

    def cross_validated(each):
        ones = np.ones(12)
        values = [
            of_scikit_learn(metric, classes[h], each.predicted[h], each.outputs[h], one_vs_rest, ones) for h, _ in draws
        ]
        return np.mean(values)

    better = min if metric == "log_loss" else max
    outside = [[mean_over_folds(each, resample, "left out") for resample in range(n_resamples)] for each in candidates]
    shift = [cross_validated(each) - np.nanmean(values) for each, values in zip(candidates, outside, strict=True)]
    scores = []
    for resample in range(n_resamples):
        inside = [round(mean_over_folds(each, resample, "drawn"), 12) for each in candidates]  # or else ties differ
        chosen = inside.index(better(inside))
        scores.append(outside[chosen][resample] + shift[chosen])
    assert found.mean == pytest.approx(np.mean(scores), abs=1e-9)
    assert [found.low, found.high] == pytest.approx(np.quantile(scores, [0.025, 0.975]), abs=1e-9)
    assert (found.n_candidates, found.n_resamples) == (4, n_resamples)


@pytest.mark.parametrize(("metric", "chance"), [("accuracy", 0.5), ("balanced_accuracy", 0.5), ("roc_auc", 0.5)])
def test_best_of_many_on_noise_is_above_chance_but_not_after_correction(metric, chance):
    """Labels are coin flips, and twenty candidates predict noise: the best of them is 0.07 too good on 200 rows."""
    best, after = [], []
    for seed in range(20):
        classes = np.random.default_rng(1000 + seed).permutation(np.arange(200) % 2)
        candidates = [predictions(classes, 20 * seed + number) for number in range(20)]
        one_vs_rest, ones = [1], np.ones((1, 40))
        scores = [
            np.mean(
                [
                    weighted_metric(metric, classes[h], each.predicted[h], each.outputs[h], one_vs_rest, ones)[0]
                    for _, h in folds(classes)
                ]
            )
            for each in candidates
        ]
        best.append(max(scores))
        after.append(corrected(metric, classes, candidates))
    error = np.std([each.mean for each in after]) / 20**0.5
    assert np.mean(best) > chance + 0.05
    assert abs(np.mean([each.mean for each in after]) - chance) < 3 * error + 0.002
    assert sum(each.low <= chance <= each.high for each in after) >= 18


@pytest.mark.parametrize("metric", metrics.METRICS)
def test_a_single_candidate_keeps_its_score(metric):
    """Also with a class of so few rows that folds lack it, of which the metrics are larger on few rows."""
    classes = (np.arange(150) % 21 == 0).astype(int)
    (candidate,) = [predictions(classes, 3)]
    found, one_vs_rest = (
        corrected(metric, classes, [candidate]),
        metrics.one_vs_rest_classes(metric, np.bincount(classes)),
    )
    values = [
        of_scikit_learn(metric, classes[h], candidate.predicted[h], candidate.outputs[h], one_vs_rest, np.ones(len(h)))
        for _, h in folds(classes)
    ]
    assert found.mean == pytest.approx(np.nanmean(values), abs=1e-9)
    assert found.low <= found.mean <= found.high and found.low >= 0 and (metric == "log_loss" or found.high <= 1)


def test_clear_winner_keeps_its_score():
    classes = np.arange(1000) % 2
    good, bad = predictions(classes, 0, accuracy=0.9), predictions(classes, 1, accuracy=0.6)
    found = corrected("accuracy", classes, [bad, good])
    assert found.mean == pytest.approx((good.predicted == classes).mean(), abs=0.003)
    assert found.low < 0.9 < found.high and found.high - found.low < 0.08


def test_large_data_have_fewer_resamples(monkeypatch):
    """The arrays of weights stay small as well: in chunks of resamples, of which the result does not depend."""
    classes = np.arange(300) % 2
    candidates = [predictions(classes, seed) for seed in range(2)]
    whole = corrected("accuracy", classes, candidates)
    monkeypatch.setattr(choice_bias, "_CHUNK", 60 * 7)
    assert corrected("accuracy", classes, candidates) == whole
    monkeypatch.setattr(choice_bias, "MAX_DRAWS", 300 * 200)
    assert corrected("accuracy", classes, candidates).n_resamples == 200
    monkeypatch.setattr(choice_bias, "MAX_DRAWS", 1)
    assert corrected("accuracy", classes, candidates).n_resamples == 100
