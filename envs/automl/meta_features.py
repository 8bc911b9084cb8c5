"""Meta-features: numbers that describe a dataset before any evaluation, equal for the table and for a user's data.

A dataset has n rows, d columns of which t are text, and k classes with shares p. Z [row, e] is the dataset after the
preprocessing for a linear model (`algorithms.preprocessing`: imputed, scaled, one-hot), fitted on all rows without the
targets.

| Feature             | Formula                                                          | Unit      |
|---------------------|------------------------------------------------------------------|-----------|
| log_rows            | log10 n                                                          | decades   |
| log_columns         | log10 d                                                          | decades   |
| log_encoded         | log10 e                                                          | decades   |
| log_rows_per_column | log10 (n / e)                                                    | decades   |
| text_share          | t / d                                                            | of 1      |
| missing_share       | missing cells / (n d)                                            | of 1      |
| log_classes         | log2 k                                                           | bits      |
| majority_share      | max p                                                            | of 1      |
| minority_share      | min p                                                            | of 1      |
| class_entropy       | −Σ p log2 p / log2 k                                             | of 1      |
| mean_correlation    | mean of the absolute correlation of pairs of columns of Z        | of 1      |
| log_skewness        | mean over columns of numbers of log10 (1 + absolute skewness)    | decades   |
| log_kurtosis        | mean over columns of numbers of log10 (1 + 4th standard moment)  | decades   |
| pca_first           | share of the variance of Z along its first principal component   | of 1      |
| pca_half            | share of components that hold half of the variance               | of 1      |
| best_column         | largest correlation ratio η² of a column of Z with the classes   | of 1      |
| mean_column         | mean of those correlation ratios                                 | of 1      |
| gain_stump          | accuracy of a tree with one split − max p                        | of 1      |
| gain_tree           | the same of a tree of depth 4                                    | of 1      |
| gain_1nn            | the same of the nearest neighbour                                | of 1      |
| gain_naive_bayes    | the same of Gaussian naive Bayes                                 | of 1      |
| gain_linear         | the same of linear discriminant analysis with shrinkage          | of 1      |

The last five, landmarkers (Pfahringer, Bensusan and Giraud-Carrier 2000), are cross-validated in `LANDMARK_FOLDS` folds
on at most `LANDMARK_ROWS` rows, and their max p is computed on the same rows. A constant column of numbers has moments
and correlations of 0. All features are finite and depend only on the dataset.
"""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs.automl.algorithms import NB_SMOOTHING, preprocessing
from envs.automl.frames import numeric

if TYPE_CHECKING:
    import pandas as pd

META_FEATURES = (
    "log_rows",
    "log_columns",
    "log_encoded",
    "log_rows_per_column",
    "text_share",
    "missing_share",
    "log_classes",
    "majority_share",
    "minority_share",
    "class_entropy",
    "mean_correlation",
    "log_skewness",
    "log_kurtosis",
    "pca_first",
    "pca_half",
    "best_column",
    "mean_column",
    "gain_stump",
    "gain_tree",
    "gain_1nn",
    "gain_naive_bayes",
    "gain_linear",
)
"""Names of the meta-features in the order of the table's axis; append new ones only at the end."""

LANDMARK_FOLDS = 3
LANDMARK_ROWS = 1000
_MAX_ENCODED = 300
"""Most columns of Z for correlations and components, evenly spaced: both scale with the square of the number."""


