"""Surrogate losses by enumeration: exact expectations over all trajectories of a small MDP."""

import itertools

import pytest
import torch
from torch.func import grad, hessian

from agents.rl.losses import dice, lvc, policy_gradient, ppo_clip

# Two states, two actions, two steps, start in state 0.
REWARD = torch.tensor([[1.0, -0.5], [0.3, 2.0]], dtype=torch.float64)
MOVE = torch.tensor([[0.8, 0.3], [0.4, 0.9]], dtype=torch.float64)  # P(next state is 1 | state, action)
THETA = torch.tensor([0.2, -0.4, 0.7, 0.1], dtype=torch.float64)
VALID = torch.ones(2, 1, dtype=torch.bool)


def log_policy(theta):
    return theta.reshape(2, 2).log_softmax(-1)


def trajectories():
    """Yield (actions, second state, probability of the transitions, rewards)"""
    for first, state, second in itertools.product(range(2), repeat=3):
        move = MOVE[0, first] if state else 1 - MOVE[0, first]
        yield (first, second), state, move, torch.stack([REWARD[0, first], REWARD[state, second]])


def log_probs(theta, actions, state):
    log_pi = log_policy(theta)
    return torch.stack([log_pi[0, actions[0]], log_pi[state, actions[1]]])[:, None]


def probability(theta, actions, state, move):
    return move * log_probs(theta, actions, state).sum().exp()


def value(theta):
    return sum(probability(theta, a, s, move) * rewards.sum() for a, s, move, rewards in trajectories())


def expected(derivative, surrogate, baseline=0.0):
    total = 0.0
    for actions, state, move, rewards in trajectories():
        advantage = torch.stack([rewards.sum(), rewards[1]])[:, None] - baseline

        def loss(theta, actions=actions, state=state, advantage=advantage):
            return surrogate(log_probs(theta, actions, state), advantage, VALID).sum()

        total = total + probability(THETA, actions, state, move) * derivative(loss)(THETA)
    return total


@pytest.mark.parametrize("baseline", [0.0, 1.3])
@pytest.mark.parametrize("surrogate", [dice, lvc, policy_gradient])
def test_first_derivative_is_the_policy_gradient(surrogate, baseline):
    torch.testing.assert_close(expected(grad, surrogate, baseline), grad(value)(THETA))


@pytest.mark.parametrize("baseline", [0.0, 1.3])
def test_dice_second_derivative_is_the_hessian(baseline):
    torch.testing.assert_close(expected(hessian, dice, baseline), hessian(value)(THETA))


def test_second_derivative_of_the_plain_policy_gradient_is_not_the_hessian():
    """A common silent mistake: differentiating the policy-gradient loss twice does not give the Hessian."""
    assert (expected(hessian, policy_gradient) - hessian(value)(THETA)).abs().max() > 0.05


def test_zero_dice_lambda_drops_only_products_of_distant_steps():
    def without_memory(log_prob, advantage, valid):
        return dice(log_prob, advantage, valid, 0.0)

    # The formula of ProMP: sum over t of A_t (hess l_t + grad l_t grad l_t^T).
    total = torch.zeros(4, 4, dtype=torch.float64)
    for actions, state, move, rewards in trajectories():
        for step, advantage in enumerate((rewards.sum(), rewards[1])):

            def l(theta, actions=actions, state=state, step=step):  # noqa: E743
                return log_probs(theta, actions, state)[step, 0]

            score = grad(l)(THETA)
            weight = probability(THETA, actions, state, move) * advantage
            total += weight * (hessian(l)(THETA) + torch.outer(score, score))
    for curvature in (without_memory, lvc):
        torch.testing.assert_close(expected(hessian, curvature), total)


def test_padding_has_no_effect():
    log_prob = torch.tensor([[-1.0], [-0.5]], requires_grad=True)
    valid = torch.tensor([[True], [False]])
    advantage = torch.tensor([[2.0], [0.0]])
    for surrogate in (dice, lvc, policy_gradient):
        (gradient,) = torch.autograd.grad(surrogate(log_prob, advantage, valid).sum(), log_prob)
        assert gradient.flatten().tolist() == [2.0, 0.0]


def test_ppo_clip_by_hand():
    ratio = torch.tensor([[1.5, 0.5, 1.5, 0.5, 1.1]])
    advantage = torch.tensor([[1.0, 1.0, -1.0, -1.0, 2.0]])
    result = ppo_clip(ratio.log(), torch.zeros(1, 5), advantage, torch.ones(1, 5, dtype=torch.bool), clip=0.2)
    torch.testing.assert_close(result, torch.tensor([1.2, 0.5, -1.5, -0.8, 2.2]))


@pytest.mark.parametrize("surrogate", [dice, lvc])
def test_importance_weights_are_relative_to_the_sampling_policy(surrogate):
    """With old_log_prob, the gradient at other parameters is that of data reweighted over the whole past."""
    log_prob = torch.tensor([[-1.0], [-0.5]], requires_grad=True)
    old = torch.tensor([[-1.2], [-0.1]])
    advantage = torch.tensor([[2.0], [3.0]])
    (gradient,) = torch.autograd.grad(surrogate(log_prob, advantage, VALID, old_log_prob=old).sum(), log_prob)
    first, second = (log_prob - old).exp().detach().flatten().tolist()
    if surrogate is lvc:
        expected = [2 * first, 3 * second]
    else:  # d/dl_0 of (w_0 - 1) A_0 + (w_0 w_1 - w_0) A_1
        expected = [2 * first + 3 * (first * second - first), 3 * first * second]
    assert gradient.flatten().tolist() == pytest.approx(expected)
