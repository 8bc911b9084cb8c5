"""Arguments of `agents.train` and `evaluate` at a wrong level: the message shows how they are written."""

import pytest

import agents
from agents.experiment.run import Run
from qrl.common.errors import UsageError

pytestmark = pytest.mark.usefixtures("unchecked")
RL2 = {"env": "bandit", "agent": "rl2", "model": "gru"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"meta_batch": 4}, "train: unknown argument 'meta_batch'; write agent_config=dict(meta_batch=4)"),
        ({"n_layers": 2}, "train: unknown argument 'n_layers'; write model_config=dict(n_layers=2)"),
        ({"horizon": 50}, "train: unknown argument 'horizon'; write env_config=dict(horizon=50)"),
        ({"head": "auto"}, "train: unknown argument 'head'; write policy=dict(head='auto')"),
        ({"tasks": 9}, "train: unknown argument 'tasks'; write eval_tasks=9"),
        (
            {"episodes": 3},
            "train: unknown argument 'episodes'; write eval_episodes=3 or agent_config=dict(episodes=3)",
        ),
        ({**RL2, "n_hidden": 5}, "train: unknown argument 'n_hidden'; write model_config=dict(n_hidden=5)"),
        ({"meta_bach": 4}, "train: unknown argument 'meta_bach'; did you mean agent_config=dict(meta_batch=4)?"),
        ({"callback": print}, "train: unknown argument 'callback'; did you mean 'callbacks'? (choices: agent, "),
        ({"agent": "rl3", "meta_batch": 4}, "unknown agent 'rl3'"),
        ({"agent_config": {"n_layers": 2}}, "agent_config: unknown option 'n_layers'; write model_config=dict("),
        ({"model_config": {"meta_batch": 2}}, "model_config: unknown option 'meta_batch'; write agent_config=dict("),
        ({"agent_config": {"iterations": 2}}, "agent_config: unknown option 'iterations'; write iterations=2"),
        ({"env_config": {"tasks": 2}}, "env_config: unknown option 'tasks'; write eval_tasks=2"),
        ({"agent_config": {"meta_bach": 2}}, "agent_config: unknown option 'meta_bach'; did you mean 'meta_batch'?"),
        ({"agent_config": {"meta_batch": -1}}, "agent maml: meta_batch must be at least 1"),
    ],
)  # fmt: skip
def test_the_message_shows_where_an_option_belongs(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        agents.train(**arguments)
    assert str(caught.value).startswith(message)
    assert not any(tmp_path.iterdir())


def test_an_evaluation_has_the_short_names():
    for evaluate in (lambda **given: agents.evaluate("nowhere", **given), lambda **given: Run.evaluate(None, **given)):
        with pytest.raises(UsageError, match=r"evaluate: unknown argument 'eval_tasks'; did you mean 'tasks'\?"):
            evaluate(eval_tasks=3)
