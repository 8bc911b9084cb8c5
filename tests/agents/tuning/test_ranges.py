"""Ranges of a search: given by the user, and declared beside the options."""

import dataclasses
import re

import pytest

from agents.core.registry import REGISTRIES
from agents.core.spec import Spec
from agents.tuning.ranges import Range, Wanted, applicable, parse_wanted, ranges_of, value_in, with_values
from envs.core.registry import ENVS
from qrl.common.errors import UsageError
from qrl.common.options import bounds_of, only_with, tunable


@pytest.fixture(scope="module")
def spec():
    return Spec.default(env="navigation", agent="maml", model="reuploading")


def one(spec, text) -> Range:
    (found,) = ranges_of(spec, [parse_wanted(text)])
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("agent.clip", Range("agent.clip", 0.05, 0.4)),
        ("--agent.lr_heads", Range("agent.lr-heads", 0.001, 0.2, log=True)),
        ("agent.epochs", Range("agent.epochs", 1.0, 10.0, whole=True)),
        ("agent.clip=0.1:0.3", Range("agent.clip", 0.1, 0.3)),
        ("agent.clip=1e-2:1:log", Range("agent.clip", 0.01, 1.0, log=True)),
        ("agent.episodes=5:40", Range("agent.episodes", 5.0, 40.0, whole=True)),
        ("agent.epochs=1,3,5", Range("agent.epochs", choices=(1, 3, 5))),
        ("agent.clip=1,0.5", Range("agent.clip", choices=(1, 0.5))),
        ("agent.estimator", Range("agent.estimator", choices=("dice", "lvc", "emaml", "first-order"))),
        ("agent.learn-step-sizes", Range("agent.learn-step-sizes", choices=(True, False))),
        ("agent.learn-step-sizes=false, TRUE", Range("agent.learn-step-sizes", choices=(False, True))),
        ("policy.readout-gain=0.1:10:log", Range("policy.readout-gain", 0.1, 10.0, log=True)),
        ("model.n-layers=2:6", Range("model.n-layers", 2.0, 6.0, whole=True)),
    ],
)
def test_ranges_that_are_given(spec, text, expected):
    assert one(spec, text) == expected


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["agent.clp"], "--tune agent.clp: agent maml has no such option; did you mean 'agent.clip'?"),
        (["model.clip"], "--tune model.clip: model reuploading has no such option"),
        (["policy.clip"], "--tune policy.clip: the policy head has no such option"),
        (["agent.episodes"], "--tune agent.episodes: this option has no range of its own: give one, such as "
            "--tune agent.episodes=10:40"),
        (["policy.readout-gain"], "no range of its own: give one, such as --tune policy.readout-gain=0.5:2"),
        (["model.transform=0:1"], "--tune model.transform: not a number: give choices, such as "
            "--tune model.transform=VALUE,VALUE"),
        (["iterations=10:20"], "--tune iterations: options of agent, model, policy are tuned"),
        (["env.horizon=3:5"], "--tune env.horizon: the tasks are the same for all trials"),
        (["agent.clip=0.3:0.1"], "expected LOW less than HIGH, found 0.3:0.1"),
        (["agent.clip=0.1:0.1"], "expected LOW less than HIGH"),
        (["agent.clip=0:1:log"], "a logarithmic range is positive, not 0:1"),
        (["agent.clip=0.1:1:exp"], "expected LOW:HIGH or LOW:HIGH:log"),
        (["agent.clip=a:1"], "--tune agent.clip must be a number, not 'a'"),
        (["agent.clip=nan:1"], "--tune agent.clip must be finite"),
        (["agent.clip=-1:1"], "--tune agent.clip: agent maml: clip must be finite and positive, not -1.0"),
        (["agent.epochs=1:2.5"], "--tune agent.epochs: expected whole numbers, found 1:2.5"),
        (["agent.estimator=dice,other"], "--tune agent.estimator: expected one of 'dice'"),
        (["agent.epochs=1,1"], "--tune agent.epochs: 1 is given twice"),
        (["agent.clip", "agent.clip=0.1:0.2"], "--tune: agent.clip is given twice"),
        (["agent.clip="], "--tune agent.clip=: expected an option, with its range or choices"),
        (["=1:2"], "--tune =1:2: expected an option"),
    ],
)  # fmt: skip
def test_ranges_that_are_refused(spec, texts, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        ranges_of(spec, [parse_wanted(text) for text in texts])


def test_choices_given_in_python(spec):
    assert ranges_of(spec, [Wanted("agent.epochs", choices=(1, 4))]) == (Range("agent.epochs", choices=(1, 4)),)
    with pytest.raises(UsageError, match=re.escape("--tune agent.epochs: expected a single value, found [1, 2]")):
        ranges_of(spec, [Wanted("agent.epochs", choices=([1, 2],))])


def test_default_ranges_are_those_with_an_effect(spec):
    names = {each.name for each in ranges_of(spec, None)}
    assert {"agent.clip", "agent.inner-step-size", "agent.dice-lambda", "model.initial-scale"} <= names
    assert not {"agent.max-kl", "agent.episodes", "model.n-layers"} & names
    trpo = {each.name for each in ranges_of(Spec.default(agent="maml", agent_config={"outer": "trpo"}), None)}
    assert "agent.max-kl" in trpo
    assert not {"agent.clip", "agent.lr-heads", "agent.lr-step-sizes"} & trpo


def test_options_of_a_model_that_is_not_used(spec):
    assert {each.role for each in ranges_of(spec, None, uses_model=False)} == {"agent"}
    with pytest.raises(UsageError, match=r"^--tune model.n-layers: no effect: agent maml has no network$"):
        ranges_of(spec, [parse_wanted("model.n-layers=1:3")], uses_model=False)


def test_an_agent_without_ranges():
    with pytest.raises(UsageError, match=r"^no option of agent random and model mlp has a range of its own: give some"):
        ranges_of(Spec.default(agent="random", model="mlp"), None)


def test_values_in_specs(spec):
    changed = with_values(spec, {"agent.clip": 0.3, "model.n-layers": 2})
    assert (changed.agent_config.clip, changed.model_config.n_layers) == (0.3, 2)
    assert (value_in(changed, "agent.clip"), value_in(spec, "agent.clip")) == (0.3, 0.2)
    with pytest.raises(UsageError, match="agent maml: dice_lambda has no effect with estimator lvc"):
        with_values(spec, {"agent.estimator": "lvc", "agent.dice-lambda": 0.5})


def test_conditions_on_other_options(spec):
    dice_lambda = one(spec, "agent.dice-lambda")
    assert applicable(spec, dice_lambda, {})
    assert not applicable(spec, dice_lambda, {"agent.estimator": "lvc"})
    assert applicable(spec, dice_lambda, {"agent.estimator": "dice"})


def test_values_in_ranges():
    assert Range("agent.clip", 0.1, 0.4).holds(0.4) and not Range("agent.clip", 0.1, 0.4).holds(0.5)
    assert Range("a.b", choices=(True, "x")).holds("x") and not Range("a.b", choices=(True, "x")).holds(1)
    assert not Range("a.b", 0.0, 1.0).holds("x") and not Range("a.b", 0.0, 1.0).holds(True)


def test_metadata_join():
    @dataclasses.dataclass(frozen=True)
    class Config:
        rate: float = dataclasses.field(default=0.1, metadata=only_with(kind="a") | tunable(0, 1))
        kind: str = "a"

    rate, kind = dataclasses.fields(Config)
    assert (bounds_of(rate).low, bounds_of(rate).high, bounds_of(kind)) == (0.0, 1.0, None)


@pytest.mark.parametrize(("role", "name"), [
    (role, name)
    for role in ("agent", "model")
    for name, summary in REGISTRIES[role].available().items()
    if summary.usable and name in REGISTRIES[role].shelved()
])  # fmt: skip
def test_ranges_of_plug_ins_hold_their_defaults(role, name):
    plugin = REGISTRIES[role].load(name)
    configs = [
        plugin.defaults(env) if hasattr(plugin, "defaults") else plugin.Config() for env in sorted(ENVS.shelved())
    ]
    for config in configs:
        for option in dataclasses.fields(config):
            if bounds := bounds_of(option):
                assert bounds.low < bounds.high and (bounds.low > 0 or not bounds.log), option.name
                assert bounds.low <= getattr(config, option.name) <= bounds.high, option.name
