"""A short training run, by default of MAML, and its rollouts."""

import dataclasses

import numpy as np

from agents import maml
from agents.core.context import build
from agents.core.spec import Spec
from agents.experiment.loop import Training
from agents.experiment.rollouts import collect_and_adapt
from envs.core.registry import ENVS

SMALL = maml.Config(meta_batch=3, episodes=4, epochs=2, inner_steps=2)


def spec(**fields) -> Spec:
    defaults = {"agent_config": SMALL, "iterations": 4, "checkpoint_every": 2, "threads": 1}
    env = fields.get("env", "navigation")
    defaults["env_config"] = dataclasses.replace(ENVS.load(env).Config(), horizon=15)
    return Spec.default(**{**defaults, "eval_tasks": 3, "eval_steps": 1, "eval_episodes": 2, **fields})


def training(**fields) -> Training:
    return Training(spec(**fields), *build(spec(**fields)))


def rollouts(run: Training):
    tasks = run.distribution.sample(run.agent.n_tasks, "train", np.random.default_rng(0))
    return collect_and_adapt(run.env, run.agent, tasks, run.agent.n_rollouts, np.random.default_rng(1), run.generator)
