"""Adam with parameters of equal rates in one group, and rules with a stored signature."""

import inspect

import pytest
import torch

from agents.core.saved_state import moments, restore_training
from qrl.backends.cost import _Counted
from qrl.backends.row_function import RowFunctionOp
from qrl.backends.shots import _Frequencies
from qrl.common.optimisers import adam

SHAPES = {"a": (16, 8), "b": (3,), "c": (), "d": (4, 1, 16), "e": (5, 5)}
RATES = {"a": 0.01, "b": 0.1, "c": 0.01, "d": 0.001, "e": 0.1}


def parameters():
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator).requires_grad_() for name, shape in SHAPES.items()}


def one_group_each(params, amsgrad):
    """The optimiser as it was: a group per parameter, without `foreach`."""
    groups = [{"params": [value], "lr": RATES[name]} for name, value in params.items()]
    return torch.optim.Adam(groups, amsgrad=amsgrad, foreach=False)


def take_steps(optimiser, params, n_steps, seed):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_steps):
        for value in params.values():
            value.grad = torch.randn(value.shape, generator=generator)
        optimiser.step()


@pytest.mark.parametrize("amsgrad", [False, True])
def test_steps_equal_those_of_one_group_per_parameter_bit_by_bit(amsgrad):
    mine, theirs = parameters(), parameters()
    optimiser = adam(mine, RATES, amsgrad=amsgrad)
    assert [group["lr"] for group in optimiser.param_groups] == [0.01, 0.1, 0.001]
    take_steps(optimiser, mine, 50, seed=1)
    take_steps(one_group_each(theirs, amsgrad), theirs, 50, seed=1)
    for name in SHAPES:
        assert torch.equal(mine[name], theirs[name])


@pytest.mark.parametrize("amsgrad", [False, True])
def test_moments_of_one_group_per_parameter_are_restored(amsgrad):
    """A checkpoint names moments by parameter, so that one from before goes on as if nothing had happened."""
    theirs = parameters()
    before = one_group_each(theirs, amsgrad)
    take_steps(before, theirs, 5, seed=1)
    saved = {f"params/{name}": value.detach().clone() for name, value in theirs.items()}
    saved |= {name: tensor.clone() for name, tensor in moments(before, theirs).items()}

    mine = parameters()
    after = adam(mine, RATES, amsgrad=amsgrad)
    restore_training({f"params/{name}": value for name, value in mine.items()}, after, mine, saved)
    assert moments(after, mine).keys() == moments(before, theirs).keys()
    take_steps(before, theirs, 5, seed=2)
    take_steps(after, mine, 5, seed=2)
    for name in SHAPES:
        assert torch.equal(mine[name], theirs[name])


@pytest.mark.parametrize("rule", [_Counted, _Frequencies, RowFunctionOp])
def test_stored_signatures_are_those_of_forward(rule):
    stored = rule.forward.__signature__
    del rule.forward.__signature__
    try:
        assert inspect.signature(rule.forward) == stored
    finally:
        rule.forward.__signature__ = stored
