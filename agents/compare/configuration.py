"""Configuration of a run as options: its spec, the weights that it starts from, and learning rates that changed."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from agents.experiment.weights import Origin, saved_origin
from agents.runs.folder import RunFolder
from agents.runs.history import HISTORY, earlier_rates, value_of

NOT_CONFIGURATION = (
    *("seed", "threads", "checkpoint_every", "eval_tasks", "eval_steps", "eval_episodes"),
    *("validate_every", "validate_tasks"),
)
"""Fields of a spec in which runs of one configuration may differ."""
FROM = "from"
"""Option with the run from whose trained weights a run starts."""


def options_of(folder: RunFolder, iteration: int, backend: Mapping[str, object], *, best: bool) -> dict[str, object]:
    """Return what defines an evaluated training, by the names of options on the command line.

    The file of a plug-in is part of the configuration, and so are the backend and the length of training of a curve.
    Seeds that end early by their patience, or have their best checkpoint after different numbers of iterations, are
    still of one configuration. A learning rate that a resume has changed is a text with all its values.

    Args:
        folder: the run folder.
        iteration: number of iterations after which it was evaluated.
        backend: backend of the evaluation.
        best: whether its best checkpoint was evaluated.

    Raises:
        UsageError: the entry of the initial weights in the configuration is damaged.
    """
    spec = {name: value for name, value in folder.spec.items() if name not in NOT_CONFIGURATION}
    planned = folder.spec.get("iterations") if best or folder.spec.get("patience") else iteration
    trained = {"iterations": planned, "evaluated": backend, "origins": folder.config.get("origins", {})}
    used = math.inf if best else iteration
    rates = {
        option_name(name): _values(earlier, value_of(folder.spec, name), used)
        for name, earlier in earlier_rates(folder.config).items()
    }
    return dict(flat(spec | _start(saved_origin(folder)) | trained)) | rates


def option_name(name: str) -> str:
    """Return the name of an option on the command line.

    >>> option_name("agent_config.lr_heads")
    'agent.lr-heads'
    """
    return name.replace("_config.", ".").replace("_", "-")


def changes_of(folder: RunFolder) -> tuple[str, ...]:
    """Return a line about each resume that changed more than the number of iterations."""
    found = []
    history = folder.config.get(HISTORY)
    for entry in history if isinstance(history, list) else ():
        changed = entry.get("changed") if isinstance(entry, Mapping) else None
        ends = {str(name): end for name, end in changed.items()} if isinstance(changed, Mapping) else {}
        words = [
            f"--{option_name(name)} {end.get('to')} instead of {end.get('from')}"
            for name, end in ends.items()
            if isinstance(end, Mapping)
        ]
        if ends.keys() - {"iterations"} and words:
            found.append(f"resumed after iteration {entry.get('iteration')} with {', '.join(words)}")
    return tuple(found)


def _start(origin: Origin | None) -> dict[str, object]:
    """Return from which trained weights a run starts, as an option; nothing if it starts from random ones.

    Runs that start from the seeds of one group of a study, each from another one, are of one configuration.
    """
    if origin is None:
        return {}
    run = re.sub(r"-seed\d+$", "", origin.path)
    return {FROM: f"{run}/best" if origin.checkpoint == "best" else run}


def _values(earlier: Sequence[tuple[int, object]], last: object, iteration: int | float) -> object:
    """Return the values of a rate until an iteration, such as "0.1 to iteration 30, then 0.05"; or its only value."""
    used = [(end, value) for end, value in earlier if end < iteration]
    later = [value for end, value in earlier if end >= iteration]
    now = later[0] if later else last
    return ", ".join([*(f"{value} to iteration {end}" for end, value in used), f"then {now}"]) if used else now


def flat(options: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield nested options by their names on the command line, after a prefix."""
    for name, value in options.items():
        name = prefix + name.removesuffix("_config").replace("_", "-")
        if isinstance(value, Mapping):
            yield from flat(value, f"{name}.")
        else:
            yield name, value
