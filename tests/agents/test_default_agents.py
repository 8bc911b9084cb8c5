"""`run.py --env NAME` alone: every family has a default agent and model that train on it."""

import json

import pytest

from agents.cli.main import main
from agents.core.registry import AGENTS
from agents.core.spec import Spec
from envs.core.registry import ENVS

FAMILIES = sorted(name for name, summary in ENVS.available().items() if summary.usable)
SHORT = ["--iterations", "1", "--threads", "1", "--eval-tasks", "2", "--eval-steps", "1", "--eval-episodes", "2"]
SMALL = {
    "maml": ["--agent.meta-batch", "2", "--agent.episodes", "3"],
    "rl2": ["--agent.meta-batch", "8", "--agent.minibatches", "1"],
    "reinforce": ["--agent.episodes", "2"],
}


@pytest.mark.parametrize("env", FAMILIES)
def test_every_family_trains_with_defaults(tmp_path, env):
    spec = Spec.default(env=env)
    horizon = min(getattr(spec.env_config, "horizon", None) or 0, 20)
    shorter = ["--env.horizon", str(horizon)] if horizon else []
    shorter += ["--agent.episodes", "2"] if env in ("bandit", "tabular_mdp") else []
    shorter += ["--agent.restarts", "1"] if env == "quantum_memory" else []
    out = tmp_path / "run"
    assert main(["--env", env, *shorter, *SMALL[spec.agent], *SHORT, "--out", str(out)]) == 0
    saved = json.loads((out / "config.json").read_text())
    assert (saved["spec"]["agent"], saved["spec"]["model"]) == (spec.agent, spec.model)
    assert json.loads((out / "evaluation.json").read_text())["policy"] == saved["policy"]


def test_in_context_families_default_to_recurrent_agents():
    rl2 = {name for name in FAMILIES if Spec.default(env=name).agent == "rl2"}
    assert rl2 == {"bandit", "tabular_mdp", "algorithm_selection", "hyperparameter_tuning", "quantum_memory"}


def test_options_in_a_mapping_keep_the_other_defaults_of_the_environment():
    """As on the command line: tuned options of the agent, those by the environment's own options, and run fields."""
    spec = Spec.default(env="bandit", agent_config={"meta_batch": 40})
    assert (spec.agent_config.meta_batch, spec.agent_config.episodes) == (40, 10)
    options = {"env_config": {"mode": "symmetry", "frame": "rz"}, "agent_config": {"meta_batch": 40, "gae_lambda": 1.0}}
    hidden = Spec.default(env="quantum_memory", **options)
    config = hidden.agent_config
    assert (config.meta_batch, config.gae_lambda) == (40, 1.0)
    assert (config.episodes, config.entropy_bonus, config.lr_angles, hidden.iterations) == (10, 0.3, 0.03, 600)
    saved = hidden.to_json()
    del saved["agent_config"]["lr_angles"]
    assert Spec.from_json(saved).agent_config.lr_angles == 0.003  # a file's missing options are those of its Config


def test_single_task_families_default_to_single_task_agents(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["--env", "CartPole-v1", "--env.horizon", "9", *SMALL["reinforce"], *SHORT, "--out", str(out)]) == 0
    note = "note: training reinforce, the default agent for CartPole-v1 without --vary"
    assert note in capsys.readouterr().err
    assert Spec.default(env="CartPole-v1", env_config={"vary": ["gravity=5:15"]}).agent == "maml"


def test_explicit_names_override_the_family_defaults():
    assert Spec.default(env="bandit", model="gru").agent == "rl2"
    assert Spec.default(env="bandit", agent="maml").model == "reuploading"
    assert Spec.default(env="navigation", agent="rl2").model == "qgru"
    assert all(Spec.default(env="bandit", agent=name).agent == name for name in ("thompson", "bayes"))
    assert set(SMALL) <= set(AGENTS.available())
