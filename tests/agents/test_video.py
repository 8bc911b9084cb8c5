"""The animation shows an episode before adaptation next to one after it."""

import io
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch
from PIL import Image

import agents
from agents import maml
from agents.experiment.video import (
    BORDER,
    CAPTION_HEIGHT,
    LONGEST,
    _gif,
    _with_trail,
    agents_by_label,
    animation,
    check_pictures,
    check_same_tasks,
)
from envs import GymnasiumTasks, Uniform, navigation
from qrl.common.errors import UsageError

LENGTH = 4


class Shade(gym.Env[np.ndarray, Any]):
    """Render the sum of the actions as brightness; an episode has LENGTH steps."""

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 10}
    observation_space = gym.spaces.Box(-1, 1, (1,))
    action_space = gym.spaces.Discrete(200)

    def __init__(self, offset: float = 0.0, length: int = LENGTH, render_mode: str | None = None) -> None:
        self.offset, self.length, self.render_mode = offset, length, render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.brightness = self.time = 0
        return np.zeros(1, dtype=np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.brightness, self.time = self.brightness + int(action), self.time + 1
        return np.full(1, self.offset, dtype=np.float32), 0.0, self.time >= self.length, False, {}

    def render(self) -> np.ndarray:  # type: ignore[override]
        return np.full((30, 120, 3), self.brightness % 256, dtype=np.uint8)


class Counting:
    """Act with ten times the number of updates, plus one."""

    def begin(self, n_tasks: int, n_envs: int) -> int:
        return 0

    def act(self, state: int, observation: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, int]:
        return torch.full(observation.shape[:2], 10 * state + 1), state

    def to_environment(self, action: torch.Tensor) -> torch.Tensor:
        return action

    def adapt(self, state: int, rollout: Any) -> int:
        assert rollout.reward.shape[2] == 5, "as many episodes as asked for"
        return state + 1


class Remembering(Counting):
    """Act likewise with the number of episodes observed."""

    trial_episodes = 3

    def observe(self, state: int, action: Any, reward: Any, ended: torch.Tensor, observation: Any) -> int:
        return state + int(ended)


def family() -> GymnasiumTasks:
    return GymnasiumTasks(Shade, {"offset": Uniform(-1, 1)}, horizon=LENGTH)


def frames(gif: bytes) -> list[tuple[int, int]]:
    """Check the frames' shape; return the brightness of the left and the right picture of each frame."""
    image = Image.open(io.BytesIO(gif))
    found = []
    for index in range(getattr(image, "n_frames", 1)):
        image.seek(index)
        array = np.asarray(image.convert("RGB"))
        assert array.shape == (CAPTION_HEIGHT + 30, 240, 3)
        left, right = array[CAPTION_HEIGHT + 1 : -1, 1:119], array[CAPTION_HEIGHT + 1 : -1, 121:-1]
        assert np.ptp(left) == np.ptp(right) == 0
        found.append((int(left[0, 0, 0]), int(right[0, 0, 0])))
    return found


def test_before_and_after_updates() -> None:
    shown = frames(animation(Counting(), family(), steps=2, episodes=5))
    assert shown == [(t, 21 * t) for t in range(LENGTH + 1)]


def test_first_and_last_episode_of_a_trial() -> None:
    shown = frames(animation(Remembering(), family(), steps=2, episodes=5))
    assert shown == [(t, 21 * t) for t in range(LENGTH + 1)]


def test_long_episodes_are_subsampled() -> None:
    long = GymnasiumTasks(lambda offset, render_mode=None: Shade(offset, 900, render_mode), {"offset": Uniform(-1, 1)},
                          horizon=900)  # fmt: skip

    class Once(Counting):
        def act(self, state: int, observation: Any, generator: Any) -> tuple[torch.Tensor, int]:
            return torch.ones(1, 1, dtype=torch.int64) * int(np.random.default_rng().integers(1, 3)), state

    shown = Image.open(io.BytesIO(animation(Once(), long, steps=1, episodes=5)))
    assert LONGEST // 2 < shown.n_frames <= LONGEST  # type: ignore[attr-defined]


def test_no_animation_without_rendering_or_adaptation() -> None:
    blind = GymnasiumTasks(
        lambda offset: Shade(offset, LENGTH), {"offset": Uniform(-1, 1)}, horizon=LENGTH, name="blind"
    )
    with pytest.raises(UsageError, match="env 'blind' has no pictures"):
        check_pictures(blind, Counting())
    deaf = GymnasiumTasks(
        lambda offset, render_mode=None: Shade(offset, LENGTH), {"offset": Uniform(-1, 1)}, horizon=LENGTH, name="deaf"
    )
    with pytest.raises(UsageError, match="deaf: the environment ignores render_mode 'rgb_array'"):
        check_pictures(deaf, Counting())

    class Oracle(Counting):
        def reveal_tasks(self, state: int, tasks: Any) -> int:
            return state

    with pytest.raises(UsageError, match="observes the task parameters"):
        check_pictures(family(), Oracle())


def test_several_agents_are_rows_on_the_same_tasks() -> None:
    """Each agent acts with its own updates; the second is shown below the first, both before and after."""

    class Faster(Counting):
        def adapt(self, state: int, rollout: Any) -> int:
            return super().adapt(state, rollout) + 1

    gif = animation({"slow": Counting(), "fast": Faster()}, family(), n_tasks=2, steps=2, episodes=5)
    image = Image.open(io.BytesIO(gif))
    top, below = 2 * CAPTION_HEIGHT, 4 * CAPTION_HEIGHT + 30
    found = []
    for index in range(getattr(image, "n_frames", 1)):
        image.seek(index)
        array = np.asarray(image.convert("RGB"))
        assert array.shape == (2 * (2 * CAPTION_HEIGHT + 30), 240, 3)
        found.append([int(array[row + 10, column, 0]) for row in (top, below) for column in (60, 180)])
        for row in (top, below):
            assert (array[row, 60] == BORDER).all()
    once = [[t, 21 * t, t, 41 * t] for t in range(LENGTH + 1)]
    assert found == 2 * once, "the tasks are one after the other"


def test_tasks_are_taken_from_the_split_in_order() -> None:
    class Tinted(Shade):
        def render(self) -> np.ndarray:  # type: ignore[override]
            return np.full((30, 120, 3), round(100 + 100 * self.offset), dtype=np.uint8)

    tinted = GymnasiumTasks(Tinted, {"offset": Uniform(-1, 1)}, horizon=LENGTH)
    found = frames(animation(Counting(), tinted, n_tasks=3, steps=1, episodes=5))
    shades = [round(100 + 100 * offset) for offset in tinted.sample(3, "test").offset.tolist()]
    assert len(set(shades)) == 3
    assert found == [(shade, shade) for shade in shades]  # equal frames are merged and shown for longer


def test_moving_objects_leave_a_pale_trail_on_white_only() -> None:
    white, red, green = (255, 255, 255), (200, 0, 0), (0, 200, 0)
    first = np.array([[red, white, green]], dtype=np.uint8)
    second = np.array([[white, red, green]], dtype=np.uint8)
    third = np.array([[white, green, white]], dtype=np.uint8)
    # A quarter of the colour remains: 255 - (255 - 200) / 4 and 255 - 255 / 4.
    pale_red, pale_green = (242, 192, 192), (192, 242, 192)
    found = _with_trail([first, second, third])
    assert found[0].tolist() == first.tolist()
    assert found[1].tolist() == [[list(pale_red), list(red), list(green)]]
    assert found[2].tolist() == [[list(pale_red), list(green), list(pale_green)]]


def test_animation_is_reproducible_and_small_if_little_changes() -> None:
    first = animation(Counting(), family(), steps=2, episodes=5)
    assert animation(Counting(), family(), steps=2, episodes=5) == first
    still = np.zeros((200, 200, 3), dtype=np.uint8)
    still[:, :, 0] = np.random.default_rng(0).integers(0, 200, (200, 200))
    pictures = []
    for index in range(20):
        frame = still.copy()
        frame[0, index] = frame[199, 199 - index] = 255
        pictures.append(Image.fromarray(frame))
    first, all_of_them = (len(_gif(some, [30] * len(some))) for some in (pictures[:1], pictures))
    assert all_of_them < 1.5 * first


def test_runs_shown_together_have_the_same_tasks(tmp_path: Path) -> None:
    spec = {"iterations": 1, "threads": 1, "eval_tasks": 2, "eval_episodes": 2, "eval_steps": 1, "progress": False}
    small = maml.Config(meta_batch=2, episodes=2, epochs=1)
    short = navigation.Config(horizon=5)
    circuit = agents.train(tmp_path / "a", env="navigation", env_config=short, agent_config=small, **spec)
    longer = agents.train(tmp_path / "b", env="navigation", agent_config=small, model="mlp", **spec)
    other = agents.train(tmp_path / "c", env="navigation", env_config=short, agent="random", **spec)
    check_same_tasks(circuit, {tmp_path / "c": other})
    with pytest.raises(
        UsageError, match=r"--compare: .*b was trained on other tasks: its env or the options of its env"
    ):
        check_same_tasks(circuit, {tmp_path / "b": longer})
    n_parameters = sum(parameter.numel() for parameter in circuit.policy.parameters())
    labels = list(agents_by_label([circuit, other, circuit]))
    trained = f"maml, reuploading: {n_parameters} parameters"
    assert labels == [f"{trained} (1)", "random", f"{trained} (2)"]
    shown = agents_by_label([circuit, other])
    image = Image.open(io.BytesIO(animation(shown, circuit.distribution, steps=1, episodes=2, trail=True)))
    assert image.size == (480, 2 * (240 + 2 * CAPTION_HEIGHT))


class Unrendered(Shade):
    """States that it can make pictures, and cannot."""

    def render(self) -> Any:
        raise NotImplementedError


def test_pictures_are_tried_before_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(render_mode: str | None = None) -> gym.Env[Any, Any]:
        return Unrendered(render_mode=render_mode)

    env = GymnasiumTasks(make, {}, horizon=5)
    with pytest.raises(UsageError, match="--video: env 'make' cannot be rendered: NotImplementedError"):
        check_pictures(env, None)
    monkeypatch.setattr(Unrendered, "render", lambda self: None)
    with pytest.raises(UsageError, match=r"render\(\) of env 'make' returned no array"):
        check_pictures(env, None)
