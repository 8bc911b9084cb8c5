"""Help texts: first steps, one or two sentences per option, nothing about unselected plug-ins."""

import pytest

from agents.cli.main import main
from agents.cli.train import parse_train


def help_of(capsys, *arguments) -> str:
    assert main([*arguments, "--help"]) == 0
    return capsys.readouterr().out


def test_train_help_begins_with_the_first_steps(capsys):
    text = help_of(capsys, "train", "--env", "navigation")
    assert text.count("\n") <= 150
    start = text.partition("start here:\n")[2].partition("\nrun:")[0]
    assert 6 <= len(start.splitlines()) <= 15
    names = [word for word in start.split() if word.startswith("--")]
    assert names == ["--env", "--agent", "--model", "--iterations", "--seed", "--out", "--env.horizon",
                     "--agent.inner-steps", "--model.n-wires"]  # fmt: skip


@pytest.mark.parametrize(
    ("outer", "shown", "hidden"), [("ppo", "--agent.outer", "--agent.max-kl"), ("trpo", "--agent.max-kl", "--nothing")]
)
def test_options_of_unselected_choices_are_hidden(capsys, outer, shown, hidden):
    text = help_of(capsys, "train", "--env", "navigation", "--agent.outer", outer)
    assert shown in text and hidden not in text


def test_hidden_options_are_accepted(capsys):
    assert main(["--env", "navigation", "--agent.max-kl", "0.5"]) == 2
    assert capsys.readouterr().err == "run.py: error: agent maml: max_kl has no effect with outer ppo\n"


def test_every_plug_in_option_has_a_help_text(capsys):
    for env, agent in (("navigation", "maml"), ("bandit", "rl2"), ("cartpole", "reinforce"), ("navigation", "sb3_ppo")):
        lines = help_of(capsys, "train", "--env", env, "--agent", agent).splitlines()
        for line, below in zip(lines, [*lines[1:], ""], strict=True):
            if line.startswith("  --"):
                assert len(line.split("  ")) > 2 or below.startswith("   " * 5), line


def test_numbers_with_an_exponent(capsys):
    spec, *_ = parse_train(["--env", "navigation", "--policy.initial-log-std", "-1e-3", "--agent.lr-heads", "1e-2"])
    assert (spec.policy.initial_log_std, spec.agent_config.lr_heads) == (-1e-3, 1e-2)
