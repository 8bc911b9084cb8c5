"""Conformance of every agent. The tests discover the files in agents/, so a new one is tested automatically."""

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from agents.core.agent import Agent, OracleAgent
from agents.core.collect import collect
from agents.core.context import build
from agents.core.registry import AGENTS
from agents.core.spec import Spec
from agents.experiment.loop import Training
from envs.core.registry import ENVS

USABLE = [name for name, summary in AGENTS.available().items() if summary.usable]
FAMILIES = ["navigation", "cartpole_target"]
N_TASKS, N_ENVS = 2, 3


def families(agent: str) -> list[str]:
    """Families an agent supports: its file's FAMILIES, or any."""
    return list(getattr(AGENTS.load(agent), "FAMILIES", FAMILIES))


CASES = [(agent, env) for agent in USABLE for env in families(agent)]
LEARNER = ("n_tasks", "n_envs", "n_rollouts", "update", "state_dict", "load_state_dict")


def small_spec(agent: str, env: str) -> Spec:
    env_config = ENVS.load(env).Config()
    if env_config.horizon is not None:  # None: other options fix it
        env_config = dataclasses.replace(env_config, horizon=min(8, env_config.horizon))
    spec = Spec.default(agent=agent, env=env, env_config=env_config, threads=1, iterations=3)
    # Smaller where the agent has these options; all other options keep their defaults.
    sizes = {"meta_batch": 2, "episodes": 3, "minibatches": 1}
    known = {field.name for field in dataclasses.fields(spec.agent_config)}
    config = dataclasses.replace(spec.agent_config, **{k: v for k, v in sizes.items() if k in known})
    return dataclasses.replace(spec, agent_config=config)


def rollout_of(distribution: Any, adapter: Any, state: Any, seed: int = 0) -> tuple[Any, Any]:
    env = distribution.vectorise(N_TASKS, N_ENVS)
    tasks = distribution.sample(N_TASKS, "train", np.random.default_rng(0))
    generator = torch.Generator().manual_seed(seed)
    return collect(env, adapter, state, generator, seed=0, n_tasks=N_TASKS, options={"tasks": tasks})


def snapshot(state: Any) -> list[Any]:
    return copy.deepcopy([x.detach() if isinstance(x, torch.Tensor) else x for x in leaves(state)])


def leaves(state: Any) -> list[Any]:
    """Leaves of a state: tensors and numbers in dataclasses, dicts and sequences."""
    if dataclasses.is_dataclass(state):
        return [x for field in dataclasses.fields(state) for x in leaves(getattr(state, field.name))]
    if isinstance(state, dict):
        return leaves(list(state.values()))
    if isinstance(state, list | tuple):
        return [x for part in state for x in leaves(part)]
    return [state]


