"""Invalid or ineffective options of the agents are rejected by name."""

import pytest

from agents import finetune, maml, reptile, rl2, scratch
from qrl.common.errors import UsageError
from qrl.policies.actor import PolicyConfig

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (maml.Config, {"meta_batch": 0}, "meta_batch must be at least 1, not 0"),
        (maml.Config, {"inner_steps": 0}, "inner_steps must be at least 1, not 0"),
        (maml.Config, {"episodes": 1}, "baseline leave-one-out needs at least 2 episodes"),
        (maml.Config, {"inner_step_size": NAN}, "inner_step_size must be finite and positive, not nan"),
        (maml.Config, {"discount": 0.0}, "discount must be in (0, 1], not 0.0"),
        (maml.Config, {"lr_heads": -0.1}, "lr_heads must be finite and not negative, not -0.1"),
        (maml.Config, {"max_kl": INFINITE, "outer": "trpo"}, "max_kl must be finite and positive, not inf"),
        (maml.Config, {"dice_lambda": 1.5}, "dice_lambda must be in [0, 1], not 1.5"),
        (maml.Config, {"outer": "trpo", "epochs": 5}, "epochs has no effect with outer trpo"),
        (maml.Config, {"outer": "trpo", "lr_heads": 0.1}, "lr_heads has no effect with outer trpo"),
        (maml.Config, {"max_kl": 0.1}, "max_kl has no effect with outer ppo"),
        (maml.Config, {"estimator": "lvc", "dice_lambda": 0.5}, "dice_lambda has no effect with estimator lvc"),
        (
            finetune.Config,
            {"learn_step_sizes": False, "lr_step_sizes": 0.1},
            "lr_step_sizes has no effect with learn_step_sizes false",
        ),
        (reptile.Config, {"outer_step_size": 0.0}, "outer_step_size must be finite and positive, not 0.0"),
        (scratch.Config, {"extra_step_decay": 0.0}, "extra_step_decay must be finite and positive, not 0.0"),
    ],
)
def test_invalid_options_are_rejected(config, options, message):
    agent = config.__module__.rpartition(".")[2]
    with pytest.raises(UsageError) as error:
        config(**options)
    assert str(error.value) == f"agent {agent}: {message}"


def test_options_of_the_selected_choice_are_accepted():
    maml.Config(outer="trpo", max_kl=0.1, estimator="lvc", learn_step_sizes=False)
    maml.Config(epochs=5, dice_lambda=0.5, lr_step_sizes=0.1)
    maml.Config(outer="trpo", epochs=3)  # explicit, but equal to the default
    assert maml.Config(episodes=1, baseline="none").episodes == 1


@pytest.mark.parametrize(
    ("config", "option", "near"),
    [
        (lambda: maml.Config(estimator="dicee"), "estimator 'dicee'", "dice"),
        (lambda: maml.Config(outer="npg"), "outer 'npg'", "ppo"),
        (lambda: maml.Config(baseline="liner"), "baseline 'liner'", "linear"),
        (lambda: rl2.Config(readout="bilin"), "readout 'bilin'", "bilinear"),
        (lambda: PolicyConfig(normalisation="runing"), "normalisation 'runing'", "running"),
        (lambda: PolicyConfig(head="gauss"), "head 'gauss'", "gaussian"),
    ],
)
def test_unknown_choices_are_rejected_in_every_form(unchecked, config, option, near):
    with pytest.raises(UsageError, match=f"unknown {option}.*{near}"):
        config()
