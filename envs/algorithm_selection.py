"""Algorithm selection: find the best learning algorithm for a dataset within a few evaluations.

## Description

A task is a real classification dataset. A step evaluates one algorithm of scikit-learn with sensible settings on the
dataset: the environment looks up the cross-validated accuracy in a precomputed table (envs/automl/ORIGIN.md). The agent
observes meta-features of the dataset, which are known before the first evaluation, and the algorithms evaluated so far
with their scores. The same observation can be computed for a user's CSV file. The return counts the best algorithm
evaluated.

Test tasks are datasets of groups that do not occur in training. A group holds all data of one origin, under any name.

## Action space

`Discrete(a)`, an algorithm; `envs.automl.algorithms.ALGORITHMS` has their names.

## Observation space

| Num         | Observation                                                      | Min | Max | Unit                |
|-------------|------------------------------------------------------------------|-----|-----|---------------------|
| f           | feature f of the dataset, by mean and deviation in training      | -3  | 3   | standard deviations |
| then a      | 1 if algorithm a was evaluated                                   | 0   | 1   | -                   |
| then a      | its gain if evaluated, else 0                                    | -1  | 1   | accuracy            |
| then        | best gain so far                                                 | 0   | 1   | accuracy            |
| last        | remaining evaluations                                            | 0   | 1   | fraction of horizon |

A gain is the accuracy minus that of predicting the most frequent class.

## Task parameters

| Parameter | Nominal | Train         | Test             | Unit | Meaning                                   |
|-----------|---------|---------------|------------------|------|-------------------------------------------|
| dataset   | 0       | {0, ..., 125} | {126, ..., 178}  | -    | index of a dataset, training datasets first  |

The validation datasets of the table belong to training unless `held_out` holds them out: as the test split, or, with
both, as the validation split between the two.

## Rewards

The increase of the best gain so far, which starts at 0: the return is the gain of the best evaluation.

## Starting state

No algorithm evaluated. In training, the features have noise (`jitter`); otherwise the state is deterministic.

## Episode end

Truncation: the horizon, 5 evaluations by default.

## Source

J. R. Rice, "The algorithm selection problem", 1976; for meta-learning over datasets P. Brazdil et al., "Metalearning",
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
    """Budget of an episode [evaluations]; ours."""
    held_out: HeldOut = "test"
    """Datasets held out of training: test, for reports; validation, as the test split, for choosing options; or both,
    each as its own split, for --validate-every. Ours."""
    jitter: float = 1.0
    """Normal noise on the features of training datasets, drawn in each episode [standard deviations]; ours, against
    overfitting to the few datasets."""

    def __post_init__(self) -> None:
        check_count("algorithm_selection: horizon [evaluations]", self.horizon)
        check_choice("algorithm_selection", "held_out", self.held_out, HELD_OUT)


def default_agent(config: Config) -> tuple[str, str]:
    """Return RL^2 with a quantum memory: a trial is a single episode, in which every step is an evaluation."""
    return "rl2", "qgru"


def build(config: Config) -> LookupTasks:
    """Return the task distribution of `config`."""
    return family("algorithm_selection", config.horizon, config.held_out, config.jitter)
