"""Rollouts whose flags are looked at once in several steps, as on an accelerator, equal those checked at every step."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from agents.core import collect as collecting
from agents.core.context import build, find_execution
from agents.core.spec import Spec
from agents.rl2 import Memory
from qrl.common.errors import TrainingError

CASES = {
    "episodes that end early": {"env": "cartpole", "agent": "maml", "env_config": {"horizon": 500}},
    "fixed length": {"env": "navigation", "agent": "maml", "env_config": {"horizon": 20}},
    "shots": {"env": "cartpole", "agent": "maml", "env_config": {"horizon": 40}, "shots": 7},
    "trials of many episodes": {"env": "tabular_mdp", "agent": "rl2", "model": "gru"},
    "trials of episodes that end early": {"env": "cartpole", "agent": "rl2", "model": "gru"},
    "open loop": {"env": "qubit_control", "agent": "grape"},
}


def collected(run_ahead, seed=1, change=None, prepare=None, **case):
    """Return the rollout, and everything else that collecting changes."""
    distribution, built = build(Spec.default(**case))
    agent = built if change is None else change(built)
    env = distribution.vectorise(3, 4)
    if prepare is not None:
        prepare(env)
    generator = torch.Generator().manual_seed(seed)
    tasks = distribution.sample(3, "train", np.random.default_rng(0))
    n_episodes = getattr(agent, "trial_episodes", 1)
    rollout, state = collecting.collect(
        env, agent, agent.begin(3, 4), generator,
        seed=5, n_tasks=3, n_episodes=min(n_episodes, 4), options={"tasks": tasks}, run_ahead=run_ahead,
    )  # fmt: skip
    execution = find_execution(agent)
    shots = [] if execution is None else [execution.generator.get_state(), torch.tensor(execution.counter.circuits)]
    return rollout, state, [generator.get_state(), *shots]


@pytest.mark.parametrize("ahead", [1, 5, 16, 1000])
@pytest.mark.parametrize("case", CASES)
def test_results_are_those_of_checks_at_every_step(case, ahead, monkeypatch):
    monkeypatch.setattr(collecting, "AHEAD", ahead)
    (expected, state, others), (found, found_state, found_others) = (collected(x, **CASES[case]) for x in (False, True))
    for field in fields(expected):
        assert torch.equal(getattr(found, field.name), getattr(expected, field.name)), field.name
    assert all(torch.equal(a, b) for a, b in zip(found_others, others, strict=True))
    if isinstance(state, Memory):
        assert torch.equal(found_state.hidden, state.hidden) and torch.equal(found_state.transition, state.transition)
    assert bool(found.valid[-1].any())


def test_flags_are_read_once_in_16_steps(monkeypatch):
    looks = 0
    stack = torch.stack

    def counted(tensors, *args, **named):
        nonlocal looks
        looks += tensors[0].dim() == 0 and tensors[0].dtype == torch.bool
        return stack(tensors, *args, **named)

    monkeypatch.setattr(torch, "stack", counted)
    collected(True, env="navigation", agent="maml", env_config={"horizon": 40})
    assert looks == 3


def failing_at(step, what):
    """Return a function that makes an agent, or its environment, fail at this step."""

    def wrap(agent):
        original, count = agent.act, 0

        def act(state, observation, generator):
            nonlocal count
            count += 1
            action, state = original(state, observation, generator)
            if count == step + 1:
                if what == "raises":
                    raise RuntimeError("broken")
                action = torch.full_like(action, torch.nan)
            return action, state

        agent.act = act
        return agent

    return wrap


NAVIGATION = {"env": "navigation", "agent": "maml", "env_config": {"horizon": 20}}


@pytest.mark.parametrize("step", [0, 3, 15, 16, 19])
def test_actions_that_are_not_finite_are_named_with_their_step(step):
    for run_ahead in (False, True):
        with pytest.raises(TrainingError, match=f"^the policy's actions are not finite at step {step}: its outputs"):
            collected(run_ahead, change=failing_at(step, "nan"), **NAVIGATION)


@pytest.mark.parametrize("step", [0, 7, 18])
def test_an_agent_that_raises_is_named(step):
    for run_ahead in (False, True):
        with pytest.raises(TrainingError, match=r"^agent MAML: RuntimeError: broken"):
            collected(run_ahead, change=failing_at(step, "raises"), **NAVIGATION)


@pytest.mark.parametrize("step", [0, 6, 15, 16])
def test_an_observation_that_is_not_finite_is_the_cause_of_such_actions(step):
    def prepare(env):
        original, count = env.step, 0

        def act(action):
            nonlocal count
            observation, *others = original(action)
            count += 1
            if count == step + 1:
                observation = observation.clone()
                observation[5] = torch.inf  # the second lane of the second task
            return observation, *others

        env.step = act

    messages = []
    for run_ahead in (False, True):
        with pytest.raises(TrainingError) as raised:
            collected(run_ahead, prepare=prepare, **NAVIGATION)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]
    assert messages[0].startswith(
        f"navigation: the environment returned a non-finite observation at step {step + 1} of"
    )


def test_a_failure_beyond_the_end_of_the_trial_is_none(monkeypatch):
    monkeypatch.setattr(collecting, "AHEAD", 1000)
    early = CASES["episodes that end early"]
    expected, *_ = collected(False, **early)
    length = len(expected.reward)
    assert length < 500
    for what in ("raises", "nan"):
        found, *_ = collected(True, change=failing_at(length, what), **early)
        assert torch.equal(found.reward, expected.reward)
    with pytest.raises(TrainingError):
        collected(True, change=failing_at(length - 1, "raises"), **early)
