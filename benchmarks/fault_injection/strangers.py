"""Files of a stranger who wants code to be executed: run folders, configurations, selectors, models, tables."""

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from agents.runs.folder import RunFolder
from agents.runs.seal import sealed
from qrl.common.files import to_json

MARK = "EXECUTED"
"""Name of the file, in the folder of a trial, that any executed code of the stranger creates."""

PLUGIN = """
open({mark!r}, "a").close()
from {original} import *
from {original} import Config, build
"""
ORIGINALS = {"env": "envs.navigation", "agent": "agents.maml", "model": "qrl.models.mlp"}
"""Plug-in of this library that a stranger's plug-in imitates, by role."""


class Payload:
    """Object whose unpickling creates the mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)


@dataclass(frozen=True)
class Place:
    """Folder of one trial."""

    folder: Path

    @property
    def mark(self) -> Path:
        """File that executed code creates."""
        return self.folder / MARK

    @property
    def run(self) -> Path:
        """Stranger's run folder."""
        return self.folder / "run"

    def plugin(self, role: str, path: str) -> Path:
        """Write a plug-in that creates the mark when it is imported."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(PLUGIN.format(mark=str(self.mark), original=ORIGINALS[role]))
        return file

    def forge(self, original: Path, changes: Mapping[str, object], **parts: object) -> Path:
        """Copy a run with another spec and other parts of its configuration, all with valid digests."""
        source = RunFolder.open(original)
        config = sealed({**source.config, **parts, "spec": {**source.spec, **changes}})
        shutil.copytree(original, self.run)
        shutil.rmtree(self.run / "checkpoint", ignore_errors=True)
        for name in ("config.json", ".config-copy.json"):
            (self.run / name).write_text(to_json(config))
        if source.checkpoints.iterations():
            checkpoint = source.checkpoints.load()
            RunFolder(self.run, config).checkpoints.save(checkpoint.iteration, checkpoint.tensors, checkpoint.meta)
        return self.run


Name = Callable[[Place, str], str]
"""Function that prepares a place for a role, and returns a name of the stranger's code."""


def _module(place: Place, role: str, name: str) -> str:
    place.plugin(role, f"{name.replace('.', '/')}.py")
    return name


def _linked(place: Place, role: str) -> str:
    link = place.folder / f"{ORIGINALS[role].rpartition('.')[2]}.py"
    link.symlink_to(place.plugin(role, "hidden/code.py"))
    return str(link)


def _package(place: Place, role: str) -> str:
    place.plugin(role, "strange_package/__init__.py")
    (place.folder / "strange_package" / "inner.py").write_text(f"from {ORIGINALS[role]} import *\n")
    return "strange_package.inner"


NAMES: Mapping[str, Name] = {
    "absolute path": lambda place, role: str(place.plugin(role, "stranger.py")),
    "path in the run folder": lambda place, role: str(place.plugin(role, "run-files/stranger.py")),
    "relative path": lambda place, role: place.plugin(role, "stranger.py").name,
    "path with dots": lambda place, role: f"{place.plugin(role, 'a/stranger.py').parent}/../a/stranger.py",
    "name of a plug-in, as a path": lambda place, role: f"./{place.plugin(role, 'navigation.py').name}",
    "link": _linked,
    "module:attribute": lambda place, role: _module(place, role, "strange_module") + ":Config",
    "module:module": lambda place, role: _module(place, role, "strange_module") + ":build",
    "dotted module": lambda place, role: place.plugin(role, "strange/inner.py").parent.name + ".inner",
    "package before the module": _package,
    "module:Id-v0": lambda place, role: _module(place, role, "strange_module") + ":Strange-v0",
    "module:CartPole-v1": lambda place, role: _module(place, role, "strange_module") + ":CartPole-v1",
    "name with white space": lambda place, role: f" {place.plugin(role, ' stranger.py')}".strip(),
    "quotes and a command": lambda place, role: str(place.plugin(role, "'; touch EXECUTED #.py")),
}
"""Ways of naming the stranger's code."""

LIES: Mapping[str, Mapping[str, object]] = {
    "no origins": {"origins": {}},
    "of this library": {"origins": {role: {"from": "this library"} for role in ORIGINALS}},
    "registered": {"origins": {role: {"from": "name"} for role in ORIGINALS}},
    "trusted": {"trust": True, "trusted": True, "vouched": list(ORIGINALS)},
}
"""What the stranger's folder says about its own plug-ins."""


def write_pickle(file: Path, mark: Path, form: str) -> None:
    """Write a pickle that creates the mark when it is loaded: plain, of torch, or in a zip file."""
    file.unlink(missing_ok=True)
    if form == "pickle":
        file.write_bytes(pickle.dumps(Payload(mark)))
    elif form == "torch":
        torch.save({"params/x": Payload(mark)}, file)
    else:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("data", json.dumps({"policy_class": {":serialized:": ""}}))
            archive.writestr("policy.pth", pickle.dumps(Payload(mark)))


PICKLES = ("pickle", "torch", "zip")


def change_model_file(original: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Write a Stable-Baselines3 file of `qrl.sb3.save` with other content and a valid digest."""
    from qrl.sb3.saving import FORMAT, digest

    with safetensors.safe_open(original, "pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # It is no dict.
    content = json.loads(header[FORMAT])
    change(content)
    text = json.dumps(content)
    safetensors.torch.save_file(tensors, target, {FORMAT: text, "digest": digest(tensors, text)})
