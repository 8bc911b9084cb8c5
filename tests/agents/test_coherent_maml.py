"""Gradient-based agents on registers: memory within an episode, derivatives through inner updates."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.func import grad, jvp, vmap

from agents.core.context import build
from agents.core.pytree import flatten, leaves, map_tensors, unflatten
from agents.core.registry import AGENTS
from agents.core.spec import Spec, default_config
from agents.experiment.adapted_policy import AdaptedPolicy
from agents.experiment.loop import Training
from agents.experiment.rollouts import collect_and_adapt
from agents.rl.inner_update import log_prob
from agents.rl.meta import with_old_policy
from envs.quantum_memory import Config
from qrl.common.errors import TrainingError, UsageError
from qrl.models import coherent
from qrl.policies.heads import MeasuredAnswer
from qrl.policies.policy import bind
from tests.support.double_precision import normal

FRAME = Config(mode="symmetry", frame="rz")


def specification(agent="maml", env_config=FRAME, model_config=None, **options):
    small = {"meta_batch": 3, "episodes": 6} if agent != "scratch" else {"episodes": 6}
    config = dataclasses.replace(default_config(AGENTS.load(agent), "quantum_memory"), **small, **options)
    model_config = model_config or coherent.Config(n_layers=1, memory="dephased", dephasing=0.3)
    return Spec.default(
        env="quantum_memory",
        agent=agent,
        model="coherent",
        agent_config=config,
        env_config=env_config,
        model_config=model_config,
        threads=1,
    )


def training(*args, **options):
    spec = specification(*args, **options)
    return Training(spec, *build(spec))


def collected(run, n_rollouts, seed=0):
    tasks = run.distribution.sample(run.agent.n_tasks, "train", np.random.default_rng(seed))
    return collect_and_adapt(run.env, run.agent, tasks, n_rollouts, np.random.default_rng(1), run.generator)


@pytest.mark.parametrize("agent", ["maml", "reinforce", "reptile", "finetune"])
def test_agents_train_every_parameter_of_a_cell_on_registers(agent):
    run = training(agent)
    before = {name: value.detach().clone() for name, value in run.agent.theta.items()}
    metrics = run.step()
    assert all(0 <= each <= 1 for each in metrics["return_by_step"])
    changed = {name for name, value in run.agent.theta.items() if not torch.equal(value, before[name])}
    # Without a classical memory, the parameters that read it are empty.
    assert changed == {name for name, value in before.items() if value.numel()}


@pytest.mark.parametrize("mode", ["symmetry", "one_shot"])
def test_distributions_of_episodes_are_those_of_acting(mode, monkeypatch):
    """Replayed outcomes, errors and answers; two tasks have weights of their own after an update."""
    run = training(env_config=Config(mode=mode))
    cell, seen = run.agent.policy.cell, []
    original = type(cell).evolve

    def evolve(self, *args):
        evolved = original(self, *args)
        seen.append(evolved.weights / evolved.weights.sum(-1, keepdim=True))
        return evolved

    monkeypatch.setattr(type(cell), "evolve", evolve)
    data, states = collected(run, 2)
    n = run.distribution.registers.n_registers
    assert len(seen) >= 2 * n
    # Acting of the second rollout, after an update that replayed the first one.
    acted = seen[-n:]
    assert any(not torch.equal(v[0], v[1]) for v in states[1].params.values())
    bound = bind(run.agent.policy, states[1].params)
    swapped = (data[1].observation.transpose(0, 1), data[1].action.transpose(0, 1))
    found = run.agent.policy.episodes(bound, *swapped)
    n_tasks, _, lanes = data[1].action.transpose(0, 1).shape[:3]
    probs = found["outcome_probs"].unflatten(1, (n, lanes))
    for t, weights in enumerate(acted):
        expected = weights.reshape(n_tasks, lanes, -1)
        torch.testing.assert_close(probs[:, t, :, : expected.shape[-1]], expected, atol=1e-5, rtol=1e-4)
        chosen = expected.gather(-1, data[1].action[t, ..., 1:2]).squeeze(-1).log()
        torch.testing.assert_close(
            found["outcome_log_prob"].unflatten(1, (n, lanes))[:, t], chosen, atol=1e-4, rtol=1e-3
        )


def problem(estimator):
    """MAML in double precision with its data, as it takes a trust-region step."""
    run = training(outer="trpo", estimator=estimator, cg_damping=0.0, inner_step_size=0.5)
    agent = run.agent
    inner, outer = map_tensors(double, agent.batches(*collected(run, 2)))
    agent.policy.double()
    agent.meta = map_tensors(lambda x: x.detach().double().requires_grad_(), agent.meta)
    *sampling, adapted = map_tensors(torch.detach, vmap(agent.path, in_dims=(None, 0))(agent.meta, inner))
    inner = tuple(with_old_policy(agent.policy, params, each) for params, each in zip(sampling, inner, strict=True))
    return agent, (inner, with_old_policy(agent.policy, adapted, outer))


def double(x):
    return x.double() if x.is_floating_point() else x


@pytest.mark.parametrize("estimator", ["dice", "lvc", "emaml"])
def test_meta_gradient_equals_finite_differences(estimator):
    """The evaluated objective repeats the inner updates; every parameter and step size is varied."""
    agent, data = problem(estimator)
    point = flatten(agent.meta).detach()
    gradient = flatten(agent.meta_gradient(data)[0])
    for i, part in enumerate(leaves(unflatten(torch.arange(len(point), dtype=torch.float64), agent.meta))):
        if not part.numel():
            continue
        direction = torch.zeros_like(point)
        direction[part.flatten().long()] = normal(part.numel(), seed=i)
        step = 1e-5
        ahead, behind = (agent.evaluate(data, unflatten(point + s * step * direction, agent.meta)) for s in (1, -1))
        numeric = -(ahead["loss"] - behind["loss"]) / (2 * step)
        assert float(gradient @ direction) == pytest.approx(numeric, abs=1e-7)
    assert gradient.abs().max() > 1e-3


def test_fisher_products_equal_those_of_the_kl_hessian():
    agent, data = problem("dice")
    point, (inner, outer) = flatten(agent.meta).detach(), data

    def adapted(theta, inner, outer):
        return log_prob(agent.policy, agent.path(unflatten(theta, agent.meta), inner)[-1], outer)[1]

    distributions = vmap(adapted, in_dims=(None, 0, 0))
    old = {name: value.detach() for name, value in distributions(point, inner, outer).items()}

    def kl(theta):
        return agent.policy.head.kl(old, distributions(theta, inner, outer)).mean()

    product = agent.fisher_product(data)
    for seed in range(3):
        direction = normal(len(point), seed=seed)
        expected = jvp(grad(kl), (point,), (direction,))[1]
        assert expected.abs().max() > 1e-3
        torch.testing.assert_close(product(direction), expected, rtol=1e-7, atol=1e-9)


def test_trust_region_step_on_registers():
    metrics = training(outer="trpo").step()
    assert 0 <= metrics["kl"] <= 0.01 * (1 + 1e-6)


def test_fisher_of_outcomes_that_never_occur_is_finite():
    """By hand: P = (sin^2 x, cos^2 x) has Fisher information 4 at every x, also where an outcome has probability 0."""

    def distribution(x):
        probs = torch.stack([x.sin().square(), x.cos().square(), 0 * x])
        return {"outcome_probs": probs, "outcome_log_prob": probs[1].log(), "log_probs": torch.zeros(2, dtype=x.dtype)}

    for x, expected in ((0.3, 4.0), (1e-4, 4.0), (0.0, 0.0)):
        point, one = torch.tensor(x, dtype=torch.float64), torch.ones((), dtype=torch.float64)
        value, tangent = torch.func.jvp(distribution, (point,), (one,))
        metric = MeasuredAnswer.fisher(value, tangent)
        found = sum(float((metric[name] * tangent[name]).sum()) for name in metric)
        assert found == pytest.approx(expected, rel=1e-6)


def test_scratch_adapts_on_registers():
    distribution, agent = build(specification("scratch"))
    rng = np.random.default_rng(0)
    env, tasks = distribution.vectorise(3, 6), distribution.sample(3, "train", rng)
    (data, _), states = collect_and_adapt(env, agent, tasks, 2, rng, torch.Generator().manual_seed(0))
    assert data.action.shape == (2, 3, 6, 3)
    first, second = (state.params["cell.angles"] for state in states)
    assert not torch.equal(first, second) and second.isfinite().all()


def test_adapted_policy_keeps_its_memory_within_an_episode_and_refuses_predict():
    """Two episodes of acting. Without its memory, a second register would be measured in a state of norm 0."""
    run = training()
    env, generator = run.distribution.make(), torch.Generator().manual_seed(0)
    shape = run.distribution.observation_space.shape
    acting = AdaptedPolicy(run.agent, run.agent.begin(1, 1), generator, shape)
    observation, _ = env.reset(seed=0)
    for t in range(4):
        observation, reward, terminated, _, _ = env.step(acting.act(observation))
        assert terminated == (t % 2 == 1) and reward in ((0.0, 1.0) if terminated else (0.0,))
        if terminated:
            observation, _ = env.reset()
    with pytest.raises(UsageError, match="predict: this policy has a memory within an episode"):
        acting.predict(observation)
    second, *_ = env.step(0)
    lost = AdaptedPolicy(run.agent, run.agent.begin(1, 1), generator, shape)
    with pytest.raises(TrainingError, match="a register in a state of norm 0"):
        lost.act(second)
