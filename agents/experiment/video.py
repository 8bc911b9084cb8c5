"""Animation of test tasks: an episode before adaptation next to one after adaptation, for one agent or several."""

import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from agents.core.agent import Agent, InContextAgent, NetworkAgent, OracleAgent, State
from agents.core.collect import collect_episodes
from agents.core.context import seed_shots, torch_generator
from agents.core.divergence import adapted
from agents.experiment.run import Run
from agents.experiment.series import distinct
from envs import TaskDistribution, Tasks
from qrl.common.errors import UsageError, wrap_errors
from qrl.common.registry import short_name

Frames = list[np.ndarray]
"""Frames [height, width, 3] of uint8, one for each observation of an episode."""
MAX_WIDTH = 360
"""Maximum width of one of the frames next to each other [pixels]; larger frames are scaled down."""
LONGEST = 400
"""Maximum number of frames of an animation; longer episodes keep only every second, third, ... frame."""
CAPTION_HEIGHT = 18
"""Height of a line of a caption [pixels]."""
FONT_SIZE = 12
DEFAULT_FPS = 30
LAST_PICTURE_MS = 1000
TRAIL_STRENGTH = 0.25
"""Share of the colour that remains where something has been."""
BORDER = (200, 200, 200)
"""Colour of the line around a frame."""
MOST_COLOURS = 255
"""Largest palette of which an index is left for what does not change."""


def check_pictures(distribution: TaskDistribution, agent: object) -> None:
    """Raise UsageError unless the family can be rendered and the agent can be animated."""
    if "rgb_array" not in distribution.render_modes:
        raise UsageError(f"--video: env {distribution.name!r} has no pictures (no render mode rgb_array)")
    if isinstance(agent, OracleAgent):
        raise UsageError("--video: the agent observes the task parameters and does not adapt")
    env = distribution.make(render_mode="rgb_array")  # raises UsageError for a wrongly declared render mode
    with wrap_errors(f"--video: env {distribution.name!r} cannot be rendered"):
        env.reset(seed=0)
        picture = env.render()
        env.close()
    if not (isinstance(picture, np.ndarray) and picture.ndim == 3 and picture.dtype == np.uint8):
        raise UsageError(
            f"--video: render() of env {distribution.name!r} returned no array [height, width, 3] of uint8"
        )


def check_same_tasks(run: Run, others: Mapping[Path, Run]) -> None:
    """Raise UsageError unless these other runs, by their folders, can be animated next to `run`, on its tasks."""
    mine = (short_name(run.spec.env), run.spec.options("env"))
    for path, other in others.items():
        if (short_name(other.spec.env), other.spec.options("env")) != mine:
            raise UsageError(f"--compare: {path} was trained on other tasks: its env or the options of its env differ")
        check_pictures(other.distribution, other.agent)


def agents_by_label(runs: Sequence[Run], agents: Sequence[Agent[Any]] | None = None) -> dict[str, Agent[Any]]:
    """Return the agents of runs by labels: the names of agent and model, and the number of trained parameters.

    The `agents` are those to animate, if not the runs' own.
    """
    labels = []
    for run in runs:
        label = short_name(run.spec.agent)
        if isinstance(run.agent, NetworkAgent):
            n_parameters = sum(parameter.numel() for parameter in run.agent.policy.parameters())
            label = f"{label}, {short_name(run.spec.model)}: {n_parameters} parameters"
        labels.append(label)
    chosen = [run.agent for run in runs] if agents is None else agents
    return dict(zip(distinct(labels), chosen, strict=True))


@dataclass(frozen=True)
class Episode:
    """Frames of one episode, with the line of its caption."""

    frames: Frames
    caption: str


