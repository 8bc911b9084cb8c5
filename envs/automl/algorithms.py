"""Candidate algorithms, and portfolios of configurations of two of the algorithms, as pipelines of scikit-learn.

Every pipeline begins with the same preprocessing of `frames.plain` tables. Missing numbers are replaced by the median
(by 0 in an empty column). Numbers are scaled to mean 0 and standard deviation 1 if the algorithm depends on the scale.
Text is one-hot encoded with at most `MAX_CATEGORIES` columns each: missing text is a category, and values that occur
fewer than `MIN_FREQUENCY` times, or never in training, share one column. Gradient boosting also receives indicators of
missing numbers. (Gradient boosting accepts missing numbers, but fails on an empty column, which a fold may have.)
"""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.automl.frames import numeric
from qrl.common.errors import UsageError, suggest

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.base import BaseEstimator
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

ALGORITHMS = (
    "logistic_regression",
    "lda",
    "qda",
    "gaussian_nb",
    "nearest_centroid",
    "knn",
    "linear_svm",
    "rbf_svm",
    "decision_tree",
    "random_forest",
    "extra_trees",
    "gradient_boosting",
    "ada_boost",
    "mlp",
)
"""Names of the algorithms in the order of the table's axis; append new ones only at the end."""

MAX_CATEGORIES = 20
MIN_FREQUENCY = 5
SMO_STEPS = 50_000
"""Iteration limit of a support vector machine: a large C on overlapping classes would need millions [steps]."""
NB_SMOOTHING = 0.01
"""Fraction of the largest variance that naive Bayes adds to all variances."""

_UNSCALED = frozenset({"decision_tree", "random_forest", "extra_trees", "gradient_boosting", "ada_boost"})
"""Algorithms that are invariant under scaling of a column."""


def _svm_portfolio() -> tuple[dict[str, Any], ...]:
    linear = [{"kernel": "linear", "C": c} for c in (0.01, 0.1, 1.0, 10.0)]
    gammas = (0.001, 0.01, 0.1, 1.0)
    rbf = [{"kernel": "rbf", "C": c, "gamma": g} for c, g in itertools.product((0.1, 1.0, 10.0, 100.0, 1000.0), gammas)]
    polynomial = [
        {"kernel": "poly", "degree": degree, "C": c, "gamma": "scale", "coef0": 1.0}
        for degree, c in itertools.product((2, 3), (0.01, 0.1, 1.0, 10.0))
    ]
    return (*linear, *rbf, *polynomial)


def _gradient_boosting_portfolio() -> tuple[dict[str, Any], ...]:
    """Return scikit-learn's defaults with fewer trees and bins, then random draws from ranges around the defaults.

    The numbers are smaller because a portfolio is measured 160 times on each dataset.
    """
    generator = np.random.default_rng(0)
    drawn = [
        {
            "learning_rate": float(f"{10 ** generator.uniform(-2, -0.3):.2g}"),
            "max_iter": int(generator.choice([10, 20, 40])),
            "max_leaf_nodes": int(generator.choice([2, 4, 8, 16, 31])),
            "min_samples_leaf": int(generator.choice([2, 5, 10, 20, 40])),
            "l2_regularization": float(generator.choice([0.0, 0.1, 1.0, 10.0])),
            "max_features": float(generator.choice([0.3, 1.0])),
        }
        for _ in range(31)
    ]
    default = {"learning_rate": 0.1, "max_iter": 40, "max_leaf_nodes": 31, "min_samples_leaf": 20}
    return ({**default, "l2_regularization": 0.0, "max_features": 1.0}, *drawn)


SVM = _svm_portfolio()
"""Portfolio of 32 support vector machines: 4 linear, a grid of 20 radial, 8 polynomial; scaled columns."""
GRADIENT_BOOSTING = _gradient_boosting_portfolio()
"""Portfolio of 32 gradient-boosted ensembles of histogram trees."""
PORTFOLIOS: Mapping[str, tuple[dict[str, Any], ...]] = {"svm": SVM, "gradient_boosting": GRADIENT_BOOSTING}


def configuration_name(options: Mapping[str, object]) -> str:
    """Return the name of a configuration in the table: its options."""
    return ", ".join(f"{key}={value}" for key, value in options.items())


def algorithm_pipeline(name: str, frame: "pd.DataFrame", seed: int = 0) -> "Pipeline":
    """Return an unfitted pipeline for tables with the columns of `frame`, a result of `frames.plain`.

    Args:
        name: one of `ALGORITHMS`.
        frame: table, of which only the kinds of columns are used.
        seed: `random_state` of the randomised algorithms.

    Raises:
        UsageError: no such algorithm.
    """
    if name not in ALGORITHMS:
        raise UsageError(f"unknown algorithm {name!r}{suggest(name, ALGORITHMS)}")
    before = preprocessing(frame, add_indicator=name == "gradient_boosting", scale=name not in _UNSCALED)
    return assemble_pipeline(before, _estimator(name, seed))


