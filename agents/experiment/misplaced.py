"""Messages about options of `agents.train` at a wrong level: beside the options of a plug-in, or among them.

agents.train(meta_batch=4)                      # agent_config=dict(meta_batch=4)
agents.train(agent_config=dict(iterations=9))   # iterations=9
"""

import difflib
from collections.abc import Collection, Mapping

from agents.core.plain import init_names
from agents.core.spec import CONFIGS, Spec
from qrl.common.checks import shown
from qrl.common.errors import UsageError, suggest

CLOSE = 0.8
"""Least similarity of a mistyped name with an option of a plug-in."""


def check_arguments(unknown: Mapping[str, object], spec: Spec, parameters: Collection[str]) -> None:
    """Raise UsageError, with what to write instead, for the first argument that `agents.train` does not have.

    Args:
        unknown: these arguments.
        spec: spec of the plug-ins that are given beside them.
        parameters: names of the arguments that there are.
    """
    for name, value in unknown.items():
        text = _instead(name, value, spec, parameters)
        raise UsageError(f"train: unknown argument {name!r}{text or suggest(name, parameters)}")


def check_options(configs: Mapping[str, object], spec: Spec, parameters: Collection[str]) -> None:
    """Raise UsageError, with what to write instead, for the first option that has its place elsewhere.

    Args:
        configs: options of each plug-in as they were given, by field of the spec.
        spec: spec of the same plug-ins with default options.
        parameters: names of the arguments of `agents.train`.
    """
    for key, options in configs.items():
        own = init_names(type(getattr(spec, key)))
        for name, value in options.items() if isinstance(options, Mapping) else ():
            mistyped = bool(difflib.get_close_matches(str(name), own, 1, CLOSE))
            if name not in own and (text := _instead(str(name), value, spec, parameters, exactly=mistyped)):
                raise UsageError(f"{key}: unknown option {name!r}{text}")


def _instead(name: str, value: object, spec: Spec, parameters: Collection[str], *, exactly: bool = False) -> str:
    """Return the tail of a message: how the option of this name is written, or of nearly this name unless `exactly`.

    Return "" if there is none, or if an argument of `agents.train` is nearly meant.
    """
    places: dict[str, list[str]] = {parameter: [f"{parameter}={{}}"] for parameter in parameters}
    for parameter in parameters:
        places.setdefault(parameter.removeprefix("eval_"), []).append(f"{parameter}={{}}")
    for key in CONFIGS.values():
        for option in init_names(type(getattr(spec, key))):
            places.setdefault(option, []).append(f"{key}=dict({option}={{}})")
    known = name in places
    near = [name] if known else [] if exactly else difflib.get_close_matches(name, places, 1, CLOSE)
    if not near or (near[0] in parameters and not known):
        return ""
    written = " or ".join(place.format(shown(value)) for place in places[near[0]])
    return f"; write {written}" if known else f"; did you mean {written}?"
