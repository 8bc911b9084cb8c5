"""The half cheetah's reward equals Gymnasium's forwards and its mirror image backwards."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import envs

pytest.importorskip("mujoco")
pytestmark = pytest.mark.filterwarnings("error")


def test_rewards_by_direction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where MuJoCo would write its log
    family = envs.make("half_cheetah_direction")
    forwards, backwards = (family.make({"direction": sign}) for sign in (1, -1))
    assert capfd.readouterr() == ("", "") and not list(tmp_path.iterdir())
    reference = gym.make("HalfCheetah-v5", disable_env_checker=True)
    each = (forwards, backwards, reference)
    seen = [env.reset(seed=3)[0] for env in each]
    rng, moved = np.random.default_rng(0), 0.0
    for _ in range(100):
        action = rng.uniform(-1, 1, 6).astype(np.float32)
        (there, plus, *_, info), (_, minus, *_), (back, reward, *_) = (env.step(action) for env in each)
        np.testing.assert_array_equal(there, back.astype(np.float32))
        assert plus == pytest.approx(reward, rel=1e-12)
        assert plus + minus == pytest.approx(2 * info["reward_ctrl"], rel=1e-12)
        moved += abs(info["x_velocity"])
    assert moved > 10
    np.testing.assert_array_equal(seen[0], seen[2].astype(np.float32))


def test_simulator_is_reused_when_the_task_changes() -> None:
    env = envs.make("half_cheetah_direction").make()
    inner = env.unwrapped
    env.reset(seed=0, options={"task": {"direction": -1}})
    assert env.unwrapped is inner and env.get_wrapper_attr("direction") == -1
