"""RL^2 on small tasks, and its rollouts."""

import dataclasses

import numpy as np
import torch

from agents import rl2
from agents.core.context import build
from agents.core.spec import Spec
from agents.experiment.loop import Training
from agents.experiment.rollouts import collect_and_adapt
from envs import cartpole_target, navigation


def learner(env="bandit", env_config=None, model="gru", model_config=None, **options):
    config = dataclasses.replace(rl2.Config(meta_batch=6, minibatches=1, episodes=3), **options)
    parts = {"env_config": env_config, "model_config": model_config}
    given = {name: part for name, part in parts.items() if part is not None}
    spec = Spec.default(env=env, agent="rl2", model=model, agent_config=config, threads=1, **given)
    return Training(spec, *build(spec))


def played(training, seed=0, adapter=None):
    """A rollout of the learner, or of another adapter, on train tasks."""
    agent = adapter or training.agent
    rngs = [np.random.default_rng(seed + i) for i in (0, 1)]
    tasks = training.distribution.sample(training.agent.n_tasks, "train", rngs[0])
    generator = torch.Generator().manual_seed(seed)
    (rollout,), _ = collect_and_adapt(training.env, agent, tasks, 1, rngs[1], generator)
    return rollout


def short(env):
    plugin = {"cartpole_target": cartpole_target, "navigation": navigation}[env]
    return dataclasses.replace(plugin.Config(), horizon=7)
