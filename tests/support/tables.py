"""Small tables with cells as people write them."""

from envs.automl.reading import UserDataset, read_dataset

BODY = "".join(f"{i % 9},{i * 7 % 50},{'ab'[i % 2]}\n" for i in range(60))
"""Lines below a header of three columns."""


def read_column(tmp_path, cells, encoding="utf-8") -> UserDataset:
    """Write a column `v` with these cells, and read it with the target `t`."""
    rows = [f'"{cell}",{"ab"[i % 2]}' for i, cell in enumerate(cells)]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["v,t", *rows]) + "\n", encoding=encoding)
    return read_dataset(path, "t", rows=1000)


def repeated(cells, n=90):
    """Return `n` of the cells, again and again."""
    return [cells[i % len(cells)] for i in range(n)]
