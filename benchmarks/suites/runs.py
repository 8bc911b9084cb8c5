"""Test suites of other libraries in a subprocess, and the comparison of two runs of the same tests."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.suites.time_limit import SECONDS
from qrl.common.errors import UsageError

OURS = "ours"
"""Property of a test, in pytest's report, that parts of this library took part in."""

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Outcome:
    """Outcome of one test."""

    status: str
    """passed, failed or skipped; an error of a fixture or of the collection is a failure."""
    message: str = ""
    """First line of the exception or the reason of the skip."""
    is_ours: bool = False
    """Whether parts of this library took part."""


@dataclass(frozen=True)
class Suite:
    """Tests of another library, in a checkout."""

    checkout: Path
    library: str
    """Package that is tested, as it is installed."""
    tests: tuple[str, ...]
    """Files and folders, relative to the checkout."""
    arguments: tuple[str, ...] = ()
    """Further arguments of pytest."""

    def __post_init__(self) -> None:
        for name in self.tests:
            if not (self.checkout / name).exists():
                raise UsageError(f"{self.checkout}: no {name}; give a checkout of the library's repository")


def run_suite(
    suite: Suite,
    plugins: Sequence[str],
    *,
    seconds: float,
    limit: float,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Outcome]:
    """Run the tests with the installed library, not with that of the checkout; return the outcome of each test.

    Args:
        suite: the tests.
        plugins: modules that put our parts in the places of theirs.
        seconds: time limit of each test [s].
        limit: time limit of all tests [s].
        environment: further environment variables.

    Raises:
        UsageError: pytest did not finish.
    """
    with tempfile.TemporaryDirectory() as folder:  # their tests write files into the working directory
        report = Path(folder) / "report.xml"
        path = os.pathsep.join((str(REPOSITORY), *filter(None, (os.environ.get("PYTHONPATH"),))))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1"]
        # The first one imports the installed library, before pytest finds that of the checkout.
        for plugin in (suite.library, "benchmarks.suites.time_limit", *plugins):
            command += ["-p", plugin]
        command += ["--rootdir", str(suite.checkout), "-c", str(suite.checkout / "pyproject.toml")]
        command += ["--continue-on-collection-errors", f"--junitxml={report}", *suite.arguments]
        command += [str(suite.checkout / name) for name in suite.tests]
        variables = {"PYTHONPATH": path, SECONDS: str(seconds), "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})}
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=os.environ | variables,
                capture_output=True,
                text=True,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UsageError(f"{suite.checkout}: its tests took longer than {limit:g} s") from error
        if not report.exists():
            raise UsageError(f"{suite.checkout}: pytest failed: {(done.stdout + done.stderr)[-2000:]}")
        return read_report(report)


def read_report(path: Path) -> dict[str, Outcome]:
    """Return the outcome of each test in a report of pytest, by the name of its module and its own."""
    return {
        f"{case.get('classname', '')}::{case.get('name', '')}": _outcome(case)
        for case in ElementTree.parse(path).iter("testcase")
    }


def _outcome(case: ElementTree.Element) -> Outcome:
    is_ours = any(each.get("name") == OURS for each in case.iter("property"))
    for tag, status in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        if (found := case.find(tag)) is not None:
            message = (found.get("message") or found.text or "").strip()
            return Outcome(status, (message.splitlines() or [""])[0][:300], is_ours)
    return Outcome("passed", "", is_ours)


def worse(theirs: Mapping[str, Outcome], ours: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Return the tests that pass with the library's own parts and not with ours, and how they end with ours."""
    absent = Outcome("failed", "did not run")
    found = {name: ours.get(name, absent) for name, each in theirs.items() if each.status == "passed"}
    return {name: outcome for name, outcome in found.items() if outcome.status != "passed"}
