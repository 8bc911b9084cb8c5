"""Names of the runs of a study, which stay the same when the study grows."""

import hashlib
from collections.abc import Sequence

from agents.core.spec import Spec
from agents.study.setting import Setting, safe
from qrl.common.registry import short_name

LONGEST = 120
"""Longest name of a run without its seed [characters]; longer ones end in a digest."""


def stem(spec: Spec, variant: str, point: Sequence[Setting], *, with_model: bool = True) -> str:
    """Return the name of a run without its seed, such as "navigation-maml-mlp-inner_steps2".

    Args:
        spec: spec of the run.
        variant: name of its variant, or "".
        point: its settings of the axes of the grid.
        with_model: whether the agent uses the model.
    """
    plugins = (spec.env, spec.agent, *([spec.model] if with_model else []))
    parts = [safe(short_name(name)) for name in plugins] + ([safe(variant)] if variant else [])
    lasts = [_last(each) for each in point]
    parts += [_axis(each, short=lasts.count(_last(each)) == 1) for each in point]
    name = "-".join(parts)
    if len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def seeded(name: str, seed: int) -> str:
    """Return the name of the run with a seed."""
    return f"{name}-seed{seed}"


def _last(setting: Setting) -> str:
    return setting.name.rpartition(".")[2]


def _axis(setting: Setting, *, short: bool) -> str:
    """Return the part of an axis: inner_steps2, estimator_lvc; with its whole name if another axis ends alike."""
    name = _last(setting) if short else setting.name.replace(".", "_")
    value = safe(setting.text)
    return f"{name.replace('-', '_')}{'' if value[0].isdigit() or value[0] == '-' else '_'}{value}"
