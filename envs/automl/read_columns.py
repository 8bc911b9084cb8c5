"""Transformer of scikit-learn that reads the columns of a frame as a user's file is read."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from envs.automl.apply import Column, cells_of, check_columns, inputs
from qrl.common.errors import UsageError


class ReadColumns(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Transformer of a frame with raw columns to a `frames.plain` table; it learns nothing.

    Args:
        columns: how the columns are read. Other columns of a frame are ignored.
    """

    def __init__(self, columns: tuple[Column, ...]) -> None:
        self.columns = columns

    def fit(self, X: object, y: object = None) -> "ReadColumns":
        """Check the columns. Raises UsageError if one is missing."""
        self.transform(X)
        return self

    def transform(self, X: object) -> pd.DataFrame:
        """Return the inputs [row, column]. Raises UsageError if `X` is not a frame, lacks a column, or has no rows."""
        if not isinstance(X, pd.DataFrame):
            raise UsageError(f"expected a DataFrame with the columns of the training, found a {type(X).__name__}")
        frame = X.set_axis([str(name).strip() for name in X.columns], axis=1)
        names = [column.name for column in self.columns]
        try:
            check_columns(frame, self.columns)
        except ValueError as error:
            raise UsageError(str(error)) from error
        if twice := [name for name in names if isinstance(frame[name], pd.DataFrame)]:
            raise UsageError(f"two columns are named {twice[0]!r}")
        if not len(frame):
            raise UsageError("the frame has no rows")
        return inputs(cells_of(frame[names]), self.columns)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return the names of the columns after reading."""
        return np.array([name for column in self.columns for name in column.names], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True