def supports_class_weights(name: str) -> bool:
    """Return whether this algorithm has class weights; nearest neighbours and perceptrons have none."""
    return any(_is_class_weight_option(option) for option in _estimator(name, 0).get_params())


def weight_classes_equally(pipeline: "Pipeline", n_classes: int) -> "Pipeline":
    """Weight all classes equally, whatever their sizes, if the classifier supports class weights.

    The weights are scikit-learn's `class_weight="balanced"`, or equal `priors`.

    Args:
        pipeline: unfitted pipeline, changed in place.
        n_classes: number of classes, in every fold.
    """
    classifier = pipeline[-1]
    for option in filter(_is_class_weight_option, classifier.get_params()):
        classifier.set_params(**{option: [1 / n_classes] * n_classes if option == "priors" else "balanced"})
    return pipeline


def with_probabilities(pipeline: "Pipeline") -> "Pipeline":
    """Calibrate the classifier by three inner folds if it is a support vector machine, which has no probabilities.

    Args:
        pipeline: unfitted pipeline, changed in place.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC, LinearSVC

    name, classifier = pipeline.steps[-1]
    if isinstance(classifier, SVC | LinearSVC):
        pipeline.steps[-1] = (name, CalibratedClassifierCV(classifier, cv=3, ensemble=False))
    return pipeline


def _is_class_weight_option(option: str) -> bool:
    return option == "priors" or option.rpartition("__")[2] == "class_weight"


def preprocessing(frame: "pd.DataFrame", *, scale: bool, add_indicator: bool = False) -> "ColumnTransformer":
    """Return the transformer of a `plain` frame to numbers; `add_indicator` adds columns that mark missing numbers."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    steps: list[Any] = [SimpleImputer(strategy="median", keep_empty_features=True, add_indicator=add_indicator)]
    if scale:
        steps.append(StandardScaler())
    numbers = numeric(frame)
    text = [name for name in frame.columns if name not in numbers]
    one_hot = OneHotEncoder(
        max_categories=MAX_CATEGORIES,
        min_frequency=MIN_FREQUENCY,
        handle_unknown="infrequent_if_exist",
        sparse_output=False,
    )
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(*steps), numbers),
            ("text", one_hot, text),
        ]
    )


def assemble_pipeline(before: "ColumnTransformer", classifier: "BaseEstimator") -> "Pipeline":
    """Return the pipeline of preprocessing and a classifier."""
    from sklearn.pipeline import Pipeline

    return Pipeline([("preprocessing", before), ("classifier", classifier)])


def _estimator(name: str, seed: int) -> "BaseEstimator":
    """Return the classifier with scikit-learn's default settings, unless a comment says otherwise."""
    from sklearn import discriminant_analysis, ensemble, linear_model, naive_bayes, neighbors, neural_network, svm, tree

    match name:
        case "logistic_regression":
            return linear_model.LogisticRegression(max_iter=1000)
        case "lda":
            # Ledoit-Wolf shrinkage, as one-hot columns that add up to 1 make the covariance singular.
            return discriminant_analysis.LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        case "qda":
            # Regularised covariance of each class: with few rows the covariance is singular.
            return discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1)
        case "gaussian_nb":
            # At the default of 1e-9, a text value that never occurs in a class in training excludes the class.
            return naive_bayes.GaussianNB(var_smoothing=NB_SMOOTHING)
        case "nearest_centroid":
            return neighbors.NearestCentroid()
        case "knn":
            # More neighbours than the default 5, as classes are noisy. An odd number, so that two classes never tie.
            return neighbors.KNeighborsClassifier(n_neighbors=7)
        case "linear_svm":
            return svm.LinearSVC(random_state=seed)
        case "rbf_svm":
            return svm.SVC(max_iter=SMO_STEPS, random_state=seed)
        case "decision_tree":
            # At least 3 rows in a leaf, as a fully grown tree overfits noise.
            return tree.DecisionTreeClassifier(min_samples_leaf=3, random_state=seed)
        case "random_forest":
            return ensemble.RandomForestClassifier(n_estimators=100, random_state=seed)
        case "extra_trees":
            return ensemble.ExtraTreesClassifier(n_estimators=100, random_state=seed)
        case "gradient_boosting":
            return ensemble.HistGradientBoostingClassifier(early_stopping=False, random_state=seed)
        case "ada_boost":
            # Depth 2, as stumps cannot separate more than a few classes.
            base = tree.DecisionTreeClassifier(max_depth=2, random_state=seed)
            return ensemble.AdaBoostClassifier(base, n_estimators=50, random_state=seed)
        case "mlp":
            # Fewer units and larger steps than scikit-learn's defaults, which would take most of the total time.
            network = neural_network.MLPClassifier
            return network(hidden_layer_sizes=(32,), learning_rate_init=0.005, max_iter=100, random_state=seed)
    raise UsageError(f"unknown algorithm {name!r}{suggest(name, ALGORITHMS)}")
