"""Hyperparameter tuning: find the best configuration of a learning algorithm in a few evaluations on a dataset.

## Description

A variant of `algorithm_selection` whose candidates are 32 configurations of one algorithm. By default the algorithm is
a support vector machine or gradient boosting of scikit-learn (`envs.automl.algorithms.PORTFOLIOS`), measured on real
datasets. The tables of HPOBench and HPOLib have 32 configurations of a multilayer perceptron, on eight classification
and on four regression datasets (`envs.automl.hpobench`). The return counts the best configuration evaluated.

## Action space

`Discrete(32)`, a configuration.

## Observation space

| Num     | Observation                                                      | Min | Max | Unit                |
|---------|------------------------------------------------------------------|-----|-----|---------------------|
| f       | feature f of the dataset, by mean and deviation in training      | -3  | 3   | standard deviations |
| then 32 | 1 if the configuration was evaluated                             | 0   | 1   | -                   |
| then 32 | its gain if evaluated, else 0                                    | -1  | 1   | accuracy            |
| then    | best gain so far                                                 | 0   | 1   | accuracy            |
| last    | remaining evaluations                                            | 0   | 1   | fraction of horizon |

A gain is the accuracy minus that of predicting the most frequent class. For HPOBench, a gain is the balanced accuracy
minus that of predicting one class; for HPOLib, the explained fraction of the target's variance.

## Task parameters

| Parameter | Nominal | Train         | Test             | Unit | Meaning                                   |
|-----------|---------|---------------|------------------|------|-------------------------------------------|
| dataset   | 0       | {0, ..., 125} | {126, ..., 178}  | -    | index of a dataset, training datasets first  |

These ranges hold for support vector machines and gradient boosting. HPOBench has five training and three test datasets,
HPOLib two and two: enough to experiment with third-party tables, too few for conclusions. The validation datasets of
the table belong to training unless `held_out` holds them out: as the test split, or, with both, as the validation split
between the two.

## Rewards

The increase of the best gain so far, which starts at 0: the return is the gain of the best evaluation.

## Starting state

No configuration evaluated. In training, the features have noise (`jitter`); otherwise the state is deterministic.

## Episode end

Truncation: the horizon, 20 evaluations by default.

## Source

Tuning over several datasets: J. Bergstra and Y. Bengio, "Random search for hyper-parameter optimization", JMLR 2012.
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
    """Algorithm whose configurations are the candidates; ours. hpobench and hpolib: multilayer perceptrons, on eight
    and on four datasets without meta-features (extra `hpobench`)."""
    horizon: int = 20
    """Budget of an episode [evaluations]; ours."""
    held_out: HeldOut = "test"
    """Datasets held out of training: test, for reports; validation, as the test split, for choosing options; or both,
    each as its own split, for --validate-every. Ours."""
    jitter: float = 1.0
    """Normal noise on the features of training datasets, drawn in each episode [standard deviations]; ours, against
    overfitting to the few datasets."""

    def __post_init__(self) -> None:
        check_count("hyperparameter_tuning: horizon [evaluations]", self.horizon)
        check_choice("hyperparameter_tuning", "portfolio", self.portfolio, get_args(Portfolio))
        check_choice("hyperparameter_tuning", "held_out", self.held_out, HELD_OUT)


def default_agent(config: Config) -> tuple[str, str]:
    """Return RL^2 with a quantum memory: a trial is a single episode, in which every step is an evaluation."""
    return "rl2", "qgru"


def build(config: Config) -> LookupTasks:
    """Return the task distribution of `config`."""
    if config.portfolio in ("hpobench", "hpolib"):
        from envs.automl import hpobench

        table = hpobench.score_table(config.portfolio, config.held_out)
        return LookupTasks("hyperparameter_tuning", "dataset", config.horizon, table)
    return family("hyperparameter_tuning", config.horizon, config.held_out, config.jitter, config.portfolio)
