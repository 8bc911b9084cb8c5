"""Parameter budgets: a number of parameters, or as many as another model has."""

import json

from torch import Generator

from qrl.common.checks import check_count
from qrl.common.errors import UsageError, wrap_errors
from qrl.common.options import build_config
from qrl.common.trust import remedy
from qrl.models import MODELS
from qrl.policies.frame import MAX_BUDGET, Frame
from qrl.policies.registers import RegisterFeatures

LIKE = "like:"

Budget = int | str
"""Target size of a whole policy [parameters], or "like:NAME", with options after commas, such as
"like:reuploading,n_layers=5": as many parameters as the policy with this model has."""


def canonical_budget(budget: Budget) -> Budget:
    """Return a budget given by the user in the form to be saved: the path of a model's file becomes absolute.

    Raises:
        UsageError: the budget is not in 1 to MAX_BUDGET and not "like:NAME".
    """
    if isinstance(budget, str):
        if not budget.startswith(LIKE):
            raise UsageError(f"model: budget must be a number or {LIKE}NAME, not {budget!r}")
        name, comma, options = budget.removeprefix(LIKE).partition(",")
        return f"{LIKE}{MODELS.canonical(name)}{comma}{options}"
    return check_count("model: budget", budget, most=MAX_BUDGET)


def n_parameters_of(budget: Budget, frame: Frame) -> int:
    """Return the number of parameters of a budget, for a policy in this frame.

    Raises:
        UsageError: the model of "like:NAME" or one of its options is unknown or invalid.
    """
    if isinstance(budget, int):
        return budget
    name, *options = budget.removeprefix(LIKE).split(",")
    try:
        with remedy("add --trust (in Python: trust=True)"):  # --model would name the run's model, not this one
            plugin = MODELS.load(name)
    except UsageError as error:
        raise UsageError(f"budget {budget!r}: {error}") from error
    values = dict(_option(text, budget) for text in options)
    config = build_config(plugin.Config, values, "budget: no option", f" of model {name!r}")
    with wrap_errors(f"budget {budget!r}", usage_errors=True):
        features = plugin.build(config, frame, Generator())
    n_own = sum(parameter.numel() for parameter in features.parameters())
    if isinstance(features, RegisterFeatures):  # without a read-out around it
        return n_own
    assert isinstance(features.n_features, int)
    return n_own + frame.n_parameters(features.n_features)


def _option(text: str, budget: str) -> tuple[str, object]:
    name, separator, value = text.partition("=")
    if not separator:
        raise UsageError(f"budget: expected OPTION=VALUE after a comma, not {text!r} in {budget!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
