"""Training in shards: the same update as of all tasks together, and equal bits in any number of processes."""

import dataclasses
from functools import partial

import pytest
import torch
from torch import Tensor

from agents.core.context import build
from agents.core.registry import AGENTS
from agents.core.rollout import Rollout
from agents.core.shard import WHOLE, Moments, Shard
from agents.core.spec import Spec
from agents.experiment.loop import Training
from agents.experiment.returns import EvaluationPlan
from agents.rl.returns import standard_scores
from agents.shards.lockstep import Lockstep
from agents.shards.team import Team
from agents.shards.world import OneProcess
from envs.core.registry import ENVS
from qrl.common.errors import TrainingError, UsageError
from qrl.policies.actor import Observed, PolicyConfig
from tests.support.double_precision import seeded
from tests.support.worlds import in_worlds, worlds

RUNNING = PolicyConfig(normalisation="running")
LEARNERS: dict[str, dict[str, object]] = {
    "maml": {"agent": "maml", "inner_steps": 2, "epochs": 2},
    # Well-conditioned, as sums are rounded in another order.
    "maml-trpo": {"agent": "maml", "outer": "trpo", "cg_damping": 1.0},
    "maml-emaml": {"agent": "maml", "estimator": "emaml"},
    "maml-step-sizes": {"agent": "maml", "learn_step_sizes": True, "epochs": 2},
    "reptile": {"agent": "reptile", "inner_steps": 2},
    "finetune": {"agent": "finetune", "epochs": 2, "learn_step_sizes": True},
    "reinforce": {"agent": "reinforce"},
    "reinforce-batch": {"agent": "reinforce", "standardise_returns": "batch"},
    "rl2": {"agent": "rl2", "epochs": 2, "minibatches": 2, "episodes": 2, "trials": 2, "reward_prediction": 0.5},
}


def spec(learner: str, shards: int, meta_batch: int = 8) -> Spec:
    options = dict(LEARNERS[learner])
    agent = options.pop("agent")
    options = {"episodes": 3, **options}
    config = dataclasses.replace(AGENTS.load(agent).Config(), meta_batch=meta_batch, **options)
    model = "gru" if agent == "rl2" else "mlp"
    env = dataclasses.replace(ENVS.load("navigation").Config(), horizon=5)
    fields = {"env_config": env, "agent_config": config, "policy": RUNNING, "iterations": 4, "threads": 1}
    return Spec.default(env="navigation", agent=agent, model=model, shards=shards, seed=3, **fields)


def training(learner: str, shards: int, team: Team | None = None) -> Training:
    given = spec(learner, shards)
    return Training(given, *build(given), team)


def weights(agent) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in agent.state_dict().items()}


def joined(rollouts: list[Rollout]) -> Rollout:
    """Join rollouts of equal length along the task axis."""
    fields = dataclasses.fields(Rollout)
    columns = {each.name: [getattr(rollout, each.name) for rollout in rollouts] for each in fields}
    return Rollout(**{name: torch.cat(parts, dim=0 if name == "final" else 1) for name, parts in columns.items()})


@pytest.mark.parametrize("learner", LEARNERS)
def test_update_equals_that_of_all_tasks_together(learner):
    """Every sum over tasks goes over the shards: gradients, deviations, divergences, products, normalisation."""
    sharded = training(learner, 4)
    _, whole = build(spec(learner, 1))
    data = [record(replica.agent) for replica in sharded.replicas]
    own = [type(replica.agent).update.__get__(replica.agent) for replica in sharded.replicas]
    sharded.step()
    updates = [partial(update, *each, 0.9) for update, each in zip(own, data, strict=True)]
    metrics = sharded.team.run(updates)
    assert all(each == metrics[0] for each in metrics)
    rollouts = [joined(list(each)) for each in zip(*(rollouts for rollouts, _ in data), strict=True)]
    states = [together(list(each)) for each in zip(*(states for _, states in data), strict=True)]
    alone = whole.update(rollouts, states, 0.9)
    for replica in sharded.replicas[1:]:
        assert all(torch.equal(value, weights(sharded.agent)[n]) for n, value in weights(replica.agent).items())
    expected = weights(whole)
    for name, value in weights(sharded.agent).items():
        torch.testing.assert_close(value, expected[name], rtol=2e-3, atol=2e-5)
    for name, value in metrics[0].items():
        assert value == pytest.approx(alone[name], rel=5e-3, abs=1e-4), name


def record(agent) -> tuple[list[Rollout], list[object]]:
    """Replace an agent's update by one that records its arguments in the lists that are returned."""
    rollouts: list[Rollout] = []
    states: list[object] = []

    def update(of_step, states_of_step, _) -> dict[str, float]:
        rollouts.extend(of_step)
        states.extend(states_of_step)
        return {}

    agent.update = update
    return rollouts, states


def together(states: list):
    """Join the states of shards along the task axis."""
    first = states[0]
    if not hasattr(first, "params"):
        return first
    return dataclasses.replace(first, params={n: torch.cat([s.params[n] for s in states]) for n in first.params})


