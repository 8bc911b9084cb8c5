"""Training: collected data, reproducibility, bitwise resuming, and independence of chunk size."""

import dataclasses
import gc

import numpy as np
import pytest
import torch

import envs
from agents import finetune, maml, reptile
from agents.core.collect import collect, collect_episodes
from agents.core.pytree import map_tensors
from agents.core.registry import AGENTS
from agents.core.rollout import Rollout
from agents.experiment.api import load
from agents.experiment.loop import Training
from agents.experiment.resume import run_resume
from agents.experiment.start import run_training
from agents.rl.batch import inner_batch, outer_batch, plain_batch
from agents.rl.inner_update import inner_gradient, inner_update, log_prob
from envs.core.registry import ENVS
from qrl.common.errors import TrainingError, UsageError
from qrl.models import MODELS
from qrl.policies.actor import PolicyConfig
from tests.support.killed_training import killed
from tests.support.maml_training import SMALL, rollouts, spec, training
from tests.support.trained_parameters import trained


@pytest.mark.parametrize("env", ["navigation", "cartpole_target"])
def test_rollouts_are_complete_episodes(env):
    (first, *_), _ = rollouts(training(env=env))
    length = first.valid.sum(0)
    steps = torch.arange(len(first.valid))[:, None, None]
    assert torch.equal(first.valid, steps < length)  # no gaps
    ends = first.terminated | first.truncated
    assert torch.equal(ends.sum(0), torch.ones_like(length)) and torch.equal(ends.int().argmax(0), length - 1)
    assert (first.reward[~first.valid] == 0).all()
    torch.testing.assert_close(first.returns, (first.reward * first.valid).sum(0))
    assert first.n_steps == int(length.sum())


def test_last_transition_is_recorded():
    """Reward and end flag of an episode's last step belong to the row of the action that caused them."""
    run = training(env="navigation")
    tasks = run.distribution.sample(3, "train", np.random.default_rng(0))

    class ToGoal:
        def act(self, state, observation, generator):
            goal = torch.stack([tasks.goal_x, tasks.goal_y], -1).float()[:, None]
            return goal - observation, state

        def to_environment(self, action):
            return action

        def begin(self, n_tasks, n_envs):
            return None

        def adapt(self, state, rollout):
            return None

    rollout, _ = collect(run.env, ToGoal(), None, run.generator, seed=0, n_tasks=3, options={"tasks": tasks})
    moves = torch.ceil(torch.stack([tasks.goal_x, tasks.goal_y]).abs().amax(0) / 0.1 - 1e-9)
    assert torch.equal(rollout.valid.sum(0)[:, 0], moves.long())
    last = rollout.valid.sum(0)[:, 0] - 1
    assert rollout.terminated[last, torch.arange(3), 0].all()
    assert rollout.reward[last, torch.arange(3), 0].abs().max() < 1e-6


def test_tasks_adapt_independently():
    """Adapting three tasks at once equals adapting each separately."""
    run = training(env="navigation")
    data, states = rollouts(run)
    for task in range(3):
        part = slice(task, task + 1)
        columns = {name: column[:, part] for name, column in vars(data[0]).items() if name != "final"}
        own = Rollout(**columns)
        separate = run.agent.adapt(run.agent.begin(1, 4), own)
        for name, value in states[1].params.items():
            torch.testing.assert_close(value[part], separate.params[name])


def test_meta_gradient_does_not_depend_on_the_chunk_size():
    run = training(env="navigation")
    data, states = rollouts(run)
    agent = run.agent
    rows = agent.batches(data, states)
    results = []
    for chunk in (1, 2, 3):
        agent.config = dataclasses.replace(agent.config, chunk_tasks=chunk)
        results.append(agent.meta_gradient(rows))
    for gradients, metrics in results[1:]:
        for mine, reference in zip(gradients, results[0][0], strict=True):
            torch.testing.assert_close(mine, reference, atol=1e-6, rtol=1e-4)
        assert metrics == pytest.approx(results[0][1], abs=1e-5)


