"""Animations for a page: those in run folders, or new ones of the compared groups in the same tasks."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.compare.result import Section
from agents.experiment.run import Which
from qrl.common.errors import UsageError
from qrl.common.files import MissingFileError, read_regular
from qrl.common.trust import Trust

LARGEST = 1_000_000
"""Total size of the animations of a page [bytes]; larger ones are left out."""
GIF = (b"GIF87a", b"GIF89a")
"""Beginnings of a GIF file."""


@dataclass(frozen=True)
class Animation:
    """Animation of a page."""

    title: str
    alt: str
    data: bytes

    @property
    def url(self) -> str:
        """Data URL."""
        return f"data:image/gif;base64,{base64.b64encode(self.data).decode()}"


def saved_animations(section: Section) -> tuple[list[Animation], list[str]]:
    """Return the animation of the first run of each group that has one, and notes on those that are too large."""
    found: list[Animation] = []
    notes: list[str] = []
    total = 0
    if section.checkpoint != "last":  # Saved animations are those of the last checkpoints.
        return found, notes
    for group in section.groups:
        for path in (member.path / "adaptation.gif" for member in group.members):
            try:
                data = read_regular(path)
            except MissingFileError:
                continue
            except UsageError as error:
                notes.append(str(error))
                continue
            if not data.startswith(GIF):
                notes.append(f"{path}: not a GIF file")
            elif total + len(data) > LARGEST:
                notes.append(f"{path} is left out: {len(data):,} bytes are too many for this page")
            else:
                total += len(data)
                alt = f"Animation of {group.label} in a test task, before and after adaptation."
                found.append(Animation(group.label, alt, data))
            break
    return found, notes


def new_animation(runs: Sequence[Path], trust: Trust, split: str, checkpoint: Which) -> bytes:
    """Return an animation of checkpoints of runs in the same first task of a split, before and after adaptation.

    Raises:
        UsageError: a run cannot be loaded or rendered, or names code that is not trusted.
    """
    from agents.experiment.report import open_run  # loads plug-ins' dependencies
    from agents.experiment.video import agents_by_label, animation, check_pictures, check_same_tasks

    first, *others = [open_run(path, trust, checkpoint) for path in runs]
    check_pictures(first.distribution, first.agent)
    check_same_tasks(first, dict(zip(runs[1:], others, strict=True)))
    spec = first.spec
    shown = agents_by_label([first, *others]) if others else first.agent
    return animation(
        shown,
        first.distribution,
        split=split,
        steps=spec.eval_steps,
        episodes=spec.eval_episodes,
        device=spec.device,
    )
