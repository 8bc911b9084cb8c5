"""A trained run: its parts are trained, and reading them leaves it unchanged."""

import pytest
import torch

from agents.core.context import build
from agents.core.registry import REGISTRIES
from agents.core.spec import Spec
from agents.experiment.api import load
from agents.experiment.start import run_training
from envs.navigation import Navigation
from qrl.backends.backend import Backend
from tests.support.trained_parameters import trained

CONFIGS = {
    "maml": {"meta_batch": 3, "episodes": 4},
    "reptile": {"meta_batch": 3, "episodes": 4},
    "reinforce": {"meta_batch": 3, "episodes": 4, "standardise_returns": "batch"},
    "rl2": {"meta_batch": 4, "episodes": 2},
    "sb3_ppo": {"meta_batch": 3, "episodes": 4},
}


def spec(agent: str) -> Spec:
    model = "gru" if agent == "rl2" else "reuploading"
    return Spec.default(
        agent=agent,
        model=model,
        env_config=REGISTRIES["env"].load("navigation").Config(horizon=5),
        agent_config=REGISTRIES["agent"].load(agent).Config(**CONFIGS[agent]),
        iterations=2,
        threads=1,
        eval_tasks=2,
        eval_steps=1,
        eval_episodes=2,
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {agent: tmp_path_factory.mktemp("runs") / agent for agent in CONFIGS}
    for agent, folder in made.items():
        run_training(spec(agent), folder, overwrite=False, command=[], quiet=True)
    return made


@pytest.mark.parametrize("agent", CONFIGS)
def test_policy_of_a_run_is_trained(folders, agent):
    run, (_, initial) = load(folders[agent]), build(spec(agent))
    learned = trained(run.agent)
    assert run.policy is run.agent.policy and run.n_parameters == run.policy.n_parameters > 0
    own = {name: value.detach() for name, value in run.policy.named_parameters()}
    assert own.keys() <= learned.keys()
    assert all(torch.equal(value, learned[name]) for name, value in own.items())
    before = dict(initial.policy.named_parameters())
    assert any(not torch.equal(value, before[name]) for name, value in own.items())


def test_agent_acts_by_the_policy_distribution(folders):
    run = load(folders["maml"])
    observation = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(0))
    state = run.agent.begin(2, 3)
    said = run.agent.policy(observation.flatten(0, 1))
    torch.testing.assert_close(run.agent.mode(state, observation).flatten(0, 1), said["mean"].detach())


def test_evaluating_a_loaded_run_creates_no_training_environment(folders, monkeypatch):
    sizes = []
    original = Navigation.vectorise

    def vectorise(self, n_tasks, n_envs, device="cpu"):
        sizes.append((n_tasks, n_envs))
        return original(self, n_tasks, n_envs, device)

    monkeypatch.setattr(Navigation, "vectorise", vectorise)
    load(folders["maml"]).evaluate(tasks=2, steps=1, episodes=2)
    # One lane pair for the environment check, then the evaluation; training had 3 tasks of 4.
    assert sizes == [(1, 2), (2, 2)]


def test_other_backends_use_a_separate_agent(folders):
    run = load(folders["maml"])
    program, shots = run.agent.policy.features.program, Backend(shots=10)
    other = run.agent_on(shots)
    assert other is not run.agent and other.policy.features.program.shots == 10
    assert all(torch.equal(value, trained(other)[name]) for name, value in trained(run.agent).items())
    exact = run.evaluate(tasks=2, steps=1, episodes=2)
    assert run.evaluate(tasks=2, steps=1, episodes=2, backend=shots).mean != exact.mean
    assert run.evaluate(tasks=2, steps=1, episodes=2).mean == exact.mean
    assert run.agent.policy.features.program is program
