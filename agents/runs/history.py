"""Options of a run that a resume may change, and the history of their changes in the run's configuration.

An entry of the history has the form `{"iteration": 20, "changed": {"agent_config.lr_angles": {"from": 0.01, "to":
0.005}}, "started": "2026-01-01T12:00:00+00:00"}`; the oldest entry is the first.
"""

import datetime
from collections.abc import Iterator, Mapping

from agents.core.options import is_learning_rate
from qrl.common.errors import UsageError, suggest

HISTORY = "history"
"""Key of the history in the configuration."""

OF_THE_RUN = ("iterations", "validate_every", "patience")
"""Options of a run that may change."""


def changeable(spec: Mapping[str, object]) -> list[str]:
    """Return the names of the options that may change: of the run, and the agent's learning rates."""
    options = spec.get("agent_config")
    rates = [str(name) for name in options if is_learning_rate(str(name))] if isinstance(options, Mapping) else []
    return [*OF_THE_RUN, *(f"agent_config.{name}" for name in rates)]


def check_changes(spec: Mapping[str, object], changes: Mapping[str, object], where: str) -> None:
    """Check that a resume may change these options, given by name, and that learning rates are numbers.

    Args:
        spec: spec of the run.
        changes: new values by name, such as "patience" or "agent_config.lr_angles".
        where: name of the run in error messages.

    Raises:
        UsageError: another option; the message says which may change.
    """
    from agents.core.plain import check_value  # Local: cattrs takes a while to import.

    known = changeable(spec)
    for name, value in changes.items():
        if name not in known:
            anew = "another option needs a new run"
            raise UsageError(f"{where}: a resume cannot change {name}: {anew}{suggest(name, known)}")
        if name not in OF_THE_RUN:
            check_value(float, value, name)


def changed(spec: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """Return a spec with new values of some options."""
    for name, value in changes.items():
        spec = _with_value(spec, name, value)
    return dict(spec)


def record(spec: Mapping[str, object], changes: Mapping[str, object], iteration: int) -> dict[str, object]:
    """Return the entry of the history for changes of a spec after an iteration."""
    ends = {name: {"from": value_of(spec, name), "to": value} for name, value in changes.items()}
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"iteration": iteration, "changed": ends, "started": started}


def original(config: Mapping[str, object], spec: Mapping[str, object]) -> dict[str, object]:
    """Return the spec of a configuration as it was at the start of the run.

    Entries of another form than `record` returns change nothing; this software writes none.
    """
    for _, name, value in reversed([*_replaced(config)]):
        spec = _with_value(spec, name, value)
    return dict(spec)


def earlier_rates(config: Mapping[str, object]) -> dict[str, list[tuple[int, object]]]:
    """Return the earlier values of each learning rate that a resume has changed, by name.

    Each value has the number of iterations after which it was replaced. Entries of another form than `record` returns
    are left out.
    """
    found: dict[str, list[tuple[int, object]]] = {}
    for iteration, name, value in _replaced(config):
        if name not in OF_THE_RUN and iteration:  # A value that no iteration used makes no difference.
            found.setdefault(name, []).append((iteration, value))
    return found


def _replaced(config: Mapping[str, object]) -> Iterator[tuple[int, str, object]]:
    """Yield each value that a change has replaced: after how many iterations, its name, and the value."""
    history = config.get(HISTORY)
    for entry in history if isinstance(history, list) else ():
        ends = entry.get("changed") if isinstance(entry, Mapping) else None
        for name, end in ends.items() if isinstance(ends, Mapping) else ():
            if isinstance(end, Mapping) and "from" in end:
                iteration = entry.get("iteration")
                yield iteration if isinstance(iteration, int) else 0, str(name), end["from"]


def value_of(spec: Mapping[str, object], name: str) -> object:
    """Return the value of an option of a spec; None if the spec lacks it."""
    group, dot, option = name.rpartition(".")
    options = spec.get(group) if dot else spec
    return options.get(option) if isinstance(options, Mapping) else None


def _with_value(spec: Mapping[str, object], name: str, value: object) -> dict[str, object]:
    group, dot, option = name.rpartition(".")
    if not dot:
        return {**spec, name: value}
    options = spec.get(group)
    return {**spec, group: {**(options if isinstance(options, Mapping) else {}), option: value}}
