"""TPE (Optuna): tree-structured Parzen estimator restricted to the configurations of a portfolio; no training.

Bergstra et al. 2011 (Algorithms for hyper-parameter optimization), as implemented by `optuna.samplers.TPESampler` with
its defaults except `startup`. Each lane is a separate study over the portfolio's hyperparameters. The policy evaluates
the untried configuration nearest to the sampler's suggestion, and reports the score to the study with the values of the
evaluated configuration, so that the sampler models real measurements.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution
from torch import Tensor

from agents.core.context import BuildContext
from agents.references.shared.search import Observation, SearchConfig, SearchPolicy
from qrl.common.errors import UsageError

REQUIRES = ("optuna",)
EXTRA = "tuning"
FAMILIES = ("hyperparameter_tuning",)


@dataclass(frozen=True)
class Config(SearchConfig):
    """Options of TPE."""

    startup: int = 5
    """Random evaluations before the first one suggested by the model [evaluations] (ours; Optuna: 10, half of the
    budget here)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("startup",), lambda value: value >= 1, "at least 1")


LOGARITHMIC = 20
"""Ratio of the largest to the smallest value of a hyperparameter from which on its range is logarithmic."""


class SearchSpace:
    """Search space of a portfolio: its varying hyperparameters, their ranges, and a distance of configurations."""

    def __init__(self, configurations: Sequence[Mapping[str, Any]]) -> None:
        self.configurations = configurations
        self.distributions: dict[str, Any] = {}
        for name in dict.fromkeys(name for each in configurations for name in each):
            values = {each[name] for each in configurations if name in each}
            numbers = sorted(value for value in values if not isinstance(value, str))
            if not numbers:
                self.distributions[name] = CategoricalDistribution(sorted(values))
            elif len(numbers) > 1:
                log = numbers[0] > 0 and numbers[-1] / numbers[0] >= LOGARITHMIC
                self.distributions[name] = FloatDistribution(numbers[0], numbers[-1], log=log)

    def values_of(self, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """Return a configuration's values of the searched hyperparameters.

        A word in place of a number, such as "scale", is skipped.
        """
        values = {}
        for name, distribution in self.distributions.items():
            value = configuration.get(name)
            if isinstance(distribution, CategoricalDistribution) and value is not None:
                values[name] = value
            elif isinstance(value, int | float):
                values[name] = float(value)
        return values

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Return the sampler's suggestion.

        A conditional hyperparameter is suggested only if all configurations with the categorical values suggested so
        far have it.
        """
        compatible, suggestion = [self.values_of(each) for each in self.configurations], {}
        for name, distribution in self.distributions.items():
            if not all(name in each for each in compatible):
                continue
            if isinstance(distribution, CategoricalDistribution):
                suggestion[name] = trial.suggest_categorical(name, distribution.choices)
                compatible = [each for each in compatible if each[name] == suggestion[name]]
            else:
                low, high = distribution.low, distribution.high
                suggestion[name] = trial.suggest_float(name, low, high, log=distribution.log)
        return suggestion

    def distance(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
        """Distance of two configurations, a sum over hyperparameters.

        Each hyperparameter contributes 1 if it is categorical and differs, or if only one configuration has it;
        otherwise the difference as a fraction of its range.
        """
        return sum(self._difference(name, one.get(name), other.get(name)) for name in sorted(one.keys() | other.keys()))

    def _difference(self, name: str, one: Any, other: Any) -> float:
        if isinstance(one, str) or isinstance(other, str) or one is None or other is None:
            return float(one != other)
        range_ = self.distributions[name]
        scale = math.log if range_.log else float
        return abs(scale(one) - scale(other)) / (scale(range_.high) - scale(range_.low))


class TPE(SearchPolicy):
    """TPE search policy. Every step rebuilds a lane's study from the configurations evaluated so far.

    Raises UsageError for candidates that are not configurations of one algorithm.
    """

    deterministic = False

    def __init__(self, config: Config, context: BuildContext) -> None:
        super().__init__(config, context)
        if not self.family.table.configurations:
            raise UsageError(
                f"agent tpe: the candidates of {self.family.name!r} are not configurations of one algorithm; use env "
                "hyperparameter_tuning"
            )
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._startup = SearchSpace(self.family.table.configurations), config.startup

    def acquisition(self, observed: Observation, generator: torch.Generator) -> Tensor:
        """Return each configuration's negative distance to the sampler's suggestion."""
        tried, gains = (x.flatten(0, -2).tolist() for x in (observed.tried, observed.gains))
        seeds = torch.randint(2**31, (len(tried),), generator=generator, device=self.device).tolist()
        rows = [self._row(*lane) for lane in zip(tried, gains, seeds, strict=True)]
        return torch.tensor(rows, dtype=torch.float64, device=self.device).unflatten(0, observed.tried.shape[:-1])

    def _row(self, tried: Sequence[float], gains: Sequence[float], seed: int) -> list[float]:
        space = self._space
        sampler = optuna.samplers.TPESampler(n_startup_trials=self._startup, seed=seed)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for configuration, evaluated, gain in zip(space.configurations, tried, gains, strict=True):
            if evaluated:
                params = space.values_of(configuration)
                distributions = {name: space.distributions[name] for name in params}
                study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=gain))
        suggestion = space.suggest(study.ask())
        return [-space.distance(suggestion, space.values_of(each)) for each in space.configurations]


def build(config: Config, context: BuildContext) -> TPE:
    """Return the policy."""
    return TPE(config, context)