@pytest.mark.parametrize("learner", LEARNERS)
def test_bits_are_equal_in_one_process_in_two_and_in_four(learner):
    plan = EvaluationPlan(6, 1, 4)

    def lead(each: Training) -> tuple[object, ...]:
        with each.leading():
            rows = [each.step(), each.step()]
            evaluated = each.evaluate(plan)
        return rows, weights(each.agent), evaluated

    rows, expected, evaluated = lead(training(learner, 4))
    for size in (2, 4):
        several = worlds(size)
        members = [training(learner, 4, Team(4, world)) for world in several]
        (found_rows, found, found_returns), *_ = in_worlds(
            several, [partial(lead, members[0]), *(each.follow for each in members[1:])]
        )
        assert found_rows == rows and found.keys() == expected.keys()
        assert all(torch.equal(value, expected[name]) for name, value in found.items())
        assert (found_returns.per_task == evaluated.per_task).all() and (found_returns.steps == evaluated.steps).all()
        for each in members[1:]:
            assert all(torch.equal(value, expected[name]) for name, value in weights(each.agent).items())
            assert each.iteration == 2


def shards_of(count: int) -> tuple[Team, list[Shard]]:
    team = Team(count)
    return team, team.shards


def test_moments_and_scores_of_unequal_parts():
    values = torch.randn(50, generator=seeded()) * 3 + 1
    team, shards = shards_of(3)
    parts = values.split([7, 1, 42])
    functions = [partial(Moments.of, part, shard) for part, shard in zip(parts, shards, strict=True)]
    for moments in team.run(functions):
        assert moments.n == 50
        torch.testing.assert_close(moments.mean.float(), values.mean())
        torch.testing.assert_close(moments.deviation.float(), values.std(correction=0))
    whole = Moments.of(values)
    assert torch.equal(whole.deviation, values.std(correction=0)) and torch.equal(whole.mean, values.mean())

    observations = torch.randn(40, 2, generator=seeded())
    first, second = Observed.of(observations[:3]), Observed.of(observations[3:])
    for found, expected in zip(first.merged(second), Observed.of(observations), strict=True):
        torch.testing.assert_close(found, expected)
    for found, expected in zip(Observed.of(observations[:0]).merged(first), first, strict=True):
        torch.testing.assert_close(found, expected)


def test_standard_scores_over_shards():
    returns, valid = torch.randn(6, 3, 4, generator=seeded()), torch.rand(6, 3, 4, generator=seeded()) > 0.2
    team, shards = shards_of(3)

    def scores(shard: Shard) -> Tensor:
        mine = slice(2 * shard.index, 2 * shard.index + 2)
        return standard_scores(returns[mine], valid[mine], per_episode=False, shard=shard)

    expected = standard_scores(returns, valid, per_episode=False)
    torch.testing.assert_close(torch.cat(team.run([partial(scores, shard) for shard in shards])), expected)


def test_numbers_that_are_gathered():
    team, shards = shards_of(3)

    def numbers(shard: Shard) -> tuple[object, ...]:
        index = shard.index
        return (
            shard.total(index + 0.5),
            shard.mean(float(index)),
            shard.any(index == 2),
            shard.any(False),
            shard.largest(torch.tensor([index, -index])).tolist(),
            [each.tolist() for each in shard.gather(torch.tensor([index], dtype=torch.int64))],
        )

    expected = (4.5, 1.0, True, False, [2, 0], [[0], [1], [2]])
    assert team.run([partial(numbers, shard) for shard in shards]) == [expected] * 3
    assert (WHOLE.total(3.0), WHOLE.mean(3.0), WHOLE.any(True)) == (3, 3, True)


def test_error_of_a_shard_ends_the_others():
    lockstep = Lockstep(OneProcess(), 3)

    def step(index: int) -> None:
        lockstep.gather(index, torch.zeros(1))
        if index == 1:
            raise TrainingError("diverged")
        lockstep.gather(index, torch.zeros(1))

    with pytest.raises(TrainingError, match=r"^diverged$"):
        lockstep.run([partial(step, index) for index in range(3)])
    gathered = lockstep.run([partial(lockstep.gather, index, torch.tensor([index])) for index in range(3)])
    assert [[each.item() for each in row] for row in gathered] == [[0, 1, 2]] * 3  # it can go on


@pytest.mark.parametrize(
    ("agent", "fields", "message"),
    [
        ("maml", {"shards": 3}, "agent maml: meta_batch must be a multiple of the number of shards, 3, not 20"),
        ("sb3_ppo", {"shards": 2}, "agent 'sb3_ppo' cannot be trained in shards; leave out shards 2"),
        ("random", {"shards": 2}, "agent 'random' cannot be trained in shards"),
        ("rl2", {"shards": 4, "agent_config": {"meta_batch": 8, "minibatches": 4}}, "at most the 2 trials of a shard"),
        ("maml", {"shards": 0}, "shards must be at least 1, not 0"),
    ],
)
def test_shards_that_do_not_fit_are_refused(agent, fields, message):
    def start() -> None:
        given = Spec.default(env="navigation", agent=agent, **fields)
        Training(given, *build(given))

    with pytest.raises(UsageError, match=message):
        start()


def test_shards_that_the_processes_cannot_share():
    with pytest.raises(UsageError, match="2 processes cannot share 3 shards equally: start so many"):
        Team(3, worlds(2)[0])


def test_streams_differ_between_shards_and_iterations():
    run = training("reinforce", 2)
    drawn = []
    for iteration in (0, 1):
        for replica in run.replicas:
            replica._seed(iteration)
            drawn.append((replica.rngs["tasks"].random(), torch.rand(1, generator=replica.generator).item()))
    assert len({*drawn}) == 4
