"""Summaries of plug-in files, parsed but never imported, so that listing works without optional dependencies.

A file that needs an optional dependency declares the literal `REQUIRES = ("mujoco",)` (import names) and the literal
`EXTRA = "mujoco"` (the extra of this distribution that installs them). A file with the literal `LISTED_UNDER =
"baselines"` is listed under this title instead of that of its folder.
"""

import ast
import importlib.metadata
import importlib.util
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from qrl.common.errors import UsageError
from qrl.common.files import read_regular

DISTRIBUTION = "qrl-meta"


@dataclass(frozen=True)
class Summary:
    """Facts about a plug-in that are known without importing it."""

    name: str
    doc: str
    """First line of the plug-in's docstring."""
    missing: tuple[str, ...] = ()
    """Required import names that are not installed."""
    extra: str = ""
    """Extra of this distribution that installs the requirements."""
    broken: str = ""
    """Reason why the file cannot be read; empty if it can."""
    title: str = ""
    """Title under which the plug-in is listed; empty for a plug-in that is on no shelf."""

    @property
    def usable(self) -> bool:
        """True if the plug-in can be expected to load."""
        return not (self.missing or self.broken)

    @property
    def remedy(self) -> str:
        """Command that installs the missing packages; empty if none is missing."""
        if not self.missing:
            return ""
        return f"pip install '{DISTRIBUTION}[{self.extra}]'" if self.extra else f"pip install {' '.join(self.missing)}"


def summarise_file(path: Path, title: str = "") -> Summary:
    """Summarise a plug-in's file; `broken` says why a file cannot be read."""
    doc = ""
    try:
        tree = _parsed(read_regular(path), str(path))
        doc = first_line(ast.get_docstring(tree))
        constants = dict(_literal_constants(tree))
        requires = constants.get("REQUIRES", ())
        names = (requires,) if isinstance(requires, str) else tuple(map(str, requires))  # type: ignore[call-overload]
        # Look for the top-level package only: finding a submodule would import its parent.
        missing = tuple(name for name in names if importlib.util.find_spec(name.partition(".")[0]) is None)
    except Exception as error:  # One broken file must not hide the others.
        return Summary(path.stem, doc, broken=reason(error), title=title)
    title = str(constants.get("LISTED_UNDER", title))
    return Summary(path.stem, doc, missing, str(constants.get("EXTRA", "")), title=title)


@lru_cache
def _parsed(source: bytes, name: str) -> ast.Module:
    """Parse a plug-in's file once: each time that it is named, it is summarised."""
    return ast.parse(source, filename=name)


def summarise_entry_point(entry: importlib.metadata.EntryPoint) -> Summary:
    """Summarise a plug-in that an installed package declares."""
    owner = entry.dist.name if entry.dist is not None else "an installed package"
    return Summary(entry.name, f"{entry.value}, from {owner}")


def first_line(doc: str | None) -> str:
    """Return the first line of a docstring; empty if there is none."""
    return (doc or "").strip().partition("\n")[0].strip()


def reason(error: BaseException) -> str:
    """Return, in one line, why a file cannot be read or imported."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, SyntaxError):
        return f"{error.msg} (line {error.lineno})" if error.lineno else str(error.msg)
    text = textwrap.shorten(str(error), 200, placeholder=" …")
    return text if isinstance(error, ImportError | UsageError) else f"{type(error).__name__}: {text}"


def _literal_constants(tree: ast.Module) -> Iterator[tuple[str, object]]:
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=("REQUIRES" | "EXTRA" | "LISTED_UNDER") as name)], value=value):
                yield name, _literal(name, value)
            case ast.AnnAssign(
                target=ast.Name(id=("REQUIRES" | "EXTRA" | "LISTED_UNDER") as name), value=ast.expr() as value
            ):
                yield name, _literal(name, value)


def _literal(name: str, value: ast.expr) -> object:
    try:
        return ast.literal_eval(value)
    except ValueError as error:
        raise UsageError(f"{name} is not a literal (line {value.lineno})") from error
