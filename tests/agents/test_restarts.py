"""Restarts: schedule and choice by hand, checkpoints, and runs that resume in the same bits."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from agents import rl2
from agents.cli.main import main
from agents.core.context import build
from agents.core.spec import Spec
from agents.experiment.loop import Training
from agents.experiment.resume import run_resume
from agents.experiment.start import run_training
from agents.rl.adaptive_adam import KLAdaptiveAdam
from agents.rl.config import PPOConfig
from agents.rl.restarts import PREFIX, Restarts
from envs.quantum_memory import Config
from qrl.common.errors import UsageError
from qrl.models import coherent
from tests.support.killed_training import killed


def attempts(count=3, length=4):
    """Restarts of one parameter, whose attempt k begins at 10 k; each update adds 1 to it by Adam's first steps."""
    params = {"x": torch.zeros(1, requires_grad=True)}
    optimiser = KLAdaptiveAdam(PPOConfig(target_kl=0.0), params, {"x": 1.0}, {})
    return Restarts(count, length, optimiser, lambda attempt: {"x": torch.full((1,), 10.0 * attempt)})


def update(restarts, mean_return):
    restarts.optimiser.optimise([([torch.ones(1)], {"kl": 0.0})], lambda: 0.0, 1.0)
    restarts.record(float(mean_return))
    return float(restarts.optimiser.params["x"].detach())


def test_best_attempt_continues_with_its_moments():
    """Attempts of four updates each; only the last two of each count. The second attempt is the best."""
    restarts = attempts()
    values = []
    for attempt, returns in enumerate([(9, 9, 0.1, 0.3), (0, 0, 0.3, 0.3), (9, 9, 0.2, 0.3)]):
        for each in returns:
            assert restarts.attempt == attempt
            values.append(update(restarts, each))
    # Each attempt begins anew at 10 k; after the third, the second's end at 14 is restored.
    assert values == pytest.approx([1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23, 14])
    assert restarts.attempt is None
    assert int(restarts.optimiser.adam.state[restarts.optimiser.params["x"]]["step"]) == 4
    update(restarts, 100.0)
    assert restarts.attempt is None and float(restarts.optimiser.params["x"].detach()) == pytest.approx(15)


@pytest.mark.parametrize(("returns", "best"), [((0.5, 0.5, 0.5), 0), ((-3, -1, -1), 1), ((0, 0, 1), 2)])
def test_earlier_attempt_wins_a_tie(returns, best):
    restarts = attempts(length=1)
    values = [update(restarts, each) for each in returns]
    assert values[-1] == pytest.approx(10 * best + 1)


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_second_half_of_an_attempt_counts(length):
    """The mean over the updates after the first floor(length / 2); in all others, any return has no effect."""
    ignored = length // 2
    restarts = attempts(count=2, length=length)
    for value in [*[100.0] * ignored, *[0.4] * (length - ignored), *[-100.0] * ignored, *[0.5] * (length - ignored)]:
        last = update(restarts, value)
    assert last == pytest.approx(10 + length)


@pytest.mark.parametrize("stop", range(1, 13))
def test_state_is_restored_at_every_update(stop):
    """Attempts, choice and the updates after it are those of an uninterrupted sequence."""
    returns = np.random.default_rng(0).random(14)
    whole = attempts()
    expected = [update(whole, each) for each in returns]
    first, second = attempts(), attempts()
    found = [update(first, each) for each in returns[:stop]]
    saved = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    second.optimiser.load_state_dict({k: v.clone() for k, v in first.optimiser.state_dict().items()})
    second.load_state_dict(saved)
    found += [update(second, each) for each in returns[stop:]]
    assert found == expected
    assert {*second.state_dict()} == {*whole.state_dict()} and all(name.startswith(PREFIX) for name in saved)


def test_state_of_other_restarts_is_refused():
    without = attempts(count=1)
    assert without.state_dict() == {} and without.attempt is None
    without.load_state_dict({})
    some = attempts()
    update(some, 0.5)
    for restarts, tensors in ((without, some.state_dict()), (attempts(), {})):
        with pytest.raises(UsageError, match="belongs to a run with other restarts"):
            restarts.load_state_dict(tensors)


def spec(**fields):
    options = {"restarts": 2, "restart_iterations": 2, "meta_batch": 8, "minibatches": 1} | fields
    return Spec.default(
        env="quantum_memory",
        env_config=Config(mode="symmetry"),
        agent="rl2",
        agent_config=dataclasses.replace(rl2.defaults("quantum_memory"), **options),
        model="coherent",
        model_config=coherent.Config(n_layers=1),
        iterations=6,
        checkpoint_every=1,
        eval_tasks=2,
        eval_episodes=2,
        threads=1,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Run without interruption: two attempts of two iterations, then two more."""
    folder = tmp_path_factory.mktemp("restarts") / "whole"
    run_training(spec(), folder, overwrite=False, command=[], quiet=True)
    return folder


@pytest.mark.parametrize("after", [1, 4])
def test_resumed_run_ends_in_the_same_bits(tmp_path, whole, after):
    """Killed within an attempt, and right after the choice."""
    with killed(after=after):
        run_training(spec(), tmp_path / "run", overwrite=False, command=[], quiet=True)
    run_resume(tmp_path / "run", quiet=True)
    for name in ("checkpoint/00000006/state.safetensors", "metrics.jsonl", "evaluation.json"):
        assert (whole / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name


def test_training_must_outlast_the_attempts(tmp_path, capsys):
    words = ["train", "--env", "quantum_memory", "--iterations", "48", "--out", str(tmp_path / "run")]
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "agent rl2: 4 restarts of 12 iterations need more than 48 iterations in all, not 48" in line
    assert not (tmp_path / "run").exists()


def test_rows_name_the_attempt(whole):
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [row.get("attempt") for row in rows] == [0, 0, 1, 1, None, None]


def test_attempts_begin_from_initialisations_of_their_own():
    """Equal in every run of a seed, different from each other and from the first one."""
    agents = [build(spec(restarts=4))[1] for _ in range(2)]
    first, again = ([agent.restarts.initial(attempt) for attempt in (1, 2, 3)] for agent in agents)
    for name, value in agents[0].theta.items():
        if value.numel() and value.any():  # biases begin at 0
            drawn = [value, *(params[name] for params in first)]
            assert not any(torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i]), name
        assert all(torch.equal(one[name], other[name]) for one, other in zip(first, again, strict=True))


def test_training_without_restarts_stores_nothing_of_them():
    without = spec(restarts=1)
    training = Training(without, *build(without))
    assert "attempt" not in training.step()
    assert not any(name.startswith(PREFIX) for name in training.agent.state_dict())
