"""Generator of a standalone script, with scikit-learn and pandas only, that refits a chosen pipeline."""

import inspect
from pprint import pformat
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator

from agents.runs.messages import printable
from envs.automl import apply
from envs.automl.frames import numeric
from envs.automl.metrics import NEED_OUTPUTS, Metric, scorer_source
from envs.automl.reading import UserDataset
from envs.automl.scoring import FOLD_SEED, N_FOLDS

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

_TEMPLATE = '''\
"""{title}; best.json has the results of the other algorithms.

    python best.py [FILE.csv]

Prints its {measure} in {n_folds}-fold cross-validation{sampled}, and fits it on all rows with a target.
Needs scikit-learn and pandas. From Python: `from best import columns, fit`, then `model = fit("FILE.csv")` and
`model.predict(columns("NEW.csv"))`.
"""

import sys
import warnings

{imports}

{reader}

FILE = {file!r}
NUMBERS = {numbers}
TEXT = {text}
ROWS = {rows!r}
READING = {reading}


def columns(path):
    return inputs(read_table(path, READING), READING.columns)


def dataset(path=FILE):
    """Return inputs and classes, without rows whose class has no other row."""
    table = read_table(path, READING, READING.share)
    names = classes(table, READING)
    kept = names.map(names.value_counts()).fillna(0) >= 2
    return inputs(table[kept], READING.columns).reset_index(drop=True), names[kept].to_numpy(dtype=object)


def pipeline():
    numbers = {on_numbers}
    text = {on_text}
    preprocessing = ColumnTransformer([("numbers", numbers, NUMBERS), ("text", text, TEXT)])
    return Pipeline([("preprocessing", preprocessing), ("classifier", {classifier})])


def fit(path=FILE):
    return pipeline().fit(*dataset(path))


{scorer}def score(rows, named):
    """Return the mean over folds{sampled}."""
    if len(named) > ROWS:
        sample, _ = train_test_split(np.arange(len(named)), train_size=ROWS, stratify=named, random_state=0)
        sample = np.sort(sample)
        rows, named = rows.iloc[sample], named[sample]
    folds = StratifiedKFold({n_folds}, shuffle=True, random_state={seed})
    return cross_val_score(pipeline(), rows, named, cv=folds, scoring={scoring}).mean()


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # the limit on the number of iterations is part of the algorithm
    try:
        rows, named = dataset(sys.argv[1] if len(sys.argv) > 1 else FILE)
    except (OSError, ValueError) as error:
        sys.exit(f"best.py: {{' '.join(str(error).split())}}")
    except KeyError as error:
        sys.exit(f"best.py: the file lacks columns that the pipeline needs: {{error}}")
    print(f"{measure} in {n_folds}-fold cross-validation: {{score(rows, named):.6f}}")
    model = pipeline().fit(rows, named)
    print(f"fitted on {{len(rows)}} rows: {{type(model[-1]).__name__}}")
'''


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
    lines = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(imports.items())]
    file = dataset.path
    return _TEMPLATE.format(
        title=f"Pipeline that `run.py select` chose for {printable(file.name)}: {name}".replace("\\", "").replace(
            '"', ""
        ),
        n_folds=N_FOLDS,
        seed=FOLD_SEED,
        scoring="scorer" if metric in NEED_OUTPUTS else repr(metric),
        scorer=scorer_source(metric, np.bincount(dataset.classes)) if metric in NEED_OUTPUTS else "",
        measure=metric.replace("_", " "),
        sampled=f" on a stratified sample of {n_rows} rows" if n_rows < len(dataset.classes) else "",
        imports="\n".join(lines),
        reader=inspect.getsource(apply).partition('"""\n\n')[2].rstrip(),
        file=str(file.resolve()),
        numbers=pformat(numbers, width=110, compact=True),
        text=pformat(text, width=110, compact=True),
        rows=n_rows,
        reading=pformat(dataset.reading, width=110, compact=True),
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