def meta_features(frame: "pd.DataFrame", classes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the meta-features [feature] in the order of `META_FEATURES`.

    Args:
        frame: `plain` table [row, column].
        classes: classes [row], numbered from 0, at least two.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # empty and constant columns are handled below
        encoded = np.asarray(preprocessing(frame, scale=True).fit_transform(frame), dtype=np.float64)
        values = {**_sizes(frame, encoded), **_classes(classes), **_moments(frame)}
        values |= {**_geometry(encoded), **_columns(encoded, classes), **_landmarks(encoded, classes)}
    return np.array([values[name] for name in META_FEATURES])


def _sizes(frame: "pd.DataFrame", encoded: NDArray[np.float64]) -> dict[str, float]:
    rows, columns = frame.shape
    width = max(1, encoded.shape[1])
    return {
        "log_rows": np.log10(rows),
        "log_columns": np.log10(columns),
        "log_encoded": np.log10(width),
        "log_rows_per_column": np.log10(rows / width),
        "text_share": 1 - len(numeric(frame)) / columns,
        "missing_share": float(frame.isna().to_numpy().mean()),
    }


def _classes(classes: NDArray[np.int64]) -> dict[str, float]:
    shares = np.bincount(classes) / len(classes)
    present = shares[shares > 0]
    return {
        "log_classes": np.log2(len(present)),
        "majority_share": present.max(),
        "minority_share": present.min(),
        "class_entropy": -(present * np.log2(present)).sum() / np.log2(len(present)),
    }


def _moments(frame: "pd.DataFrame") -> dict[str, float]:
    third, fourth = [0.0], [0.0]
    for name in numeric(frame):
        column = frame[name].dropna().to_numpy()
        deviation = column.std() if len(column) else 0.0
        if deviation > 0:
            standard = (column - column.mean()) / deviation
            third.append(float(np.log10(1 + abs((standard**3).mean()))))
            fourth.append(float(np.log10(1 + (standard**4).mean())))
        else:
            third.append(0.0)
            fourth.append(0.0)
    number = max(1, len(third) - 1)
    return {"log_skewness": sum(third) / number, "log_kurtosis": sum(fourth) / number}


def _geometry(encoded: NDArray[np.float64]) -> dict[str, float]:
    if encoded.shape[1] > _MAX_ENCODED:
        encoded = encoded[:, np.linspace(0, encoded.shape[1] - 1, _MAX_ENCODED).astype(int)]
    centred = encoded - encoded.mean(0)
    covariance = centred.T @ centred / len(centred)
    deviation = np.sqrt(covariance.diagonal())
    varying = deviation > 0
    correlation = covariance[np.ix_(varying, varying)] / np.outer(deviation[varying], deviation[varying])
    pairs = correlation[np.triu_indices(len(correlation), 1)]
    # The matrix is symmetric, and positive semidefinite up to rounding.
    variances = np.maximum(np.linalg.eigvalsh(covariance)[::-1], 0) if len(covariance) else np.zeros(0)
    total = variances.sum()
    shares = variances / total if total > 0 else np.ones(1)
    half = int((np.cumsum(shares) < 0.5).sum()) + 1
    return {
        "mean_correlation": float(np.abs(pairs).mean()) if len(pairs) else 0.0,
        "pca_first": float(shares[0]),
        "pca_half": half / len(shares),
    }


def _columns(encoded: NDArray[np.float64], classes: NDArray[np.int64]) -> dict[str, float]:
    """Return features of the correlation ratios: variance of the class means over the total variance."""
    centred = encoded - encoded.mean(0)
    between = np.zeros(encoded.shape[1])
    for each in np.unique(classes):
        rows = classes == each
        between += rows.mean() * centred[rows].mean(0) ** 2
    variance = (centred**2).mean(0)
    ratios = np.divide(between, variance, out=np.zeros_like(between), where=variance > 0)
    return {"best_column": float(ratios.max(initial=0.0)), "mean_column": float(ratios.mean()) if len(ratios) else 0.0}


def _landmarks(encoded: NDArray[np.float64], classes: NDArray[np.int64]) -> dict[str, float]:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.tree import DecisionTreeClassifier

    if len(classes) > LANDMARK_ROWS:
        strata = classes if np.bincount(classes)[np.unique(classes)].min() > 1 else None
        kept, _ = train_test_split(np.arange(len(classes)), train_size=LANDMARK_ROWS, stratify=strata, random_state=0)
        encoded, classes = encoded[kept], classes[kept]
    majority = np.bincount(classes).max() / len(classes)
    learners: dict[str, Any] = {
        "gain_stump": DecisionTreeClassifier(max_depth=1, random_state=0),
        "gain_tree": DecisionTreeClassifier(max_depth=4, random_state=0),
        "gain_1nn": KNeighborsClassifier(n_neighbors=1),
        "gain_naive_bayes": GaussianNB(var_smoothing=NB_SMOOTHING),
        "gain_linear": LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    }
    folds = StratifiedKFold(LANDMARK_FOLDS, shuffle=True, random_state=0)
    gains = {}
    for name, learner in learners.items():
        # A learner that fails on a fold scores as the majority class there.
        accuracy = cross_val_score(learner, encoded, classes, cv=folds, error_score=np.nan)
        gains[name] = float(np.nan_to_num(accuracy - majority).mean())
    return gains
