"""Few-shot classification as a contextual bandit: learn two classes of a real dataset from rewards.

## Description

A contextual bandit. A task is a pair of classes of a dataset, and the class that is action 0. The agent observes an
example, chooses one of two actions, and the reward says whether the action was right. After a few examples the agent
should be right more often than not. All examples are rows of real datasets. Test tasks come from groups of datasets
that do not occur in training. A group holds all data of one origin, under any name.

Datasets, groups and splits are those of `algorithm_selection` (envs/automl/ORIGIN.md). A dataset has at most six pairs
of classes: the pairs with most rows, among the pairs on which logistic regression with eight components has an accuracy
of at least 60 % on held-out rows. The family keeps at most 100 rows of each class. There are 438 pairs of 170 datasets,
in which the median accuracy of this classifier is 79 % (`python -m benchmarks.automl_table.build_rows` makes them).

Each class of an example has probability 1/2, whatever the numbers of rows. Constant and random actions are therefore
right on half of the examples. Both orders of the classes are tasks, so without rewards every policy is right on half of
the examples, on average over tasks. In the training tasks, logistic regression after 10 examples has an accuracy on
unseen rows of 65.1 % with 2 components, 67.4 % with 3, 67.8 % with 4, 67.5 % with 6 and 67.7 % with 8: the default
is 4. Rows are drawn with replacement: in the smallest classes, of 20 rows, an agent may meet a row again.

## Action space

`Discrete(2)`: the class. With `swapped` 0 the first one is action 0, with `swapped` 1 the second.

## Observation space

| Num | Observation                     | Min | Max | Unit                |
|-----|---------------------------------|-----|-----|---------------------|
| i   | principal component i of 4      | -4  | 4   | standard deviations |

The observation has `n_features` principal components of the dataset's columns, with numbers standardised and text
one-hot encoded. The components are computed over all rows of the dataset, without the classes. Components beyond those
of the dataset are 0.

## Task parameters

| Parameter | Nominal | Train         | OOD          | Unit | Meaning                                         |
|-----------|---------|---------------|--------------|------|-------------------------------------------------|
| pair      | 0       | {0, ..., 310} | no ood split | -    | dataset and pair of its classes                 |
| swapped   | 0       | {0, ..., 1}   | no ood split | -    | 1: the second class of the pair is action 0     |

Training pairs come first, then those of the validation split if `held_out` is both, then those of the test split.

## Rewards

1 for the right action, else 0: the mean return of episodes of one example is accuracy.

## Starting state

The examples of the episode, drawn independently: a class, then one of its rows.

## Episode end

Termination after the only example; with a horizon of several examples, truncation there.

## Source

Classification as a contextual bandit: A. Beygelzimer, J. Langford, "The offset tree for learning with partial labels",
KDD 2009. Tasks made of ordered pairs of classes: O. Vinyals et al., "Matching networks for one shot learning",
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
from envs.automl.family import HELD_OUT, HeldOut, shipped_table, splits_of
from envs.automl.rows import MAX_COMPONENT, Rows, read_rows
from envs.dynamics.drawing import BLACK, BLUE, GREEN, Picture, blank_picture, draw_disc
from qrl.common.checks import check_choice, check_count
from qrl.common.errors import UsageError

PICTURE = 240
"""Side of a picture [pixels]."""

MAX_HORIZON = 100_000
"""Upper bound, as all examples of an episode are drawn at its start [steps]."""


@dataclass(frozen=True)
class Config:
    """Options of few-shot classification."""

    horizon: int = 1
    """Examples per episode [steps]; ours."""
    n_features: int = 4
    """Observed principal components of an example, 1 to 8 [components]; ours."""
    held_out: HeldOut = "test"
    """Datasets held out of training: test, for reports; validation, as the test split, for choosing options; or both,
    each as its own split, for --validate-every. Ours."""

    def __post_init__(self) -> None:
        check_count("few_shot_classification: horizon [steps]", self.horizon, most=MAX_HORIZON)
        check_count("few_shot_classification: n_features", self.n_features)
        check_choice("few_shot_classification", "held_out", self.held_out, HELD_OUT)


def build(config: Config) -> TorchTasks:
    """Return the task distribution of `config`."""
    rows = _rows()
    splits = rows.splits(shipped_table())
    train, validation, test = (
        np.flatnonzero([each in wanted for each in splits]) for wanted in splits_of(config.held_out)
    )
    return FewShotClassification(config, rows, train, test, validation)


@cache
def _rows() -> Rows:
    """Return the shipped rows, read once per process."""
    return read_rows()


class FewShotClassification(TorchTasks):
    """Few-shot classification of pairs of classes; the datasheet is at the top of the file.

    State: examples so far, then the row of each of horizon + 1 examples, then the right action for each example. The
    last example is the observation after the last step.

    Args:
        config: options.
        rows: rows of the datasets, and their pairs of classes.
        train: indices of the training pairs, two or more.
        test: indices of the held-out pairs, two or more.
        validation: indices of the pairs of the validation split; without any, validation has train pairs.

    Raises:
        UsageError: `rows` has fewer components than `n_features`.
    """

    render_modes = ("rgb_array",)

    def __init__(
        self,
        config: Config,
        rows: Rows,
        train: NDArray[np.int64],
        test: NDArray[np.int64],
        validation: NDArray[np.int64] | None = None,
    ) -> None:
        n_features, n_components = config.n_features, rows.features.shape[1]
        if n_features > n_components:
            raise UsageError(f"few_shot_classification: n_features must be at most {n_components}, not {n_features}")
        held_out = train[:0] if validation is None else validation
        self.rows, self.pairs = rows, np.concatenate([train, held_out, test])
        first_test = len(train) + len(held_out)
        self._features = torch.from_numpy(rows.features[:, :n_features].astype(np.float64))
        # First row and number of rows [pair, class, 2], training pairs first.
        self._classes = torch.from_numpy(rows.classes[rows.pairs[self.pairs]])
        super().__init__(
            name="few_shot_classification",
            horizon=config.horizon,
            observation_space=gym.spaces.Box(-MAX_COMPONENT, MAX_COMPONENT, (n_features,)),
            action_space=gym.spaces.Discrete(2),
            observation_scale=[1.0] * n_features,
            parameters={"pair": Integer(0, len(train) - 1), "swapped": Integer(0, 1)},
            validation={"pair": Integer(len(train), first_test - 1)} if len(held_out) else {},
            test={"pair": Integer(first_test, len(self.pairs) - 1)},
            nominal={"pair": 0.0, "swapped": 0.0},
        )
        self.ends_at_horizon = config.horizon == 1

    def check_tasks(self, tasks: object, n_tasks: int) -> Tasks:
        """Check tasks as the base class does; also raise UsageError for a `pair` or `swapped` that does not exist."""
        tasks = super().check_tasks(tasks, n_tasks)
        check_indices("few_shot_classification: pair", tasks.pair, len(self.pairs))
        check_indices("few_shot_classification: swapped", tasks.swapped, 2)
        return tasks

    def dataset(self, pair: int) -> str:
        """Return the name of the dataset of a task's pair."""
        return self.rows.datasets[self.pairs[pair]]

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Draw the rows of all examples of the episode, with the right actions; step 0."""
        shape, device = (2, len(tasks), self.horizon + 1), generator.device
        uniform = torch.rand(shape, dtype=torch.float64, generator=generator, device=device)
        second = (uniform[0] >= 0.5).long()
        classes = self._classes.to(device)[tasks.pair.long()]
        first, count = classes.gather(1, second[..., None].expand(-1, -1, 2)).unbind(-1)
        # The product may round up to the number of rows.
        row = first + torch.minimum((uniform[1] * count).long(), count - 1)
        right = second ^ tasks.swapped.long()[:, None]
        return torch.cat([torch.zeros_like(tasks.pair)[:, None], row.double(), right.double()], dim=1)

    def current_example(
        self, state: Float64[Tensor, "lane state"]
    ) -> tuple[Int64[Tensor, " lane"], Int64[Tensor, " lane"]]:
        """Return the row of each lane's current example, and the right action."""
        # Finished lanes are stepped too, and their results ignored; without the clamp the index would be out of range.
        step = state[:, :1].long().clamp_max(self.horizon)
        row, right = state.gather(1, torch.cat([1 + step, 2 + self.horizon + step], dim=1)).long().unbind(1)
        return row, right

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """Return the features of the current example, without its class."""
        return self._features.to(state.device)[self.current_example(state)[0]]

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Reward the right action, and move on to the next example."""
        right = action == self.current_example(state)[1]
        state = torch.cat([state[:, :1] + 1, state[:, 1:]], dim=1)
        return state, right.double(), torch.zeros_like(right)

    # -- rendering -----------------------------------------------------------------------------------------------------

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """Draw the rows of both classes in the plane of the first two components, and the current example in black.

        Rows whose right action is 0 are blue, the others green. With a single component all are at the same height.
        """
        drawn = blank_picture(PICTURE, PICTURE)
        (classes,), swapped = self._classes[tasks.pair.long().cpu()], bool(tasks.swapped[0])
        for colour, (first, count) in zip((GREEN, BLUE) if swapped else (BLUE, GREEN), classes.tolist(), strict=True):
            for row in range(first, first + count):
                drawn = draw_disc(drawn, *self._place(row), colour, radius=3.0)
        return draw_disc(drawn, *self._place(int(self.current_example(state)[0])), BLACK, radius=6.0)

    def _place(self, row: int) -> tuple[float, float]:
        """Return where a row is drawn: column from the left and row from the top [pixels]."""
        x, y = (*self._features[row, :2].tolist(), 0.0)[:2]
        return PICTURE * (0.5 + x / (2 * MAX_COMPONENT)), PICTURE * (0.5 - y / (2 * MAX_COMPONENT))
