"""Batches of tasks as data that can be saved, hashed and moved between devices."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from envs.core.arrays import finite_array
from qrl.common.errors import UsageError, suggest


@dataclass(frozen=True, eq=False)
class Tasks:
    """Batch of tasks: each parameter is a float64 tensor with a leading `task` axis, a number or an array per task.

    `tasks["gravity"]` and `tasks.gravity` are the same tensor; `tasks[3]`, `tasks[2:5]` and `tasks[mask]` are Tasks.
    Within the dynamics the same structure holds one row per lane (see `repeat_interleave`).

    Args:
        values: parameter name to tensor [task, ...], float64, all of one length and on one device; at least one.

    Raises:
        UsageError: a tensor of another dtype, shape or length, or no parameter at all.
    """

    values: dict[str, Tensor]

    def __post_init__(self) -> None:
        if not self.values:
            raise UsageError("Tasks: needs at least one parameter")
        lengths = set()
        for name, column in self.values.items():
            if column.dtype != torch.float64 or column.ndim < 1:
                raise UsageError(
                    f"Tasks: {name!r} must be float64 of shape [task, ...], "
                    f"not {column.dtype} of shape {tuple(column.shape)}"
                )
            lengths.add(len(column))
        if len(lengths) > 1:
            raise UsageError(f"Tasks: parameters differ in length: { {n: len(c) for n, c in self.values.items()} }")

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    @overload
    def __getitem__(self, index: str) -> Tensor: ...

    @overload
    def __getitem__(self, index: int | slice | Tensor) -> "Tasks": ...

    def __getitem__(self, index: str | int | slice | Tensor) -> "Tensor | Tasks":
        """Return a parameter by its name (a tensor), or some of the tasks (Tasks; an int gives Tasks of length 1)."""
        if isinstance(index, str):
            if index not in self.values:
                raise UsageError(f"unknown task parameter {index!r}{suggest(index, list(self.values))}")
            return self.values[index]
        if isinstance(index, int):
            if not -len(self) <= index < len(self):
                raise IndexError(f"task {index} of {len(self)}")
            index = slice(index, index + 1 or None)
        return Tasks({name: column[index] for name, column in self.values.items()})

    def __getattr__(self, name: str) -> Tensor:
        # Looked up in __dict__: copy and pickle access attributes before `values` exists.
        values: dict[str, Tensor] = self.__dict__.get("values", {})
        if name not in values:
            raise AttributeError(f"Tasks has no parameter or attribute {name!r}")
        return values[name]

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, in order."""
        return tuple(self.values)

    def to(self, device: torch.device | str) -> "Tasks":
        """Return the same tasks on `device`."""
        return Tasks({name: column.to(device) for name, column in self.values.items()})

    def repeat_interleave(self, repeats: int) -> "Tasks":
        """Repeat every task `repeats` times in a row: one row per lane, lane = task · repeats + env."""
        return Tasks({name: column.repeat_interleave(repeats, dim=0) for name, column in self.values.items()})

    def rows(self) -> list[dict[str, Any]]:
        """Return one plain dictionary per task: numbers, and nested lists of numbers."""
        columns = [column.tolist() for column in self.values.values()]
        return [dict(zip(self.values, row, strict=True)) for row in zip(*columns, strict=True)]

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, object]]) -> "Tasks":
        """Invert `rows`. Raise UsageError for no rows, differing names or shapes, or numbers that are not finite."""
        if not rows:
            raise UsageError("Tasks.from_rows: needs at least one row")
        names = list(rows[0])
        for i, row in enumerate(rows):
            if set(row) != set(names):
                raise UsageError(f"Tasks.from_rows: row {i} has parameters {sorted(row)}, row 0 has {sorted(names)}")
        return cls({name: _column([row[name] for row in rows], name) for name in names})

    def to_json(self) -> str:
        """Return the tasks as JSON text; `from_json` restores the numbers exactly."""
        return json.dumps(self.rows(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Tasks":
        """Invert `to_json`. Raise UsageError if `text` is not a list of tasks."""
        try:
            rows = json.loads(text)
        except json.JSONDecodeError as error:
            raise UsageError(f"Tasks.from_json: not JSON: {error}") from None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise UsageError("Tasks.from_json: expected a list with one object per task")
        return cls.from_rows(rows)

    def key(self, index: int) -> str:
        """Return the SHA-256 (hex) of one task's values: equal for equal tasks, in any order of the parameters."""
        # + 0.0 turns -0.0, which is the same task, into 0.0.
        row = {name: (column[0] + 0.0).tolist() for name, column in self[index].values.items()}
        canonical = json.dumps(row, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


def check_indices(name: str, values: Tensor, n: int) -> None:
    """Raise UsageError, with `name`, unless all `values` of a task parameter are integers from 0 to n - 1."""
    if not bool(((values >= 0) & (values < n) & (values == values.floor())).all()):
        raise UsageError(f"{name} must be an integer from 0 to {n - 1}")


def _column(values: Sequence[object], name: str) -> Tensor:
    """Stack one parameter of all tasks, each value in the first one's shape."""
    try:
        shape = np.asarray(values[0]).shape
    except ValueError:
        raise UsageError(f"task 0: {name} must be an array of numbers, not {values[0]!r}") from None
    arrays = [finite_array(f"task {i}: {name}", value, shape) for i, value in enumerate(values)]
    return torch.from_numpy(np.stack(arrays))