def animation(
    agents: Agent[State] | Mapping[str, Agent[State]],
    distribution: TaskDistribution,
    *,
    n_tasks: int = 1,
    split: str = "test",
    steps: int = 1,
    episodes: int = 40,
    seed: int = 0,
    device: str = "cpu",
    trail: bool = False,
) -> bytes:
    """Return a GIF of the first tasks of a split: an episode before adaptation next to one after adaptation.

    Adaptation takes `steps` updates of `episodes` episodes each. For an in-context agent, the GIF shows the first and
    the last episode of a trial.

    Args:
        agents: the agent, or several by their labels, each in a row of its own, in the same tasks.
        distribution: family of the tasks.
        n_tasks: number of tasks, shown one after another.
        split: train, test or ood.
        steps: number of updates.
        episodes: episodes of an update.
        seed: seed of the episodes; test and ood tasks do not depend on it.
        device: torch device of the agents.
        trail: whether what moves leaves a pale trail, for pictures on a white background.
    """
    streams = np.random.SeedSequence(seed).spawn(3)
    tasks = distribution.sample(n_tasks, split, np.random.default_rng(streams[0]))
    rows = dict(agents) if isinstance(agents, Mapping) else {"": agents}
    fps, pictures, durations = float(DEFAULT_FPS), [], []
    adapting = {"steps": steps, "episodes": episodes, "seed": seed}
    generators = {}
    for label, agent in rows.items():
        seed_shots(agent, streams[2])
        generators[label] = torch_generator(streams[1], device)
    for index in range(n_tasks):
        remark = f", task {index + 1} of {n_tasks}" if n_tasks > 1 else ""
        grid = []
        for label, agent in rows.items():
            shown, fps = _before_and_after(agent, distribution, tasks[index], generators[label], **adapting)
            grid.append([_prepared(episode, label, remark, trail) for episode in shown])
        stride, images = _together(grid, LONGEST // n_tasks)
        pictures += images
        durations += [round(1000 * stride / fps)] * (len(images) - 1) + [LAST_PICTURE_MS]
    return _gif(pictures, durations)


def _before_and_after(
    agent: Agent[State], distribution: TaskDistribution, task: Tasks, generator: Any, *, steps: int, episodes: int,
    seed: int,
) -> tuple[tuple[Episode, Episode], float]:  # fmt: skip
    """Return an episode before and one after adaptation to a task, and the environment's frames per second."""
    env = gymnasium.wrappers.RenderCollection(
        distribution.make(task, render_mode="rgb_array"), pop_frames=True, reset_clean=False
    )
    limits: dict[str, Any] = {"max_steps": distribution.horizon, "seed": seed}
    state = agent.begin(1, 1)
    if isinstance(agent, InContextAgent):
        n_episodes = agent.trial_episodes
        rollout, _ = collect_episodes(env, agent, state, generator, n_episodes=n_episodes, **limits)
        lengths = rollout.valid.sum(0).flatten().tolist()
        frames = _split(env.render(), lengths)  # type: ignore[arg-type]
        shown = Episode(frames[0], "episode 1"), Episode(frames[-1], f"episode {n_episodes}")
    else:
        collect_episodes(env, agent, state, generator, n_episodes=1, **limits)
        before = Episode(list(env.render()), "before adaptation")  # type: ignore[arg-type]
        for _ in range(steps):
            rollout, state = collect_episodes(
                distribution.make(task), agent, state, generator, n_episodes=episodes, **limits
            )
            state = adapted(agent, state, rollout)
        collect_episodes(env, agent, state, generator, n_episodes=1, **limits)
        caption = f"after {steps} update{'s' if steps > 1 else ''}"
        shown = before, Episode(list(env.render()), caption)  # type: ignore[arg-type]
    fps = float(env.metadata.get("render_fps") or DEFAULT_FPS)
    env.close()
    return shown, fps


def _split(frames: Sequence[np.ndarray], lengths: Sequence[int]) -> list[Frames]:
    """Split frames by episode; an episode of n steps has n + 1 frames."""
    ends = np.cumsum([0, *(length + 1 for length in lengths)])
    return [list(frames[start:end]) for start, end in itertools.pairwise(ends)]


def _prepared(episode: Episode, label: str, remark: str, trail: bool) -> Episode:
    """Return the episode with small frames, with a trail if wanted, and with its whole caption."""
    frames = [_small(frame) for frame in episode.frames]
    caption = f"{label}\n{episode.caption}{remark}" if label else f"{episode.caption}{remark}"
    return Episode(_with_trail(frames) if trail else frames, caption)


def _small(frame: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height2 width2 3"]:
    image = Image.fromarray(frame)
    if image.width <= MAX_WIDTH:
        return frame
    return np.asarray(image.resize((MAX_WIDTH, round(image.height * MAX_WIDTH / image.width))))


def _with_trail(frames: Frames) -> Frames:
    """Add what the frames before have shown, in pale colours, where a frame is white."""
    trailing, darkest = [], frames[0]
    for frame in frames:
        darkest = np.minimum(darkest, frame)
        pale = 255 - (TRAIL_STRENGTH * (255 - darkest.astype(float))).astype(np.uint8)
        trailing.append(np.where((frame == 255).all(-1, keepdims=True), pale, frame))
    return trailing


def _together(grid: Sequence[Sequence[Episode]], longest: int) -> tuple[int, list[Image.Image]]:
    """Return every how many frames are kept, and the frames of a grid of episodes [row][column] as one picture each.

    Each episode has its caption above it; a shorter episode holds its last frame.
    """
    length = max(len(episode.frames) for row in grid for episode in row)
    stride = -(-length // longest)
    return stride, [_picture(grid, index) for index in [*range(0, length - 1, stride), length - 1]]


def _picture(grid: Sequence[Sequence[Episode]], index: int) -> Image.Image:
    rows = []
    for row in grid:
        frames = [episode.frames[min(index, len(episode.frames) - 1)] for episode in row]
        top = CAPTION_HEIGHT * max(episode.caption.count("\n") + 1 for episode in row)
        size = (sum(frame.shape[1] for frame in frames), top + max(frame.shape[0] for frame in frames))
        whole, left = Image.new("RGB", size, "white"), 0
        for frame, episode in zip(frames, row, strict=True):
            whole.paste(Image.fromarray(frame), (left, top))
            drawing = ImageDraw.Draw(whole)
            drawing.rectangle((left, top, left + frame.shape[1] - 1, top + frame.shape[0] - 1), outline=BORDER)
            for line, text in enumerate(episode.caption.splitlines()):
                place = (left + 4, CAPTION_HEIGHT * line + 2)
                drawing.text(place, text, fill="black", font=ImageFont.load_default(FONT_SIZE))
            left += frame.shape[1]
        rows.append(whole)
    size = max(whole.width for whole in rows), sum(whole.height for whole in rows)
    picture, top = Image.new("RGB", size, "white"), 0
    for whole in rows:
        picture.paste(whole, (0, top))
        top += whole.height
    return picture


def _gif(pictures: Sequence[Image.Image], durations: Sequence[int]) -> bytes:
    """Encode pictures, shown for these times [ms], as a GIF that repeats.

    Pictures of few colours share one exact palette: what does not change from one to the next costs nothing then.
    """
    codes = [np.asarray(picture).astype(np.uint32) @ (1 << 16, 1 << 8, 1) for picture in pictures]
    colours = np.unique(np.concatenate([np.unique(code) for code in codes]))
    if len(colours) <= MOST_COLOURS:
        palette = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], -1).astype(np.uint8).tobytes()
        pictures = [Image.fromarray(np.searchsorted(colours, code).astype(np.uint8)) for code in codes]
        for picture in pictures:
            picture.putpalette(palette)
    file = io.BytesIO()
    first, *others = pictures
    first.save(file, "GIF", save_all=True, append_images=others, duration=list(durations), loop=0, optimize=True)
    return file.getvalue()
