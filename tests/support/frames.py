"""A data frame with columns of every kind."""

import numpy as np
import pandas as pd


def mixed(n_rows=120, seed=0):
    """Two classes, and columns of every kind found in users' files."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n_rows) % 2
    size = rng.normal(size=n_rows) + 2 * classes
    size[::7] = np.nan
    colour = rng.choice(["red", "green", "blue"], n_rows).astype(object)
    colour[::11] = None
    frame = pd.DataFrame(
        {
            "size": size,
            "colour": colour,
            "shape": pd.Categorical(np.where(classes == 1, "round", rng.choice(["round", "square"], n_rows))),
            "flag": rng.random(n_rows) < 0.5,
            "maybe": pd.array(rng.choice([True, False, None], n_rows), dtype="boolean"),
            "count": pd.array(rng.integers(0, 9, n_rows), dtype="Int64"),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n_rows), "D"),
            "constant": 3,
            "nothing": None,
            "infinite": np.where(np.arange(n_rows) == 5, np.inf, rng.normal(size=n_rows)),
        }
    )
    return frame, classes
