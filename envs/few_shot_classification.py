"""Few-shot classification: which of two classes of a real dataset an example is of, learned from rewards.

## Description

A contextual bandit. A task is a pair of classes of a dataset, and which of the two is action 0. An example is shown,
one of the two actions is right, and the reward says whether it was taken; a few examples later the agent should be
right more often than not. All examples are rows of real datasets; those of test tasks are of other groups than those of
training: data of one origin, under whatever names, is one group.

Datasets, groups and splits are those of `algorithm_selection` (envs/automl/ORIGIN.md). A dataset has at most six
pairs of classes, those with most rows of which logistic regression, by eight components, is right on 60 % of held-out
rows at least, and at most 100 rows of each class are here: 438 pairs of 170 datasets, in which that classifier is right
on 79 % at the median (`python -m benchmarks.automl_table.build_rows` makes them).

An example comes of either class with probability 1/2, however many rows a class has: constant and random actions are
right in half of the examples, and as both orders are tasks, so is any policy before it has seen rewards, on average
over tasks. Logistic regression after 10 examples, in the tasks of training and on rows that it has not seen, is right
on 65.1 % by 2 components, 67.4 % by 3, 67.8 % by 4, 67.5 % by 6 and 67.7 % by 8: the default is 4. Rows are drawn again
and again: of a class of 20 rows, the fewest there are, an agent may meet those that it has learned from.

## Action space

`Discrete(2)`: the class. With `swapped` 0 the first one is action 0, with `swapped` 1 the second.

## Observation space

| Num | Observation                     | Min | Max | Unit                |
|-----|---------------------------------|-----|-----|---------------------|
| i   | principal component i of 4      | -4  | 4   | standard deviations |

Of the dataset's columns, numbers standardised and text one-hot encoded, over all rows of the dataset, without their
classes; 0 where a dataset has fewer. There are `n_features` of them.

## Task parameters

| Parameter | Nominal | Train         | OOD          | Unit | Meaning                                         |
|-----------|---------|---------------|--------------|------|-------------------------------------------------|
| pair      | 0       | {0, ..., 310} | no ood split | -    | dataset and pair of its classes                 |
| swapped   | 0       | {0, ..., 1}   | no ood split | -    | 1: the second class of the pair is action 0     |

Pairs of training come first; the test split has those after them.

## Rewards

1 for the right action, else 0: the mean return of episodes of one example is accuracy.

## Starting state

The examples of the episode, independent of each other: a class, then one of its rows.

## Episode end

Truncation: the horizon, 1 example by default.

## Source

Classification as a contextual bandit: A. Beygelzimer, J. Langford, "The offset tree for learning with partial labels",
KDD 2009. Tasks that are pairs of classes in an order: O. Vinyals et al., "Matching networks for one shot learning",
NeurIPS 2016. The datasets are described in envs/automl/ORIGIN.md.
"""

from dataclasses import dataclass
from functools import cache

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray
from torch import Tensor

from envs import Integer, Tasks, TorchTasks, check_indices
from envs.automl.family import HELD_OUT, HeldOut, shipped_table, trained_on
from envs.automl.rows import LARGEST_FEATURE, Rows, read_rows
from qrl.common.checks import check_choice, check_count
from qrl.common.errors import UsageError

LARGEST_HORIZON = 100_000
"""All examples of an episode are drawn at its start."""


@dataclass(frozen=True)
class Config:
    """Options of few-shot classification."""

    horizon: int = 1
    """Examples in an episode [steps]; ours."""
    n_features: int = 4
    """Principal components that are seen of an example, 1 to 8 [components]; ours."""
    held_out: HeldOut = "test"
    """Datasets that the test split has: those for reports, or those to choose options by, which are else a part of
    training."""

    def __post_init__(self) -> None:
        check_count("few_shot_classification: horizon [steps]", self.horizon, most=LARGEST_HORIZON)
        check_count("few_shot_classification: n_features", self.n_features)
        check_choice("few_shot_classification", "held_out", self.held_out, HELD_OUT)


