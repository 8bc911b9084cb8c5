"""Generator of the standalone script best.py, which fits and saves a chosen pipeline, and predicts new files."""

import inspect
from pathlib import Path
from pprint import pformat
from string import Template
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator

from agents.runs.messages import printable
from envs.automl import apply
from envs.automl.frames import numeric
from envs.automl.metrics import NEED_OUTPUTS, Metric, scorer_source
from envs.automl.reading import UserDataset
from envs.automl.scoring import FOLD_SEED, N_FOLDS
from qrl.common.files import read_regular

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

_TEMPLATE = Path(__file__).with_name("best.py.template")
TRUSTED = (
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
)
"""Types in fitted pipelines of `algorithms` that skops 0.16 does not know by itself."""


def script(dataset: UserDataset, name: str, unfitted: "Pipeline", metric: Metric, n_rows: int) -> str:
    """Return the source of a script that cross-validates a pipeline in the same way again, and fits it.

    Args:
        dataset: dataset for which the pipeline was chosen.
        name: name of the algorithm.
        unfitted: unfitted pipeline.
        metric: metric by which the pipeline was chosen.
        n_rows: rows on which its cross-validated score was measured.
    """
    numbers = numeric(dataset.frame)
    text = [column for column in dataset.frame.columns if column not in numbers]
    imports = {
        "sklearn.compose": {"ColumnTransformer"},
        "sklearn.exceptions": {"InconsistentVersionWarning"},
        "sklearn.model_selection": {"StratifiedKFold", "cross_val_score", "train_test_split"},
        "sklearn.pipeline": {"Pipeline"},
    }
    preprocessing, classifier = (step for _, step in unfitted.steps)
    (_, on_numbers, _), (_, on_text, _) = preprocessing.transformers
    sources = {
        "on_numbers": source_of(on_numbers, imports),
        "on_text": source_of(on_text, imports),
        "classifier": source_of(classifier, imports),
    }
    data = {"numbers": numbers, "text": text, "left_out": list(dataset.dropped), "reading": dataset.reading}
    lines = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(imports.items())]
    assert dataset.path is not None
    title = printable(f"Pipeline that `run.py select` chose for {dataset.path.name}: {name}")
    return Template(read_regular(_TEMPLATE).decode()).substitute(
        title=title.replace("\\", "").replace('"', ""),
        n_folds=N_FOLDS,
        seed=FOLD_SEED,
        scoring="scorer" if metric in NEED_OUTPUTS else repr(metric),
        scorer=scorer_source(metric, np.bincount(dataset.classes)) if metric in NEED_OUTPUTS else "",
        measure=metric.replace("_", " "),
        sampled=f" on a stratified sample of {n_rows} rows" if n_rows < len(dataset.classes) else "",
        imports="\n".join(lines),
        reader=inspect.getsource(apply).partition('"""\n\n')[2].rstrip(),
        file=repr(str(dataset.path.resolve())),
        rows=n_rows,
        trusted=pformat(list(TRUSTED)),
        **{key: pformat(value, width=110, compact=True) for key, value in data.items()},
        **sources,
    )


def source_of(value: object, imports: dict[str, set[str]]) -> str:
    """Return a Python expression that reconstructs an estimator of scikit-learn, or a value of its options.

    Args:
        value: an unfitted estimator, a list or tuple of estimators, or any value whose `repr` reconstructs it.
        imports: imported names by module; names used in the expression are added.
    """
    if isinstance(value, list | tuple):
        parts = ", ".join(source_of(each, imports) for each in value)
        single = "," * (isinstance(value, tuple) and len(value) == 1)
        return f"[{parts}]" if isinstance(value, list) else f"({parts}{single})"
    if not isinstance(value, BaseEstimator):
        return repr(value)
    kind = type(value)
    # Public module, as documented: without private submodules.
    module = kind.__module__.partition("._")[0]
    imports.setdefault(module, set()).add(kind.__name__)
    defaults = {name: each.default for name, each in inspect.signature(kind).parameters.items()}
    options = {name: each for name, each in value.get_params(deep=False).items() if repr(each) != repr(defaults[name])}
    return f"{kind.__name__}({', '.join(f'{key}={source_of(each, imports)}' for key, each in options.items())})"
