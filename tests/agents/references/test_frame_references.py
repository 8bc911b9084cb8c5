"""References of `quantum_memory` with a hidden frame: exact lines, an independent enumeration, and played trials."""

import math

import numpy as np
import pytest
import torch

from agents.core.collect import collect
from agents.core.context import BuildContext
from agents.experiment.references import references
from agents.references import frame_tracking, helstrom
from agents.references.shared.frame import balanced, envelope, exact_returns, explore_first, uniform_moments, updated
from envs.quantum_memory import Config, QuantumMemory
from qrl.common.errors import UsageError

EPISODES = 10
FAMILY = QuantumMemory(Config(mode="symmetry", frame="rz"))
ENVELOPE = [0.833, 0.833, 0.864, 0.894, 0.916, 0.933, 0.944, 0.953, 0.959, 0.964]
PLAYABLE = [0.833, 0.833, 0.864, 0.888, 0.903, 0.915, 0.924, 0.932, 0.938, 0.945]


def by_grid(certain, n_episodes, answers):
    """Exact returns by another method: posterior on a grid, all histories of even, agreeing and other outcomes.

    The agent answers best in episode t if `answers(t)` or if its certainty exceeds `certain`.
    """
    phi = 2 * np.pi * np.arange(64) / 64
    posterior, weight, returns = np.full((1, 64), 1 / 64), np.ones(1), []
    for episode in range(n_episodes):
        mean = posterior @ np.exp(1j * phi)
        best = (np.abs(mean) > certain) | answers(episode)
        angle = np.angle(mean) + np.where(best, 0, np.pi / 2)
        cosine = np.cos(phi - angle[:, None])
        contrast = (posterior * cosine).sum(1)
        returns.append(weight @ (1 / 3 + np.maximum(1 / 2, (1 + contrast) / 3)))
        parts = [posterior / 3, posterior * (1 + cosine) / 3, posterior * (1 - cosine) / 3]
        shares = np.concatenate([part.sum(1) for part in parts])
        weight = np.tile(weight, 3) * shares
        posterior = np.concatenate(parts) / shares[:, None]
    return returns


def test_playable_line():
    """At least .897 on average and .941 in the tenth episode, the best values known for one measurement per pair."""
    line = exact_returns(balanced, EPISODES)
    np.testing.assert_allclose(line, PLAYABLE, atol=6e-4)
    assert np.mean(line) > 0.8975 and line[-1] > 0.945
    np.testing.assert_allclose(exact_returns(balanced, 7), by_grid(2 / 3, 7, lambda t: t == 6), atol=1e-12)


def test_envelope():
    """By hand: two odd pairs, measured at right angles, give certainty √½, thus 5/6 + 4/9 (2/3 + √½/3 - 5/6)."""
    line = envelope(EPISODES)
    np.testing.assert_allclose(line, ENVELOPE, atol=6e-4)
    assert line[:2] == pytest.approx([5 / 6, 5 / 6])
    assert line[2] == pytest.approx(5 / 6 + 4 / 9 * (math.sqrt(0.5) / 3 - 1 / 6))
    for episode in range(6):
        alone = by_grid(2, episode + 1, lambda t, last=episode: t == last)
        assert line[episode] == pytest.approx(alone[-1], abs=1e-12)
    assert (np.array(line) >= np.array(exact_returns(balanced, EPISODES)) - 1e-12).all()


def kept_pairs(n):
    """Helstrom's success rate with `n` earlier odd pairs unmeasured, whose cases are known.

    Each is a qubit (|0⟩ + exp(iφ)|1⟩)/√2, the current pair the same (triplet) or with the other sign (singlet). A mean
    over φ leaves blocks of equal excitation number, two-dimensional each.
    """
    program = [math.comb(n, k) / 2**n for k in range(n + 1)]
    total = 0.0
    for low, high in zip([*program, 0.0], [0.0, *program], strict=True):
        norm, overlap = (low + high) / 2, (low - high) / 2
        total += math.sqrt((2 / 3 * norm) ** 2 - 4 / 12 * overlap**2)
    return 1 / 3 + (2 / 3 + total) / 2


