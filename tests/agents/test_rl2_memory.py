"""RL^2: its memory lasts for exactly one trial, and trials are independent."""

import dataclasses

import numpy as np
import pytest
import torch

from agents import rl2
from agents.core.agent import InContextAgent
from agents.experiment.evaluation import adaptation_curve
from agents.experiment.memory_ablation import MemoryAblation
from agents.experiment.returns import EvaluationPlan
from envs import bandit, cartpole_target
from qrl.models import gru, qgru
from tests.support.rl2_training import learner, played


def test_actions_are_sampled_rather_than_most_probable():
    training = learner(meta_batch=300)
    state = training.agent.begin(300, 1)
    action, _ = training.agent.act(state, torch.zeros(300, 1, 1), torch.Generator().manual_seed(0))
    counts = torch.bincount(action.flatten(), minlength=5)
    assert counts.min() > 30 and counts.max() < 90  # 60 each, as the initial policy is uniform


class FirstLaneFalls(rl2.RL2):
    """Push one way in the first lane, so that its episodes end early."""

    def act(self, state, observation, generator):
        action, state = super().act(state, observation, generator)
        action[0] = 0
        return action, state


@pytest.mark.parametrize("seed", range(4))
def test_end_of_a_trial_leaves_other_lanes_bitwise_unchanged(seed):
    """Same trials next to a lane whose episodes end at other times."""
    training = learner("cartpole_target", dataclasses.replace(cartpole_target.Config(), horizon=40), meta_batch=4)
    agent = training.agent
    falls = FirstLaneFalls(agent.config, agent.policy, 40, 1.0)
    one, other = (played(training, seed, adapter) for adapter in (agent, falls))
    ends = [(rollout.terminated | rollout.truncated)[:, 0].flatten().nonzero().tolist() for rollout in (one, other)]
    assert all(later[0] > sooner[0] for later, sooner in zip(*ends, strict=True))
    length = int(one.valid[:, 1:].sum(0).max())
    for name in ("observation", "action", "reward", "valid", "episode"):
        a, b = (getattr(each, name)[:length, 1:] for each in (one, other))
        assert torch.equal(a[one.valid[:length, 1:]], b[one.valid[:length, 1:]]), name


def test_memory_persists_across_episodes_but_not_across_trials():
    training = learner(episodes=4)
    agent = training.agent
    state = agent.begin(2, 3)
    assert isinstance(agent, InContextAgent) and isinstance(MemoryAblation(agent), InContextAgent)
    assert not state.hidden.any() and state.transition[..., -1].all() and state.transition.sum() == 6
    generator = torch.Generator().manual_seed(0)
    action, acted = agent.act(state, torch.zeros(2, 3, 1), generator)
    ended = torch.tensor([[True, False, True], [False, True, False]])
    after = agent.observe(acted, action, torch.ones(2, 3), ended, torch.zeros(2, 3, 1))
    assert after.hidden.any(-1).all() and torch.equal(after.transition[..., -1], ended.float())
    forgotten = agent.reset_memory(after, ended)
    assert torch.equal(forgotten.hidden.any(-1), ~ended)
    assert torch.equal(forgotten.transition[ended], state.transition[ended])
    assert torch.equal(forgotten.transition[~ended], after.transition[~ended])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "config", "iterations"),
    [("gru", gru.Config(n_hidden=8), 25), ("qgru", qgru.Config(n_hidden=16, n_wires=2), 20)],
)
def test_learns_to_identify_the_best_arm_through_its_memory(model, config, iterations):
    """Two arms, ten pulls: a memoryless policy earns 0.5 per pull, this one reaches 0.6."""
    two = bandit.Config(arms=2)
    rates = {"lr_angles": 0.01, "lr_scales": 0.01, "lr_heads": 0.01}  # fast: the trials are short
    training = learner(env_config=two, model=model, model_config=config, episodes=10, meta_batch=256, **rates)
    for _ in range(iterations):
        training.step()
    curves = [
        adaptation_curve(agent, training.distribution, EvaluationPlan(n_tasks=1000, episodes=1))
        for agent in (training.agent, MemoryAblation(training.agent))
    ]
    learned, forgetful = (np.array(curve.mean) for curve in curves)
    assert learned[-3:].mean() > learned[0] + 0.06
    assert abs(forgetful[-3:].mean() - forgetful[0]) < 0.04


def test_shared_and_separate_memories_of_actor_and_critic():
    separate, shared = (learner(memories=kind).agent.policy for kind in ("separate", "shared"))
    assert shared.critic is None and separate.critic is not None
    assert not any("critic" in name for name, _ in shared.named_parameters())
    critic_too = [name for name, _ in separate.named_parameters() if name.startswith("critic.")]
    assert critic_too and shared.n_parameters < separate.n_parameters
    inputs = torch.randn(3, 2, 8, generator=torch.Generator().manual_seed(0))
    for policy in (separate, shared):
        _, value, _ = policy.unroll(policy.bind(), inputs, None)
        gradients = torch.autograd.grad(value.sum(), list(policy.parameters()), allow_unused=True)
        touched = {
            n for (n, _), g in zip(policy.named_parameters(), gradients, strict=True) if g is not None and g.any()
        }
        actors = {name for name in touched if name.startswith("actor.features")}
        assert bool(actors) == (policy.critic is None)
