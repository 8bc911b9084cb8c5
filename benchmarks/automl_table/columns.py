"""Selection of informative columns of a dataset."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from envs.automl.cleaning import is_target_leak, uninformative_reason


def select_columns(frame: pd.DataFrame, classes: NDArray[np.int64]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Split the columns into usable ones, and unusable ones (uninformative, or target leaks) with the reason.

    Args:
        frame: `plain` [row, column].
        classes: [row].
    """
    dropped = {}
    for name in frame.columns:
        if reason := uninformative_reason(frame[name]):
            dropped[name] = reason
        elif is_target_leak(frame[name], classes):
            dropped[name] = "says the target"
    return frame.drop(columns=list(dropped)), dropped
