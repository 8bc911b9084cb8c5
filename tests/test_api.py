"""The library from Python: train, load, adapt to one's own environment, act, evaluate, plot."""

import gymnasium
import numpy as np
import pytest
import torch

import agents
import envs
from agents import maml
from qrl.errors import UsageError

SMALL = maml.Config(meta_batch=3, episodes=4, epochs=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "cartpole"
    return agents.train(
        out,
        env="cartpole",
        agent_config=SMALL,
        iterations=2,
        threads=1,
        eval_tasks=3,
        eval_steps=1,
        eval_episodes=2,
        progress=False,
    )


def test_a_loaded_run_has_the_trained_parameters(run):
    loaded = agents.load(run.folder.path)
    for name, value in run.agent.params.items():
        assert torch.equal(value, loaded.agent.params[name])
    assert [row["iteration"] for row in loaded.metrics()] == [1, 2]
    assert (
        loaded.evaluate(tasks=3, steps=1, episodes=2).per_task
        == agents.evaluate(run.folder.path, tasks=3, steps=1, episodes=2).per_task
    )


def test_adapts_to_any_gymnasium_environment_and_acts(run):
    env = gymnasium.make("CartPole-v1")
    policy = run.adapt(env, episodes=3, steps=2)
    observation, _ = env.reset(seed=0)
    actions = {policy.act(observation) for _ in range(50)}
    assert actions == {0, 1} and all(type(action) is int for action in actions)
    before = run.adapt(env, episodes=3, steps=0)
    changed = [not torch.equal(policy._state.params[n][0], before._state.params[n][0]) for n in before._state.params]
    assert all(changed)


def test_continuous_actions_come_as_the_space_has_them(tmp_path):
    own = agents.train(
        tmp_path / "nav",
        env="navigation",
        env_config=envs.navigation.Config(horizon=5),
        agent_config=SMALL,
        iterations=1,
        threads=1,
        eval_tasks=2,
        eval_steps=1,
        eval_episodes=2,
        progress=False,
    )
    env = own.distribution.make({"goal_x": 0.2})
    policy = own.adapt(env, episodes=2)
    observation, _ = env.reset(seed=0)
    action = policy.act(observation)
    assert isinstance(action, np.ndarray) and env.action_space.contains(action)


def test_other_spaces_are_refused(run):
    with pytest.raises(UsageError, match=r"trained with observation_space .* the environment has"):
        run.adapt(gymnasium.make("Acrobot-v1"))
    with pytest.raises(UsageError, match="episodes must be at least 2"):
        run.adapt(gymnasium.make("CartPole-v1"), episodes=1)


def test_plot_writes_a_picture_whole(run, tmp_path):
    agents.plot(run.evaluate(tasks=3, steps=1, episodes=2), tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="missing"):
        agents.plot(run.evaluate(tasks=3, steps=1, episodes=2), tmp_path / "missing" / "curve.png")


def test_a_model_of_ones_own_from_a_file(tmp_path):
    """One file is enough: `Config`, `build`, an ordinary module."""
    file = tmp_path / "quadratic.py"
    file.write_text(
        '''"""All products of two inputs."""
from dataclasses import dataclass
import torch

@dataclass(frozen=True)
class Config:
    """No options."""

class Quadratic(torch.nn.Module):
    def __init__(self, n_inputs):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(n_inputs))
        self.n_features = n_inputs**2

    def forward(self, x):
        x = x * self.scale
        return (x[:, :, None] * x[:, None, :]).flatten(1)

def build(config, frame, generator):
    return Quadratic(frame.n_inputs)
'''
    )
    own = agents.train(
        tmp_path / "run",
        env="cartpole",
        model=str(file),
        agent_config=SMALL,
        iterations=1,
        threads=1,
        eval_tasks=2,
        eval_steps=1,
        eval_episodes=2,
        progress=False,
    )
    assert own.agent.params["features.scale"].shape == (4,)
    assert agents.load(tmp_path / "run").agent.params["readout.weight"].shape == (2, 16)
