"""Algorithm selection: which learning algorithm suits a dataset, in a few tries.

## Description

A task is a real classification dataset, a step fits an algorithm of scikit-learn with sensible settings to it: its
cross-validated accuracy is looked up in a table that was measured once (envs/automl/ORIGIN.md). The agent sees
features of the dataset that are known before anything is tried, and what it has tried with which score; it sees nothing
that it would not see of a user's CSV file. What counts is the best algorithm among the tries.

Test tasks are datasets of other groups than those of training: data of one origin, under whatever names, is one group.

## Action space

`Discrete(a)`, an algorithm; `envs.automl.algorithms.ALGORITHMS` has their names.

## Observation space

| Num         | Observation                                                      | Min | Max | Unit                |
|-------------|------------------------------------------------------------------|-----|-----|---------------------|
| f           | feature f of the dataset, by mean and deviation in training      | -3  | 3   | standard deviations |
| then a      | 1 if algorithm a was tried                                       | 0   | 1   | -                   |
| then a      | what it gained, 0 if it was not tried                            | -1  | 1   | accuracy            |
| then        | what the best try has gained                                     | 0   | 1   | accuracy            |
| last        | tries that are left                                              | 0   | 1   | share               |

A gain is accuracy above that of naming the most frequent class.

## Task parameters

| Parameter | Nominal | Train         | Test             | Unit | Meaning                                   |
|-----------|---------|---------------|------------------|------|-------------------------------------------|
| dataset   | 0       | {0, ..., 125} | {126, ..., 178}  | -    | number of a dataset, those of training first |

The validation split of the table is a part of training unless it is held out (`held_out`).

## Rewards

What a try adds to the gain of the best one before it, or to 0: the return is the gain of the best try.

## Starting state

Nothing tried. In training, features have noise (`jitter`); else there is no chance in it.

## Episode end

Truncation: the horizon, 5 tries by default.

## Source

J. R. Rice, "The algorithm selection problem", 1976; as meta-learning over datasets P. Brazdil et al., "Metalearning",
2022. Scores and features are this library's own measurements, envs/automl/ORIGIN.md.
"""

from dataclasses import dataclass

from envs import LookupTasks
from envs.automl.family import HELD_OUT, HeldOut, family
from qrl.common.checks import check_choice, check_count


@dataclass(frozen=True)
class Config:
    """Options of algorithm selection."""

    horizon: int = 5
    """Tries in a dataset [tries]; ours."""
    held_out: HeldOut = "test"
    """Datasets that the test split has: those for reports, or those to choose options by, which are else a part of
    training."""
    jitter: float = 1.0
    """Normal noise on the features of training datasets, drawn in each episode [standard deviations]; ours: so few
    datasets are else learned by heart."""

    def __post_init__(self) -> None:
        check_count("algorithm_selection: horizon [tries]", self.horizon)
        check_choice("algorithm_selection", "held_out", self.held_out, HELD_OUT)


def build(config: Config) -> LookupTasks:
    """The task distribution of `config`."""
    return family("algorithm_selection", config.horizon, config.held_out, config.jitter)