def test_envelope_is_no_bound_for_agents_that_keep_pairs():
    """Documented limit of the envelope: 8/9 instead of 5/6 in the second episode, .979 instead of .964 in the tenth."""
    for episode, rate in ((0, 5 / 6), (1, 8 / 9), (9, 0.979)):
        shares = [math.comb(episode, n) * 2**n / 3**episode for n in range(episode + 1)]
        kept = sum(share * kept_pairs(n) for n, share in enumerate(shares))
        assert kept == pytest.approx(rate, abs=5e-4)
        assert kept >= envelope(EPISODES)[episode] - 1e-12


def test_posterior_of_one_measurement():
    """Density (1 + cos(φ - θ)) / 2π: moments 1, exp(iθ)/2, 0."""
    angle, agrees = torch.tensor([0.3], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64)
    once = updated(uniform_moments((1,), 3), angle, agrees)
    expected = torch.tensor([[1, np.exp(0.3j) / 2, 0]])
    torch.testing.assert_close(once, expected, check_dtype=False)
    torch.testing.assert_close(updated(uniform_moments((1,), 3), angle + math.pi, -agrees), expected, check_dtype=False)


def played(agent, n_tasks=2000):
    env, tasks = FAMILY.vectorise(n_tasks, 1), FAMILY.sample(n_tasks, "test")
    generator = torch.Generator().manual_seed(1)
    state = agent.begin(n_tasks, 1)
    options = {"tasks": tasks}
    rollout, state = collect(
        env, agent, state, generator, seed=3, n_tasks=n_tasks, n_episodes=EPISODES, options=options
    )
    return rollout.returns_by_episode(EPISODES).squeeze(-1).double(), state, tasks


def built(module, episodes=EPISODES, family=FAMILY):
    context = BuildContext(family, torch.device("cpu"), pytest.fail, pytest.fail)  # a reference has no network
    return module.build(module.Config(episodes=episodes), context)


def test_played_trials_agree_with_the_exact_returns():
    agents = {balanced: built(frame_tracking), explore_first: built(helstrom)}
    for rule, agent in agents.items():
        returns, _, _ = played(agent)
        exact = np.array(exact_returns(rule, EPISODES))
        deviation = np.sqrt(exact * (1 - exact) / returns.shape[1])
        assert (np.abs(returns.mean(1).numpy() - exact) < 4 * deviation).all()
    assert agents[explore_first].expected_returns == envelope(EPISODES)


def test_posterior_is_calibrated():
    """The cosine between the frame and the posterior's direction is the certainty, on average."""
    agent = built(frame_tracking)
    _, state, tasks = played(agent)
    mean = state.moments[:, 0, 1]
    error = torch.cos(tasks.frame - mean.angle()) - mean.abs()
    assert float(mean.abs().mean()) > 0.8
    assert abs(float(error.mean())) < 4 * float(error.std()) / len(error) ** 0.5
    after = agent.observe(state, torch.ones(2000, 1), torch.ones(2000, 1), torch.ones(2000, 1, dtype=bool), mean)
    assert torch.equal(after.moments, state.moments)


def test_references_with_a_frame():
    found = references(FAMILY, EPISODES)
    names = ["helstrom (envelope)", "frame_tracking (playable)", "classical_memory", "swap_test", "measure_both"]
    assert list(found) == names
    assert found["classical_memory"].expected_returns == pytest.approx([5 / 6] * EPISODES)
    assert found["measure_both"].expected_returns == pytest.approx([5 / 6] * EPISODES)
    # Without the frame, a swap test tells an odd triplet from an odd singlet by a fair coin.
    assert found["swap_test"].expected_returns == pytest.approx([2 / 3] * EPISODES)
    assert list(references(FAMILY, 17)) == names[2:]


def test_long_trials_are_refused():
    with pytest.raises(UsageError, match="agent frame_tracking: with a frame, a trial has at most 16 episodes, not 17"):
        built(frame_tracking, 17)


def test_without_a_frame_tracking_is_helstrom():
    agent = built(frame_tracking, 3, QuantumMemory(Config(mode="match")))
    assert agent.expected_returns == pytest.approx([0.75] * 3)
