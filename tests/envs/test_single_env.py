"""The scalar Gymnasium environment of a single task."""

import pytest

import envs
from qrl.common.errors import UsageError
from tests.support.environments import Counter

pytestmark = pytest.mark.filterwarnings("error")


def test_single_env_changes_its_task_at_reset() -> None:
    env = Counter(positive=("rate",)).make({"rate": 1.5})
    assert env.task == {"rate": 1.5}
    for options, rate in [(None, 1.5), ({"task": {"rate": 1.75}}, 1.75), ({}, 1.75), ({"task": {}}, 1.0)]:
        before, _ = env.reset(seed=0, options=options)
        after, reward, *_ = env.step(1)
        assert env.task == {"rate": rate}
        assert after[0] - before[0] == pytest.approx(rate) and reward == pytest.approx(float(after[0]))
    for options, message in [
        ({"tasks": {}}, "did you mean 'task'"),
        ({"task": 3}, "mapping"),
        ({"task": {"rat": 1}}, "did you mean 'rate'"),
        ({"task": {"rate": -1}}, "positive"),
    ]:
        with pytest.raises(UsageError, match=message):
            env.reset(options=options)
    with pytest.raises(UsageError, match="seed"):
        env.reset(seed=-1)
    for action in (1.0, None, "left", [1, 1], 3):
        with pytest.raises(UsageError, match="action"):
            env.step(action)


def test_single_env_can_be_recreated_from_its_spec() -> None:
    env = envs.make("cartpole").make({"force": -7.0})
    assert env.spec is not None
    assert env.spec.make().unwrapped.task == env.task  # type: ignore[attr-defined]
