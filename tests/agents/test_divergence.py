"""Divergence of every agent: a TrainingError of one line, never a traceback of torch; the last checkpoint is kept."""

import dataclasses
import math
import re
import shutil

import numpy as np
import pytest
import torch

import agents
from agents.core.agent import Learner
from agents.core.context import build
from agents.core.divergence import named_tensors, not_finite
from agents.core.registry import AGENTS
from agents.core.spec import Spec
from agents.experiment.loop import Training
from agents.experiment.returns import EvaluationPlan, evaluate_returns
from agents.experiment.start import run_training
from agents.runs.folder import RunFolder
from qrl.common.divergence import diverging
from qrl.common.errors import TrainingError, UsageError
from qrl.policies.heads import Categorical
from tests.support.run_folders import names

RATES = (
    *("lr_angles", "lr_scales", "lr_heads", "lr_step_sizes", "learning_rate", "fine_learning_rate"),
    *("inner_step_size", "outer_step_size", "step_size"),
)
SIZES = {"meta_batch": 2, "episodes": 3, "minibatches": 1, "n_epochs": 2, "iterations": 2, "starts": 1}
VARIANTS: dict[str, list[dict[str, object]]] = {
    "maml": [{}, {"estimator": "emaml"}, {"outer": "trpo"}, {"baseline": "linear"}, {"target_kl": 0.0}],
    "rl2": [{}, {"memories": "shared"}, {"target_kl": 0.0}],
}
ENVS = {"grape": ["qubit_control"]}
LEARNERS = ("maml", "reptile", "rl2", "reinforce", "finetune", "scratch", "cross_entropy", "sb3_ppo", "grape")
CASES = [
    (agent, env, variant)
    for agent in LEARNERS
    for env in ENVS.get(agent, ["navigation", "cartpole"])
    for variant in (VARIANTS.get(agent, [{}]) if env == "navigation" else [{}])
]


def spec_of(agent, env, **config):
    known = {field.name for field in dataclasses.fields(AGENTS.load(agent).Config)}
    config = {name: value for name, value in SIZES.items() if name in known} | config
    model = "gru" if agent == "rl2" else "mlp"
    options = {"agent_config": config, "env_config": {"horizon": 4}, "iterations": 2, "threads": 1}
    return Spec.default(env=env, agent=agent, model=model, **options)


def returns(spec):
    """Train and evaluate without a run folder; return the returns of the evaluation."""
    distribution, agent = build(spec)
    if isinstance(agent, Learner):
        training = Training(spec, distribution, agent)
        for _ in range(spec.iterations):
            training.step()
    plan = EvaluationPlan(n_tasks=2, steps=2, episodes=2)
    return evaluate_returns(agent, distribution, plan).per_task


def outcome(agent, env, **config):
    """Message of the TrainingError, "" if the returns are finite."""
    try:
        finite = bool(np.isfinite(returns(spec_of(agent, env, **config))).all())
    except TrainingError as error:
        return str(error)
    return "" if finite else "returns are not finite"


@pytest.mark.parametrize(("agent", "env", "variant"), CASES)
def test_absurd_rates_end_in_one_line(agent, env, variant):
    known = {field.name for field in dataclasses.fields(AGENTS.load(agent).Config)}
    trpo = variant.get("outer") == "trpo"
    rates = [name for name in RATES if name in known and not (trpo and name.startswith("lr_"))]
    for rate in (1e38,) if variant else (1e6, 1e38):
        message = outcome(agent, env, **variant, **dict.fromkeys(rates, rate))
        assert not message or re.fullmatch(r"(the|an) .* (is|are) not finite.*", message)


@pytest.mark.parametrize("name", ["learning_rate", "fine_learning_rate"])
def test_sb3_ppo_with_one_absurd_rate(name):
    assert "finite" in outcome("sb3_ppo", "navigation", **{name: 1e30})


def test_last_good_checkpoint_is_kept(tmp_path, monkeypatch):
    spec = Spec.default(env="cartpole", agent="reptile", model="mlp", agent_config={"meta_batch": 2, "episodes": 2})
    distribution, agent = build(spec)
    training = Training(spec, distribution, agent)
    folder = RunFolder.create(tmp_path / "run", {"spec": spec.to_json()})
    training.iteration = 1
    training.save(folder)
    agent.theta["readout.bias"].data[0] = math.inf
    training.iteration = 2
    with pytest.raises(TrainingError, match=r"^params/readout.bias is not finite after iteration 2: it diverged; use "):
        training.save(folder)
    assert folder.checkpoints.iterations() == [1]


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    spec = spec_of("rl2", "bandit")
    return folder, run_training(dataclasses.replace(spec, eval_tasks=2, eval_episodes=2), folder, quiet=True)


def test_weights_that_are_not_finite_are_not_loaded(memory, monkeypatch):
    folder, run = memory
    training = Training(run.spec, run.distribution, run.agent)
    training.iteration = 3
    monkeypatch.setattr("agents.experiment.loop.not_finite", lambda tensors: None)
    with torch.no_grad():
        next(iter(run.agent.theta.values())).fill_(math.nan)
    training.save(run.folder)
    monkeypatch.undo()
    assert names(folder / "checkpoint") == ["00000002", "00000003"]
    with pytest.warns(UserWarning, match=r"00000003: tensor 'params/.*' is not finite; the checkpoint of iteration 2"):
        assert agents.load(folder).iteration == 2
    shutil.rmtree(folder / "checkpoint" / "00000002")
    for use in (agents.load, agents.resume):
        with pytest.raises(UsageError, match=r"no usable checkpoint: .*: tensor 'params/.*' is not finite$"):
            use(folder)


def test_outputs_that_are_not_numbers_are_no_actions(memory):
    _, run = memory
    with torch.no_grad():
        next(iter(run.agent.theta.values())).fill_(math.nan)
    with pytest.raises(TrainingError, match="the policy's outputs are not finite"):
        run.evaluate(tasks=2, episodes=2)
    log_probs = torch.tensor([[0.0, -math.inf], [math.nan, 0.0]])
    assert Categorical.sample({"log_probs": log_probs[:1]}, torch.zeros(1, 2)).tolist() == [0]
    with pytest.raises(TrainingError, match="not finite"):
        Categorical.sample({"log_probs": log_probs}, torch.zeros(2, 2))


def test_named_tensors_of_a_state():
    nested = {"a": (torch.zeros(1), [torch.tensor([math.nan])]), "b": "text", "c": 3}
    assert [name for name, _ in named_tensors(nested)] == ["a.0", "a.1.0"]
    assert not_finite(named_tensors(nested)) == "a.1.0"
    assert not_finite(named_tensors(torch.arange(3))) is None


def test_messages_of_torch():
    """Third-party behaviour: the messages by which `diverging` knows a divergence."""
    nan, weight = torch.tensor([math.nan]), torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.ones(1)
    calls = [
        lambda: torch.distributions.Normal(nan, 1.0, validate_args=True),
        lambda: torch.distributions.Categorical(logits=nan, validate_args=True),
        lambda: torch.multinomial(nan, 1),
        lambda: torch.linalg.solve(torch.zeros(2, 2), torch.zeros(2)),
        lambda: torch.optim.Adam([weight], lr=1e38).step(),
    ]
    for call in calls:
        with pytest.raises(TrainingError, match=r"^it is not finite, or too large for single"), diverging("it"):
            call()
    with pytest.raises(ValueError, match="other"), diverging("it"):
        raise ValueError("other")
