"""Look-up of task distributions by the name of their family."""

from dataclasses import fields

from envs.core.distribution import TaskDistribution
from envs.core.registry import ENVS
from qrl.common.errors import UsageError, suggest


def make(name: str, **config: object) -> TaskDistribution:
    """Return the task distribution of a family.

    Args:
        name: a family of this folder, a registered name, a path to a .py file, `module:name`, or an entry point.
        config: options of the family, the fields of its `Config`.

    Raises:
        UsageError: an unknown family or option (a near match is suggested), or a value out of range.
    """
    plugin = ENVS.load(name)
    options = [field.name for field in fields(plugin.Config)]
    for option in config:
        if option not in options:
            raise UsageError(f"env {name!r}: unknown option {option!r}{suggest(option, options)}")
    return plugin.build(plugin.Config(**config))
