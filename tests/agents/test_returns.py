"""Returns, baselines and rollouts: numbers by hand and unbiasedness."""

import torch

from agents.rl.returns import leave_one_out, linear_baseline, returns_to_go, score_advantages, standardise


def axes(values):
    """[time][env] as [time, task = 1, env]."""
    return torch.tensor(values)[:, None]


def test_returns_to_go_by_hand():
    reward = axes([[1.0, 0.0], [2.0, 1.0], [4.0, 0.0]])
    assert returns_to_go(reward)[:, 0].tolist() == [[7.0, 1.0], [6.0, 1.0], [4.0, 0.0]]
    assert returns_to_go(reward, 0.5)[:, 0].tolist() == [[3.0, 0.5], [4.0, 1.0], [4.0, 0.0]]


def test_leave_one_out_by_hand():
    returns = axes([[3.0, 6.0, 9.0], [0.0, 2.0, 4.0]])
    assert leave_one_out(returns)[:, 0].tolist() == [[7.5, 6.0, 4.5], [3.0, 2.0, 1.0]]
    assert leave_one_out(returns[:, :, :1]).abs().max() == 0


def test_baselines_do_not_depend_on_the_episode_itself():
    """Unbiasedness: changing an episode's returns does not change its own baseline."""
    generator = torch.Generator().manual_seed(0)
    returns = torch.randn(6, 2, 4, generator=generator)
    observation = torch.randn(6, 2, 4, 3, generator=generator)
    valid = torch.ones(6, 2, 4, dtype=torch.bool)
    changed = returns.clone()
    changed[:, :, 2] += 10.0
    for baseline in (leave_one_out, lambda r: linear_baseline(r, observation, valid)):
        before, after = baseline(returns), baseline(changed)
        torch.testing.assert_close(before[:, :, 2], after[:, :, 2])
        assert (before[:, :, 1] - after[:, :, 1]).abs().max() > 0.1


def test_linear_baseline_fits_a_linear_value():
    generator = torch.Generator().manual_seed(0)
    observation = torch.randn(30, 3, 4, 2, generator=generator)
    time = torch.arange(30.0)[:, None, None] / 100
    returns = 2 * observation[..., 0] - observation[..., 1] ** 2 + 3 * time + 1
    fitted = linear_baseline(returns, observation, torch.ones(30, 3, 4, dtype=torch.bool))
    torch.testing.assert_close(fitted, returns, atol=1e-3, rtol=1e-3)


def test_standardised_advantages_have_unit_mean_square_over_valid_steps():
    generator = torch.Generator().manual_seed(0)
    advantage = 5 * torch.randn(10, 3, 4, generator=generator)
    valid = torch.rand(10, 3, 4, generator=generator) < 0.7
    for per_task in (True, False):
        scaled = standardise(advantage, valid, per_task=per_task)
        assert (scaled[~valid] == 0).all()
        squares = [scaled[:, i][valid[:, i]] for i in range(3)] if per_task else [scaled[valid]]
        for values in squares:
            torch.testing.assert_close(values.square().mean(), torch.tensor(1.0))


def test_score_advantages_by_hand():
    before = torch.tensor([[1.0, 3.0], [0.0, 4.0]])
    after = torch.tensor([[5.0, 7.0], [2.0, 4.0]])
    # Means after: 6, 3. Leave-one-out before: (3, 1), (4, 0). Gains of the other task: 3 - 2 = 1, 6 - 2 = 4.
    expected = torch.tensor([[6.0 - 3 - 1, 6 - 1 - 1], [3.0 - 4 - 4, 3 - 0 - 4]])
    torch.testing.assert_close(score_advantages(before, after), expected)


def test_score_advantage_depends_on_its_own_episode_only_through_the_adapted_return():
    generator = torch.Generator().manual_seed(0)
    before, after = (torch.randn(3, 4, generator=generator) for _ in range(2))
    changed = before.clone()
    changed[1, 2] += 10.0
    difference = score_advantages(changed, after) - score_advantages(before, after)
    assert difference[1, 2].abs() < 1e-6 and (difference[1, [0, 1, 3]] < -3).all()
    only = score_advantages(before[:1, :1], after[:1, :1])
    torch.testing.assert_close(only, after[:1, :1])  # a single episode of a single task has no baseline
