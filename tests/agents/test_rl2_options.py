"""RL^2: invalid options, and defaults that depend on model and environment."""

import json

import pytest

from agents import rl2
from agents.cli.train import parse_train
from agents.core.spec import Spec, default_config
from qrl.common.errors import UsageError
from qrl.models import mlp
from tests.support.rl2_training import learner


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 0}, "episodes must be at least 1"),
        ({"minibatches": 300}, "minibatches must be at most meta_batch, 200, not 300"),
        ({"discount": 1.5}, r"discount must be in \(0, 1\]"),
        ({"gae_lambda": -0.1}, r"gae_lambda must be in \[0, 1\]"),
        ({"value_weight": float("inf")}, "value_weight must be finite and not negative"),
        ({"truncation": -1}, "truncation must be not negative"),
        ({"memory_budget": 0.0}, "memory_budget must be finite and positive"),
        ({"trials": 0}, "trials must be at least 1"),
        ({"trials": 3}, "meta_batch must be a multiple of trials, 3, not 200"),
        ({"clip": 0.0}, "clip must be finite and positive"),
    ],
)
def test_invalid_options(options, message):
    with pytest.raises(UsageError, match=f"agent rl2: {message}"):
        rl2.Config(**options)


def test_model_defaults_to_that_of_the_agent():
    assert Spec.default(agent="rl2").model == "qgru" == Spec.from_json({"agent": "rl2"}).model
    assert Spec.default(agent="rl2", model="gru").model == "gru"
    assert Spec.default(agent="maml").model == "reuploading"
    with pytest.raises(UsageError, match="model 'mlp' has no memory"):
        learner(model="mlp", model_config=mlp.Config())


def test_trials_have_more_episodes_if_these_are_short():
    import agents.rl2 as plugin

    assert default_config(plugin, "bandit").episodes == 10
    assert default_config(plugin, "navigation") == rl2.Config()


def test_saved_options_of_the_default_model_are_kept_when_it_is_named(tmp_path):
    saved = tmp_path / "saved.json"
    saved.write_text(json.dumps({"agent": "rl2", "model_config": {"n_hidden": 8}}))
    spec, *_ = parse_train(["--config", str(saved), "--model", "qgru"])
    assert spec.model == "qgru" and spec.model_config.n_hidden == 8
