"""Budgets: a number of parameters, or the size of the policy with another model."""

import gymnasium
import pytest
import torch

from qrl.common.errors import UsageError
from qrl.models import MODELS
from qrl.policies.policy import make_policy

SPACES = gymnasium.spaces.Box(-1, 1, (2,)), gymnasium.spaces.Box(-1, 1, (2,))


def policy_of(model, **options):
    return make_policy(model, MODELS.load(model).Config(**options), *SPACES, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layers", [1, 3, 5])
def test_control_is_sized_like_another_model(layers):
    quantum = policy_of("reuploading", n_layers=layers).n_parameters
    like = policy_of("fourier", budget=f"like:reuploading,n_layers={layers}")
    assert like.n_parameters == policy_of("fourier", budget=quantum).n_parameters
    assert abs(like.n_parameters - quantum) <= 3  # a feature has two frequencies, a phase and two read-out weights: 5


def test_on_navigation_the_default_circuit_has_64_parameters():
    assert (
        policy_of("reuploading").n_parameters == 64 == policy_of("mlp", depth=1, budget="like:reuploading").n_parameters
    )
    assert policy_of("mlp", budget="like:reuploading").n_parameters == 59


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("lke", "budget must be a number or like:NAME, not 'lke'"),
        ("like:reupload", "budget 'like:reupload': unknown model 'reupload'; did you mean 'reuploading'"),
        ("like:reuploading,layers=3", "budget: no option 'layers' of model 'reuploading'; did you mean 'n_layers'"),
        ("like:reuploading,3", "budget: expected OPTION=VALUE after a comma, not '3'"),
        (0, "budget must be at least 1, not 0"),
        (10**7 + 1, "budget must be at most 10000000, not 10000001"),
        (3, "a budget of 3 parameters is too small: the smallest network has "),
    ],
)
def test_invalid_budgets(budget, message):
    with pytest.raises(UsageError, match=message):
        policy_of("mlp", budget=budget)