def build(config: Config) -> TorchTasks:
    """The task distribution of `config`."""
    rows = _rows()
    splits = rows.splits(shipped_table())
    train, test = (
        np.flatnonzero([each in wanted for each in splits])
        for wanted in (trained_on(config.held_out), (config.held_out,))
    )
    return FewShotClassification(config, rows, train, test)


@cache
def _rows() -> Rows:
    """Read once."""
    return read_rows()


class FewShotClassification(TorchTasks):
    """Pairs of classes; the datasheet is at the top of the file.

    State: examples so far, then the row of each of horizon + 1 examples, then the right action for each. The last
    example is what is seen after the last step.

    Args:
        config: options.
        rows: of datasets.
        train: pairs of training, two or more.
        test: pairs held out, two or more.

    Raises:
        UsageError: there are fewer components than `n_features`.
    """

    def __init__(self, config: Config, rows: Rows, train: NDArray[np.int64], test: NDArray[np.int64]) -> None:
        n_features, n_known = config.n_features, rows.features.shape[1]
        if n_features > n_known:
            raise UsageError(
                f"few_shot_classification: n_features must be at most {n_known}, all that are kept, not {n_features}"
            )
        self.rows, self.pairs = rows, np.concatenate([train, test])
        self._features = torch.from_numpy(rows.features[:, :n_features].astype(np.float64))
        # First row and number of rows [pair, class, 2], pairs of training first.
        self._classes = torch.from_numpy(rows.classes[rows.pairs[self.pairs]])
        super().__init__(
            name="few_shot_classification",
            horizon=config.horizon,
            observation_space=gym.spaces.Box(-LARGEST_FEATURE, LARGEST_FEATURE, (n_features,)),
            action_space=gym.spaces.Discrete(2),
            observation_scale=[1.0] * n_features,
            parameters={"pair": Integer(0, len(train) - 1), "swapped": Integer(0, 1)},
            test={"pair": Integer(len(train), len(self.pairs) - 1)},
            nominal={"pair": 0.0, "swapped": 0.0},
        )

    def check_tasks(self, tasks: object, n_tasks: int) -> Tasks:
        """Also refuses numbers that are no pair, or no order."""
        tasks = super().check_tasks(tasks, n_tasks)
        check_indices("few_shot_classification: pair", tasks.pair, len(self.pairs))
        check_indices("few_shot_classification: swapped", tasks.swapped, 2)
        return tasks

    def dataset(self, pair: int) -> str:
        """Name of the dataset of a task's pair."""
        return self.rows.datasets[self.pairs[pair]]

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Example 0, the rows to come, and the right actions."""
        shape, device = (2, len(tasks), self.horizon + 1), generator.device
        uniform = torch.rand(shape, dtype=torch.float64, generator=generator, device=device)
        second = (uniform[0] >= 0.5).long()
        classes = self._classes.to(device)[tasks.pair.long()]
        first, count = classes.gather(1, second[..., None].expand(-1, -1, 2)).unbind(-1)
        # The product may round up to the number of rows.
        row = first + torch.minimum((uniform[1] * count).long(), count - 1)
        right = second ^ tasks.swapped.long()[:, None]
        return torch.cat([torch.zeros_like(tasks.pair)[:, None], row.double(), right.double()], dim=1)

    def present(self, state: Float64[Tensor, "lane state"]) -> tuple[Int64[Tensor, " lane"], Int64[Tensor, " lane"]]:
        """Row of the present example of each lane, and the right action."""
        # A finished lane is stepped, too, though not heeded: it would be an example too many.
        step = state[:, :1].long().clamp_max(self.horizon)
        row, right = state.gather(1, torch.cat([1 + step, 2 + self.horizon + step], dim=1)).long().unbind(1)
        return row, right

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """The example, but not its class."""
        return self._features.to(state.device)[self.present(state)[0]]

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Be told whether the action was right, then on to the next example."""
        right = action == self.present(state)[1]
        state = torch.cat([state[:, :1] + 1, state[:, 1:]], dim=1)
        return state, right.double(), torch.zeros_like(right)
