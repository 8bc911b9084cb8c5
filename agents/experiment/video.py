"""Animation of one test task: an episode before adaptation next to one after adaptation."""

import io
import itertools
from collections.abc import Sequence

import gymnasium
import numpy as np
from PIL import Image, ImageDraw

from agents.core.agent import Agent, InContextAgent, OracleAgent, State
from agents.core.collect import collect_episodes
from agents.core.context import seed_shots, torch_generator
from envs import TaskDistribution
from qrl.common.errors import UsageError

Frames = list[np.ndarray]
"""Frames [height, width, 3] of uint8, one for each observation of an episode."""
MAX_WIDTH = 360
"""Maximum width of one of the two frames [pixels]; larger frames are scaled down."""
LONGEST = 400
"""Maximum number of frames of an animation; longer episodes keep only every second, third, ... frame."""
CAPTION_HEIGHT = 18
DEFAULT_FPS = 30
LAST_PICTURE_MS = 1000


def check_pictures(distribution: TaskDistribution, agent: object) -> None:
    """Raise UsageError unless the family can be rendered and the agent can be animated."""
    if "rgb_array" not in distribution.render_modes:
        raise UsageError(f"--video: env {distribution.name!r} has no pictures (no render mode rgb_array)")
    if isinstance(agent, OracleAgent):
        raise UsageError("--video: the agent is told the task and does not adapt")
    distribution.make(render_mode="rgb_array").close()  # raises UsageError for a wrongly declared render mode


def animation(
    agent: Agent[State],
    distribution: TaskDistribution,
    *,
    split: str = "test",
    steps: int = 1,
    episodes: int = 40,
    seed: int = 0,
    device: str = "cpu",
) -> bytes:
    """Return a GIF of the first task of a split: an episode before adaptation next to one after adaptation.

    Adaptation takes `steps` updates of `episodes` episodes each. For an in-context agent, the GIF shows the first and
    the last episode of a trial.
    """
    streams = np.random.SeedSequence(seed).spawn(3)
    seed_shots(agent, streams[2])
    task = distribution.sample(1, split, np.random.default_rng(streams[0]))
    generator = torch_generator(streams[1], device)
    env = gymnasium.wrappers.RenderCollection(
        distribution.make(task, render_mode="rgb_array"), pop_frames=True, reset_clean=False
    )
    limits = {"max_steps": distribution.horizon, "seed": seed}
    state = agent.begin(1, 1)
    if isinstance(agent, InContextAgent):
        n_episodes = agent.trial_episodes
        rollout, _ = collect_episodes(env, agent, state, generator, n_episodes=n_episodes, **limits)
        lengths = rollout.valid.sum(0).flatten().tolist()
        shown = _split(env.render(), lengths)  # type: ignore[arg-type]
        first, last = shown[0], shown[-1]
        captions = ["episode 1", f"episode {n_episodes}"]
    else:
        collect_episodes(env, agent, state, generator, n_episodes=1, **limits)
        first = list(env.render())  # type: ignore[arg-type]
        for _ in range(steps):
            rollout, state = collect_episodes(
                distribution.make(task), agent, state, generator, n_episodes=episodes, **limits
            )
            state = agent.adapt(state, rollout)
        collect_episodes(env, agent, state, generator, n_episodes=1, **limits)
        last = list(env.render())  # type: ignore[arg-type]
        captions = ["before adaptation", f"after {steps} update{'s' if steps > 1 else ''}"]
    fps = float(env.metadata.get("render_fps") or DEFAULT_FPS)
    env.close()
    return _gif([first, last], captions, fps)


def _split(frames: Sequence[np.ndarray], lengths: Sequence[int]) -> list[Frames]:
    """Split frames by episode; an episode of n steps has n + 1 frames."""
    ends = np.cumsum([0, *(length + 1 for length in lengths)])
    return [list(frames[start:end]) for start, end in itertools.pairwise(ends)]


def _gif(episodes: Sequence[Frames], captions: Sequence[str], fps: float) -> bytes:
    """Encode episodes side by side as a GIF, each with its caption; a shorter episode holds its last frame."""
    length = max(map(len, episodes))
    stride = -(-length // LONGEST)
    images = []
    for index in [*range(0, length - 1, stride), length - 1]:
        shown = [_small(frames[min(index, len(frames) - 1)]) for frames in episodes]
        size = (sum(each.width for each in shown), CAPTION_HEIGHT + max(each.height for each in shown))
        whole, left = Image.new("RGB", size, "white"), 0
        for image, caption in zip(shown, captions, strict=True):
            whole.paste(image, (left, CAPTION_HEIGHT))
            ImageDraw.Draw(whole).text((left + 4, 3), caption, fill="black")
            left += image.width
        images.append(whole)
    file = io.BytesIO()
    durations = [round(1000 * stride / fps)] * (len(images) - 1) + [LAST_PICTURE_MS]
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return file.getvalue()


def _small(frame: np.ndarray) -> Image.Image:
    image = Image.fromarray(frame)
    if image.width > MAX_WIDTH:
        image = image.resize((MAX_WIDTH, round(image.height * MAX_WIDTH / image.width)))
    return image