def equal(one: list[Any], other: list[Any]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


def learner(agent: str, env: str = "") -> tuple[Training, Any]:
    spec = small_spec(agent, env or families(agent)[0])
    distribution, built = build(spec)
    if not hasattr(built, "update"):
        pytest.skip(f"{agent} only acts")
    return Training(spec, distribution, built), built


def test_every_file_is_readable():
    broken = {name: summary.broken for name, summary in AGENTS.available().items() if summary.broken}
    assert not broken, f"files in agents/ that cannot be read: {broken}"


@pytest.mark.parametrize(("agent", "env"), CASES)
def test_adapter_actions_fit_the_environment(agent, env):
    distribution, adapter = build(small_spec(agent, env))
    assert isinstance(adapter, Agent), "begin, act, to_environment, adapt: see agents/core/rollout.py"
    state = adapter.begin(N_TASKS, N_ENVS)
    observation = torch.zeros(N_TASKS, N_ENVS, *distribution.observation_space.shape)
    action, _ = adapter.act(state, observation, torch.Generator().manual_seed(0))
    ours = adapter.to_environment(action)
    space = distribution.action_space
    assert action.shape[:2] == (N_TASKS, N_ENVS) and ours.shape == (N_TASKS, N_ENVS, *space.shape)
    for lane in ours.flatten(0, 1):
        assert space.contains(lane.detach().numpy().astype(space.dtype))


@pytest.mark.parametrize(("agent", "env"), CASES)
def test_actions_depend_only_on_the_generator(agent, env):
    """The global generators have no effect, and the same state gives the same actions."""
    distribution, adapter = build(small_spec(agent, env))
    state = adapter.begin(N_TASKS, N_ENVS)
    torch.manual_seed(0)
    first, _ = rollout_of(distribution, adapter, state)
    torch.manual_seed(1)
    np.random.seed(1)
    again, _ = rollout_of(distribution, adapter, state)
    assert torch.equal(first.action, again.action)
    other = build(small_spec(agent, env))[1]
    rebuilt, _ = rollout_of(distribution, other, other.begin(N_TASKS, N_ENVS))
    assert torch.equal(first.action, rebuilt.action), "two agents of the same spec act alike"
    if isinstance(adapter, OracleAgent):
        return  # the oracle agent may act deterministically
    if getattr(adapter, "deterministic", False):
        return
    different, _ = rollout_of(distribution, adapter, state, seed=5)
    assert first.action.shape != different.action.shape or not torch.equal(first.action, different.action)


@pytest.mark.parametrize(("agent", "env"), CASES)
def test_states_are_immutable_values(agent, env):
    """Acting and adapting do not modify the state passed in; adapting twice gives the same result."""
    distribution, adapter = build(small_spec(agent, env))
    begun = adapter.begin(N_TASKS, N_ENVS)
    before = snapshot(begun)
    rollout, state = rollout_of(distribution, adapter, begun)
    assert equal(before, snapshot(begun)), "act changed the state it was given"
    before = snapshot(state)
    adapted = adapter.adapt(state, rollout)
    assert equal(before, snapshot(state)), "adapt changed the state it was given"
    assert equal(snapshot(adapted), snapshot(adapter.adapt(state, rollout)))
    following, _ = rollout_of(distribution, adapter, adapted)
    assert following.action.isfinite().all()


@pytest.mark.parametrize("agent", USABLE)
def test_learners_have_the_complete_interface(agent):
    built = build(small_spec(agent, families(agent)[0]))[1]
    if hasattr(built, "update"):
        missing = [name for name in LEARNER if not hasattr(built, name)]
        assert not missing, f"an agent with `update` is a learner, which also has {missing}"
        assert built.n_tasks >= 1 and built.n_envs >= 1 and built.n_rollouts >= 1


@pytest.mark.parametrize(("agent", "env"), CASES)
def test_training_step_changes_parameters_and_reports_finite_metrics(agent, env):
    training, built = learner(agent, env)
    before = {name: tensor.detach().clone() for name, tensor in built.state_dict().items()}
    row = training.step()
    numbers = [x for value in row.values() for x in (value if isinstance(value, list) else [value])]
    assert all(math.isfinite(x) for x in numbers), row
    assert row["iteration"] == 1 and len(row["return_by_step"]) == built.n_rollouts
    after = built.state_dict()
    assert any(not torch.equal(after[name], tensor) for name, tensor in before.items()), "nothing was learned"


@pytest.mark.parametrize("agent", USABLE)
def test_state_dict_round_trip_continues_training_identically(agent):
    training, built = learner(agent)
    training.step()
    saved = {name: tensor.detach().clone() for name, tensor in built.state_dict().items()}
    assert all(isinstance(tensor, torch.Tensor) for tensor in saved.values())

    second, copy_ = learner(agent)
    second.step()
    second.step()  # so that every tensor has to be restored
    copy_.load_state_dict(saved)
    restored = copy_.state_dict()
    assert restored.keys() == saved.keys()
    assert all(torch.equal(restored[name], tensor) for name, tensor in saved.items())

    # With all generators in the same state the next step must be bitwise identical.
    second.generator.set_state(training.generator.get_state())
    for name, rng in training.rngs.items():
        second.rngs[name].bit_generator.state = rng.bit_generator.state
    second.iteration = training.iteration
    one, other = training.step(), second.step()
    assert {k: v for k, v in one.items() if k != "env_steps"} == {k: v for k, v in other.items() if k != "env_steps"}
    assert all(torch.equal(built.state_dict()[n], tensor) for n, tensor in copy_.state_dict().items())