def fast(env="navigation") -> dict:
    """Options of a run of a fraction of a second."""
    return {
        "env": env,
        "env_config": dataclasses.replace(ENVS.load(env).Config(), horizon=5),
        "agent_config": dataclasses.replace(SMALL, episodes=2),
        "model_config": MODELS.load("reuploading").Config(n_wires=2, n_layers=1),
    }


@pytest.mark.usefixtures("no_pictures")
def test_same_seed_gives_identical_bytes(tmp_path):
    for name in ("a", "b"):
        run_training(spec(**fast()), tmp_path / name, overwrite=False, command=[], quiet=True)
    for name in ("checkpoint/00000004/state.safetensors", "metrics.jsonl", "evaluation.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    other = trained(training(seed=1).agent)["features.weights"]
    assert not torch.equal(other, trained(training(seed=0).agent)["features.weights"])


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(
    ("policy", "backend"),
    [("scale", {}), ("running", {}), ("scale", {"shots": 20, "noise": ("depolarizing=0.02", "readout=0.1")})],
)
def test_resumed_run_is_bitwise_equal_to_an_uninterrupted_one(tmp_path, policy, backend):
    fields = fast("cartpole") | {"policy": PolicyConfig(normalisation=policy)} | backend
    run_training(spec(**fields), tmp_path / "whole", overwrite=False, command=[], quiet=True)

    with killed(after=3):  # the last checkpoint is at 2
        run_training(spec(**fields), tmp_path / "killed", overwrite=False, command=[], quiet=True)
    run_resume(tmp_path / "killed")
    for name in ("checkpoint/00000004/state.safetensors", "metrics.jsonl", "evaluation.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name
    assert [row["iteration"] for row in load(tmp_path / "whole").metrics()] == [1, 2, 3, 4]


def test_non_finite_reward_stops_the_run_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    original = Training.step

    def step(self):
        if self.iteration == 3:
            monkeypatch.setattr(type(self.distribution), "transition", broken)
        return original(self)

    transition = envs.make("navigation").transition.__func__

    def broken(self, state, action, tasks):
        state, reward, terminated = transition(self, state, action, tasks)
        return state, torch.full_like(reward, torch.nan), terminated

    monkeypatch.setattr(Training, "step", step)
    with pytest.raises(TrainingError, match=r"non-finite reward at step 0 of task 0, goal_x="):
        run_training(spec(), tmp_path / "run", overwrite=False, command=[], quiet=True)
    assert load(tmp_path / "run").folder.checkpoints.load().iteration == 2


def test_final_observation_must_be_finite(monkeypatch):
    run = training(env="navigation")
    observe = type(run.distribution).observe

    def broken(self, state, tasks):
        seen = observe(self, state, tasks)
        return torch.where(torch.tensor(broken.calls.append(1) or len(broken.calls) > 15), torch.nan, seen)

    broken.calls = []
    monkeypatch.setattr(type(run.distribution), "observe", broken)
    with pytest.raises(TrainingError, match="non-finite observation at step 15 of task 0"):
        rollouts(run)


def test_non_finite_gradient_changes_no_parameter():
    run = training()
    data, states = rollouts(run)
    agent = run.agent
    before = {name: value.detach().clone() for name, value in trained(agent).items()}
    data[-1] = dataclasses.replace(data[-1], reward=data[-1].reward * torch.nan)
    with pytest.raises(TrainingError, match="not finite"):
        agent.update(data, states, 1.0)
    assert all(torch.equal(before[name], value) for name, value in trained(agent).items())


@pytest.mark.parametrize(("agent", "model"), [("maml", "reuploading"), ("reptile", "reuploading"), ("rl2", "qgru")])
def test_iteration_leaks_no_tensors(agent, model, monkeypatch):
    """This includes custom autograd functions, which can keep their graph alive."""
    monkeypatch.setattr("qrl.simulator.kernels.SMALL", 0)
    config = dataclasses.replace(AGENTS.load(agent).Config(), meta_batch=4, episodes=3)
    env, small = ENVS.load("navigation").Config(horizon=5), MODELS.load(model).Config(n_wires=2)
    run = training(agent=agent, model=model, agent_config=config, env_config=env, model_config=small)

    def alive() -> int:
        gc.collect()
        return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())

    run.step()
    before = alive()
    for _ in range(2):
        run.step()
    assert alive() <= before


def test_annealing_does_not_compound():
    run = training(agent_config=dataclasses.replace(SMALL, target_kl=0.0))
    data, states = rollouts(run)
    for remaining in (1.0, 0.5, 0.5):
        run.agent.update(data, states, remaining)
        rates = {group["lr"] for group in run.agent.optimiser.adam.param_groups}
        assert rates == {remaining * rate for rate in (0.01, 0.05, 0.02)}


def test_learning_rate_groups_reach_the_optimiser():
    config = dataclasses.replace(SMALL, lr_angles=1.0, lr_scales=2.0, lr_heads=3.0, lr_step_sizes=4.0)
    agent = training(agent_config=config).agent
    by_value = {value: group["lr"] for group in agent.optimiser.adam.param_groups for value in group["params"]}
    rates = {name: by_value.pop(value) for name, value in agent.optimiser.params.items()}
    assert not by_value
    assert rates["features.weights"] == 1 and rates["features.scales"] == 2
    assert rates["readout.weight"] == rates["readout.bias"] == rates["head.log_std"] == 3
    assert rates["step_size.features.weights"] == 4


def test_updates_beyond_the_trained_inner_steps_are_scaled():
    run = training(agent_config=dataclasses.replace(SMALL, inner_steps=1))
    agent = run.agent
    data, _ = rollouts(run)
    start = agent.begin(3, 4)
    first = agent.adapt(start, data[0])
    late = agent.adapt(dataclasses.replace(start, n_updates=1), data[0])
    for name in start.params:
        moved, moved_late = (state.params[name] - start.params[name] for state in (first, late))
        torch.testing.assert_close(moved_late, 0.3 * moved, atol=1e-6, rtol=1e-3)


def test_single_gymnasium_environment_gives_the_rollout_of_a_vector_environment():
    run = training(env="cartpole")
    rollout, _ = collect_episodes(
        run.distribution.make(), run.agent, run.agent.begin(1, 3), run.generator, n_episodes=3, max_steps=15, seed=0
    )
    assert rollout.observation.shape[1:] == (1, 3, 4) and rollout.valid.dtype == torch.bool
    length = rollout.valid.sum(0)
    torch.testing.assert_close(rollout.returns, length.float())  # reward 1 a step
    adapted = run.agent.adapt(run.agent.begin(1, 3), rollout)
    assert adapted.n_updates == 1


def test_first_order_estimator_leaves_out_the_second_order_terms():
    results = {}
    for estimator in ("dice", "first-order"):
        run = training(agent_config=dataclasses.replace(SMALL, inner_steps=1, estimator=estimator))
        data, states = rollouts(run)
        results[estimator] = run.agent.meta_gradient(run.agent.batches(data, states))[0]
        names = list(trained(run.agent))
    for name, a, b in zip(names, results["dice"], results["first-order"], strict=True):
        # Step sizes enter outside the inner gradient, so their gradients agree; those of the initial weights do not.
        assert torch.allclose(a, b, atol=1e-6) == name.startswith("step_size."), name


def test_emaml_score_has_the_units_of_the_outer_objective():
    """The outer objective scales an update's value per episode by n_envs / deviation over the valid steps."""
    run = training(env="cartpole_target", agent_config=dataclasses.replace(SMALL, estimator="emaml", discount=1.0))
    data, states = rollouts(run)
    inner, outer = run.agent.batches(data, states)
    plain = plain_batch(data[-1], run.agent.config).advantage
    deviation = plain[outer.valid].square().mean().sqrt()
    torch.testing.assert_close(outer.advantage, plain / deviation)
    for step in range(2):
        before, after = data[step].returns, data[-1].returns.mean(1, keepdim=True)
        gain = after - before.mean(1, keepdim=True)
        value = after - (before.sum(1, keepdim=True) - before) / 3 - (gain.sum() - gain) / 2
        expected = torch.where(inner[step].valid, (4 * value / deviation)[:, None], 0.0)
        torch.testing.assert_close(inner[step].score, expected, rtol=1e-4, atol=1e-4)
        assert inner[step].old_log_prob.shape == inner[step].valid.shape


@pytest.mark.parametrize("estimator", ["dice", "lvc", "emaml", "first-order"])
@pytest.mark.parametrize("outer", ["ppo", "trpo"])
def test_every_estimator_trains_with_every_outer_step(estimator, outer):
    run = training(agent_config=maml.Config(meta_batch=3, episodes=4, estimator=estimator, outer=outer))
    before = {name: value.detach().clone() for name, value in trained(run.agent).items()}
    row = run.step()
    assert all(np.isfinite(value).all() for value in row.values())
    assert any(not torch.equal(before[name], value) for name, value in trained(run.agent).items())


@pytest.mark.parametrize("agent", ["maml", "finetune"])
def test_too_large_an_update_is_backtracked(agent):
    config = AGENTS.load(agent).Config(meta_batch=3, episodes=4, lr_heads=1.0, lr_angles=1.0)
    free, bound = (
        training(agent=agent, agent_config=dataclasses.replace(config, target_kl=target)) for target in (0.0, 0.01)
    )
    start = {name: value.detach().clone() for name, value in trained(bound.agent).items()}
    kl = []
    for run in (free, bound):
        data, states = rollouts(run)
        assert run.agent.update(data, states, 1.0)["kl"] > 0.02
        kl.append(run.agent.evaluate(run.agent.batches(data, states))["kl"])
    assert kl[0] > 0.02 >= kl[1] > 0
    assert any(not torch.equal(start[name], value) for name, value in trained(bound.agent).items())


def test_finetune_trains_weights_before_and_step_sizes_after_the_update():
    """The weights' gradient is that of the unadapted policy; the step sizes' gradient is that of first-order MAML."""
    run = training(agent="finetune", agent_config=finetune.Config(meta_batch=3, episodes=4))
    data, states = rollouts(run)
    agent = run.agent
    inner = inner_batch(data[0], agent.config)
    rows = [outer_batch(rollout, agent.config) for rollout in data]
    gradients, _ = agent.meta_gradient(agent.batches(data, states))
    found = dict(zip(trained(agent), gradients, strict=True))
    policy, names = agent.policy, list(agent.policy.groups)

    meta = {name: value.detach().clone().requires_grad_() for name, value in trained(agent).items()}
    sizes = {name: meta[f"step_size.{name}"] for name in names}
    total = 0.0
    for task in range(3):
        before, after, fixed = (map_tensors(lambda x: x[task], each) for each in (*rows, inner))  # noqa: B023
        log_pi, _ = log_prob(policy, {name: meta[name] for name in names}, before)
        total = total + (log_pi * before.advantage).sum()
        held = {name: meta[name].detach() for name in names}
        adapted = inner_update(held, inner_gradient(policy, held, fixed), sizes)
        log_pi, _ = log_prob(policy, adapted, after)
        total = total + (log_pi * after.advantage).sum()
    (total / rows[0].valid.sum()).backward()
    for name, value in meta.items():
        torch.testing.assert_close(found[name], value.grad, atol=1e-5, rtol=1e-3)


def test_reptile_moves_to_the_mean_of_the_adapted_weights():
    config = reptile.Config(meta_batch=3, episodes=4, inner_steps=2, outer_step_size=0.5)
    run = training(agent="reptile", agent_config=config)
    data, states = rollouts(run)
    agent = run.agent
    assert len(data) == 2
    start = {name: value.clone() for name, value in trained(agent).items()}
    adapted = agent.adapt(states[1], data[1]).params
    metrics = agent.update(data, states, 0.5)
    moved = {name: 0.25 * (adapted[name].mean(0) - start[name]) for name in start}
    for name, value in trained(agent).items():
        torch.testing.assert_close(value, start[name] + moved[name])
    distance = sum(float(move.square().sum()) for move in moved.values()) ** 0.5
    assert metrics == {"distance": pytest.approx(distance)} and distance > 0


def test_unavailable_devices_are_rejected():
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(UsageError, match="no CUDA device"):
        training(device="cuda")
