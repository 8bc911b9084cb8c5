"""Shipped selector: a run of `algorithm_selection`, without the data that only training needs.

The file `config.json` records the command that trained the selector, as in every run; `table.json` identifies the table
of scores that the selector was trained on. To install another selector here:

    python -m agents.select.selector RUN
"""

import shutil
from pathlib import Path

from agents.runs.folder import RunFolder
from agents.runs.saved_spec import spec_of
from envs.automl.table import FILE
from qrl.common.errors import UsageError
from qrl.common.files import from_json, read_regular, to_json, write_atomically

FOLDER = Path(__file__).parent


def install_selector(source: Path, target: Path = FOLDER) -> None:
    """Install a run as the shipped selector: its configuration and the weights of its newest checkpoint.

    Raises:
        UsageError: `source` is not a run of `algorithm_selection`, has no usable checkpoint, or was not trained to its
            end.
    """
    run = RunFolder.open(source)
    spec = spec_of(run)
    if spec.env != "algorithm_selection":
        raise UsageError(f"{source}: must be a run of algorithm_selection, not of {spec.env}")
    checkpoint = run.load()
    if checkpoint is None:
        raise UsageError(f"{source}: no checkpoint")
    if checkpoint.iteration < spec.iterations:
        raise UsageError(f"{source}: is trained for {checkpoint.iteration} of {spec.iterations} iterations only")
    weights = {name: tensor for name, tensor in checkpoint.tensors.items() if not name.startswith("adam/")}
    target.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target / "checkpoint", ignore_errors=True)
    write_atomically(target / "config.json", read_regular(source / "config.json"))
    write_atomically(target / "table.json", (to_json({"digest": table_digest()}) + "\n").encode())
    RunFolder.open(target).save(checkpoint.iteration, weights, checkpoint.meta)


def table_digest() -> str:
    """Return the digest of the shipped table of scores."""
    return _digest_in(FILE)


def trained_on_this_table(folder: Path = FOLDER) -> bool:
    """Return whether the shipped selector was trained on the shipped table of scores."""
    return _digest_in(folder / "table.json") == table_digest()


def _digest_in(path: Path) -> str:
    content = from_json(path)
    digest = content.get("digest") if isinstance(content, dict) else None
    if not isinstance(digest, str):
        raise UsageError(f"{path}: expected an object with a digest")
    return digest
