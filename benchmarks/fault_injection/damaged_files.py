"""Damaged copies of the folders of searches and studies, by hand: what no random damage finds soon."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from agents.runs.seal import SEARCH, STUDY, sealed


class Damage(NamedTuple):
    """Damage to a folder, and the commands that refuse it."""

    make: Callable[[Path], object]
    refused_by: tuple[str, ...]


def damaged_folders(original: Path, damages: Mapping[str, Damage]) -> None:
    """Copy a folder once for each damage, under the names ORIGINAL_DAMAGE."""
    for name, damage in damages.items():
        copy = original.with_name(f"{original.name}_{name}")
        shutil.copytree(original, copy)
        if (copy / SEARCH.file).exists():  # The journal of a copy is its own.
            _edited(lambda search, copy=copy: search.update(storage=f"journal:{copy}/trials.log"))(copy)  # type: ignore[misc]
        damage.make(copy)


def _edited(change: Callable[[dict[str, object]], object]) -> Callable[[Path], object]:
    """Return a damage that edits search.json and seals it again."""

    def edit(folder: Path) -> None:
        content = json.loads((folder / SEARCH.file).read_text())
        change(content["search"])
        for name in (SEARCH.file, SEARCH.copy):
            (folder / name).write_text(json.dumps(sealed(content, SEARCH)))

    return edit


def _runs(value: object) -> Callable[[Path], object]:
    """Return a damage that replaces the runs in study.json and seals it again."""

    def edit(folder: Path) -> None:
        content = json.loads((folder / STUDY.file).read_text())
        for name in (STUDY.file, STUDY.copy):
            (folder / name).write_text(json.dumps(sealed({**content, "runs": value}, STUDY)))

    return edit


def _cut(name: str) -> Callable[[Path], object]:
    def cut(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return cut


def _first_run(folder: Path) -> Path:
    return min(path.parent for path in folder.glob("*/config.json"))


BOTH, TUNE = ("tune", "report"), ("tune",)
SEARCH_FILES: Mapping[str, Damage] = {
    "cut": Damage(_cut(SEARCH.file), BOTH),
    "edited": Damage(
        lambda folder: (folder / SEARCH.file).write_text((folder / SEARCH.copy).read_text()[:-2] + " }"), ()
    ),
    "empty": Damage(lambda folder: (folder / SEARCH.file).write_bytes(b""), BOTH),
    "list": Damage(lambda folder: (folder / SEARCH.file).write_text("[]"), BOTH),
    "trials_text": Damage(_edited(lambda search: search.update(trials="none")), BOTH),
    "trial_number": Damage(_edited(lambda search: search["trials"][0].update(number="x")), BOTH),  # type: ignore[index]
    "trial_state": Damage(_edited(lambda search: search["trials"][0].update(state="lost")), BOTH),  # type: ignore[index]
    "trial_options": Damage(_edited(lambda search: search["trials"][0].update(options=[1])), BOTH),  # type: ignore[index]
    "scores_flat": Damage(_edited(lambda search: search["trials"][0].update(scores=[1, 2])), BOTH),  # type: ignore[index]
    "ranges_missing": Damage(_edited(lambda search: search.pop("ranges")), BOTH),
    "range_name": Damage(_edited(lambda search: search["ranges"][0].update(name=3)), BOTH),  # type: ignore[index]
    "protocol_missing": Damage(_edited(lambda search: search.pop("protocol")), BOTH),
    "held_out_list": Damage(_edited(lambda search: search.update(held_out=[1])), BOTH),
    "importance_text": Damage(_edited(lambda search: search.update(importance={"agent.clip": "all"})), BOTH),
    "name": Damage(_edited(lambda search: search.update(name="other")), TUNE),
    "spec_number": Damage(_edited(lambda search: search.update(spec=3)), BOTH),
    "journal_text": Damage(lambda folder: (folder / "trials.log").write_text("text\n"), TUNE),
    "journal_folder": Damage(lambda folder: ((folder / "trials.log").unlink(), (folder / "trials.log").mkdir()), TUNE),
    "journal_link": Damage(
        lambda folder: ((folder / "trials.log").unlink(), (folder / "trials.log").symlink_to("nothing")), TUNE
    ),
    "journal_pipe_name": Damage(lambda folder: (folder / "trials.log").write_bytes(b'{"op_code": 0}\n'), TUNE),
    "best_config": Damage(_cut("best.json"), ()),
}
"""Damages to the folder of a search, with the commands that refuse it."""

STUDY_FILES: Mapping[str, Damage] = {
    "cut": Damage(_cut(STUDY.file), ("sweep", "compare")),
    "list": Damage(lambda folder: (folder / STUDY.file).write_text("[]"), ("sweep", "compare")),
    "runs_list": Damage(_runs([1]), ("sweep", "compare")),
    "runs_text": Damage(_runs({"a": "text"}), ("sweep", "compare")),
    "run_config": Damage(lambda folder: (_first_run(folder) / "config.json").write_text("{"), ("sweep", "compare")),
    "run_evaluation": Damage(lambda folder: (_first_run(folder) / "evaluation.json").write_text("[1]"), ("compare",)),
}
"""Damages to the folder of a study, with the commands that refuse it."""
