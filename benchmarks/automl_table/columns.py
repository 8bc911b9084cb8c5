"""The columns of a dataset that can be learned from."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from envs.automl.cleaning import idle, leaks


def useful(frame: pd.DataFrame, classes: NDArray[np.int64]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Split the columns into those that can be learned from, and the others with the reason: `idle` ones, and leaks.

    Args:
        frame: `plain` [row, column].
        classes: [row].
    """
    dropped = {}
    for name in frame.columns:
        if reason := idle(frame[name]):
            dropped[name] = reason
        elif leaks(frame[name], classes):
            dropped[name] = "says the target"
    return frame.drop(columns=list(dropped)), dropped
