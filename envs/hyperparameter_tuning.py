"""Hyperparameter tuning: which configuration of a learning algorithm suits a dataset, in a few tries.

## Description

As `algorithm_selection`, but the candidates are 32 configurations of one algorithm of scikit-learn, a support vector
machine or gradient boosting (`envs.automl.algorithms.PORTFOLIOS`), each measured on real datasets; or, from the
tables of HPOBench and HPOLib, 32 of a perceptron on eight datasets of classes or four of regression
(`envs.automl.hpobench`). What counts is the best configuration among the tries.

## Action space

`Discrete(32)`, a configuration.

## Observation space

| Num     | Observation                                                      | Min | Max | Unit                |
|---------|------------------------------------------------------------------|-----|-----|---------------------|
| f       | feature f of the dataset, by mean and deviation in training      | -3  | 3   | standard deviations |
| then 32 | 1 if the configuration was tried                                 | 0   | 1   | -                   |
| then 32 | what it gained, 0 if it was not tried                            | -1  | 1   | accuracy            |
| then    | what the best try has gained                                     | 0   | 1   | accuracy            |
| last    | tries that are left                                              | 0   | 1   | share               |

A gain is accuracy above that of naming the most frequent class; of HPOBench, balanced accuracy above that of naming one
class; of HPOLib, the share of the target's variance that is explained.

## Task parameters

| Parameter | Nominal | Train         | Test             | Unit | Meaning                                   |
|-----------|---------|---------------|------------------|------|-------------------------------------------|
| dataset   | 0       | {0, ..., 125} | {126, ..., 178}  | -    | number of a dataset, those of training first |

So for support vector machines and gradient boosting. HPOBench has five datasets of training and three of test, HPOLib
two and two: enough to play with other people's tables, not to conclude from. The validation split of the table is a
part of training unless it is held out (`held_out`).

## Rewards

What a try adds to the gain of the best one before it, or to 0: the return is the gain of the best try.

## Starting state

Nothing tried. In training, features have noise (`jitter`); else there is no chance in it.

## Episode end

Truncation: the horizon, 20 tries by default.

## Source

As a problem over datasets J. Bergstra and Y. Bengio, "Random search for hyper-parameter optimization", JMLR 2012.
Scores and features are this library's own measurements, envs/automl/ORIGIN.md.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from envs import LookupTasks
from envs.automl.family import HELD_OUT, HeldOut, family
from qrl.common.checks import check_choice, check_count

Portfolio = Literal["svm", "gradient_boosting", "hpobench", "hpolib"]


@dataclass(frozen=True)
class Config:
    """Options of hyperparameter tuning."""

    portfolio: Portfolio = "svm"
    """Whose configurations are tried; hpobench, hpolib: of perceptrons, on eight and on four datasets of which nothing
    is known before the first try (extra `hpobench`)."""
    horizon: int = 20
    """Tries in a dataset [tries]; ours."""
    held_out: HeldOut = "test"
    """Datasets that the test split has: those for reports, or those to choose options by, which are else a part of
    training."""
    jitter: float = 1.0
    """Normal noise on the features of training datasets, drawn in each episode [standard deviations]; ours: so few
    datasets are else learned by heart."""

    def __post_init__(self) -> None:
        check_count("hyperparameter_tuning: horizon [tries]", self.horizon)
        check_choice("hyperparameter_tuning", "portfolio", self.portfolio, get_args(Portfolio))
        check_choice("hyperparameter_tuning", "held_out", self.held_out, HELD_OUT)


def build(config: Config) -> LookupTasks:
    """The task distribution of `config`."""
    if config.portfolio in ("hpobench", "hpolib"):
        from envs.automl import hpobench

        table = hpobench.score_table(config.portfolio, config.held_out)
        return LookupTasks("hyperparameter_tuning", "dataset", config.horizon, table)
    return family("hyperparameter_tuning", config.horizon, config.held_out, config.jitter, config.portfolio)
