"""Settings: values of Python, TOML and the command line as words of `train`."""

import pytest

from agents.study.setting import flat, grid_axis, safe, setting, split_words
from qrl.common.errors import UsageError


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("iterations", 3, ("--iterations=3",)),
        ("agent.inner_steps", 2, ("--agent.inner-steps=2",)),
        ("policy.initial-log-std", -1e-3, ("--policy.initial-log-std=-0.001",)),
        ("agent.learn-step-sizes", True, ("--agent.learn-step-sizes",)),
        ("agent.learn-step-sizes", False, ("--agent.no-learn-step-sizes",)),
        ("overdue", False, ("--no-overdue",)),
        ("noise", ["depolarizing=0.01", "readout=0.02"], ("--noise", "depolarizing=0.01", "readout=0.02")),
        ("env.step-timeout", None, ("--env.step-timeout=None",)),
    ],
)
def test_words_of_a_value(name, value, words):
    assert setting(name, value, "here").words == words


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("a b", 1, "here: 'a b' is no name of an option, such as agent.inner-steps"),
        ("config=theirs.json", True, "here: 'config=theirs.json' is no name of an option, such as agent.inner-steps"),
        ("noise", [], "here: noise: expected at least one value, found an empty list"),
        ("noise", ["x", "--trust"], "here: noise: '--trust' is an option, no value"),
        ("shots", object, "here: shots: expected a number, a string, true, false or a list of them, found <class"),
    ],
)
def test_what_is_no_option(name, value, message):
    with pytest.raises(UsageError) as refused:
        setting(name, value, "here")
    assert str(refused.value).startswith(message)


def test_words_are_split_at_options():
    found = split_words(["--a", "--b.c", "-1", "2", "--d=e=f", "--a"])
    assert [each.name for each in found] == ["a", "b.c", "d", "a"]
    assert [each.words for each in found] == [("--a",), ("--b.c", "-1", "2"), ("--d=e=f",), ("--a",)]
    assert [each.text for each in found] == ["", "-1 2", "e=f", ""]
    with pytest.raises(UsageError, match="unexpected argument 'stray'"):
        split_words(["stray", "--a"])


def test_axis_of_the_command_line():
    assert [each.words for each in grid_axis("agent.inner_steps=1, 2")] == [
        ("--agent.inner-steps=1",),
        ("--agent.inner-steps=2",),
    ]
    assert [each.words for each in grid_axis("agent.learned=true,False")] == [
        ("--agent.learned",),
        ("--agent.no-learned",),
    ]
    assert [each.words for each in grid_axis("model.hidden=16,16 16")] == [
        ("--model.hidden=16",),
        ("--model.hidden", "16", "16"),
    ]
    for text in ("agent.clip", "agent.clip=", "=1", "agent.clip=1,,2"):
        with pytest.raises(UsageError, match="expected NAME=VALUE,VALUE, such as"):
            grid_axis(text)


def test_nested_options_have_dotted_names():
    assert flat({"agent": {"steps": {"rate": 1}, "clip": 2}, "shots": 3}) == {
        "agent.steps.rate": 1, "agent.clip": 2, "shots": 3}  # fmt: skip


def test_safe_characters():
    assert safe("ALE/Pong v5: like:a+b-c") == "ALE_Pong_v5_like_a+b-c"
    assert safe("/") == "_"
