"""Tests of other libraries, with parts of this library in the places of theirs.

    python -m benchmarks.library_suites --stable-baselines3 PATH --gymnasium PATH   results/library_suites.json

PATH is a checkout of the library's repository at about the installed version; nothing of it is copied, and the
installed library is tested. A test fails with our parts if it passes with the library's own and not with ours. Failures
that are not ours have their reasons in `benchmarks.suites.not_ours`; there must be no others.

- `stable_baselines3`: all tests but the expensive ones; "MlpPolicy" means policies with circuits.
- `gymnasium_ids`: all tests over registered environments, for the ids of this library.
- `gymnasium_replaced`: tests of wrappers, vector environments, utilities and registration, in which ids such as
  CartPole-v1 mean our families.
- `scikit_learn`: the checks of estimators that come with the library.
- `transforms`: torch.func, autograd, traces, copies, precisions, parametrisations, of every model.
- `compiled`: torch.compile and torch.export of every model, with small circuits, for batches of changing size.

Packages that their tests import, and this library does not need, can be given by PYTHONPATH: ale-py for the first.
"""

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from agents.runs.provenance import provenance
from benchmarks.shared.common import set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main
from benchmarks.shared.publish import earlier_results
from benchmarks.suites.compiled import COMPILED
from benchmarks.suites.estimators import run_estimator_checks
from benchmarks.suites.gymnasium_ids import REPLACE
from benchmarks.suites.not_ours import split
from benchmarks.suites.probes import PROBES
from benchmarks.suites.runs import Suite, run_suite, worse
from benchmarks.suites.transforms import run_probes
from qrl.common.errors import UsageError

Part = Literal["stable_baselines3", "gymnasium_ids", "gymnasium_replaced", "scikit_learn", "transforms", "compiled"]

QUICK = {"stable_baselines3": ("tests/test_predict.py",), "gymnasium_replaced": ("tests/wrappers/test_time_limit.py",)}
"""Tests of a quick check."""


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of the benchmark."""

    stable_baselines3: Path | None = None
    """Checkout of Stable-Baselines3; None: its part is left out."""
    gymnasium: Path | None = None
    """Checkout of Gymnasium; None: its parts are left out."""
    only: tuple[Part, ...] = ()
    """Parts to run; all if none is given. Other parts keep their earlier results, each with its commit."""
    seconds: float = 120.0
    """Time limit of a test [s]."""
    limit: float = 3600.0
    """Time limit of all tests of a part [s]."""


def stable_baselines3(options: Options) -> dict[str, Any]:
    tests = QUICK["stable_baselines3"] if options.quick else ("tests",)
    suite = Suite(_given(options.stable_baselines3), "stable_baselines3", tests, ("-m", "not expensive"))
    return compare(suite, "benchmarks.suites.sb3_policies", options)


def gymnasium_ids(options: Options) -> dict[str, Any]:
    """Run the tests over registered ids; with ours, there is nothing of theirs to compare with."""
    files = ("envs/test_envs", "envs/test_rendering", "envs/test_action_dim_check", "wrappers/test_passive_env_checker")
    tests = tuple(f"tests/{name}.py" for name in (*files, "vector/test_sync_vector_env"))
    suite = Suite(_given(options.gymnasium), "gymnasium", tests, ("-k", "qrl/"))
    found = run_suite(suite, ["benchmarks.suites.gymnasium_ids"], seconds=options.seconds, limit=options.limit)
    failed = {name: each.message for name, each in found.items() if each.status == "failed"}
    return {"version": version("gymnasium"), **counts(len(found), len(found), len(found), {}, failed)}


def gymnasium_replaced(options: Options) -> dict[str, Any]:
    names = ("vector", "wrappers", "utils", "envs/registration", "test_core.py")
    tests = QUICK["gymnasium_replaced"] if options.quick else tuple(f"tests/{name}" for name in names)
    suite = Suite(_given(options.gymnasium), "gymnasium", tests)
    return compare(suite, "benchmarks.suites.gymnasium_ids", options, {REPLACE: "1"})


def compare(
    suite: Suite, plugin: str, options: Options, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run a suite with the library's own parts and with ours, both at once, and compare."""
    limits = {"seconds": options.seconds, "limit": options.limit}
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run_suite, suite, [], **limits)]
        runs += [pool.submit(run_suite, suite, [plugin], environment=environment, **limits)]
        theirs, ours = (each.result() for each in runs)
    others, failed = split(worse(theirs, ours))
    n_passed = sum(each.status == "passed" for each in theirs.values())
    n_with_ours = sum(each.is_ours for each in ours.values())
    return {"version": version(suite.library), **counts(len(theirs), n_passed, n_with_ours, others, failed)}


def scikit_learn(options: Options) -> dict[str, Any]:
    n_checks, failed = run_estimator_checks()
    return {"version": version("scikit-learn"), **counts(n_checks, n_checks, n_checks, {}, failed)}


def transforms(options: Options) -> dict[str, Any]:
    n_probes, failed = run_probes(PROBES)
    return {"version": version("torch"), **counts(n_probes, n_probes, n_probes, {}, failed)}


def compiled(options: Options) -> dict[str, Any]:
    n_probes, failed = run_probes(COMPILED, small=True)
    return {"version": version("torch"), **counts(n_probes, n_probes, n_probes, {}, failed)}


def counts(
    n_tests: int, n_passed: int, n_with_ours: int, others: Mapping[str, list[str]], failed: Mapping[str, str]
) -> dict[str, Any]:
    """Return the numbers of a part, and the names of tests that fail.

    Args:
        n_tests: tests.
        n_passed: tests that pass with the library's own parts.
        n_with_ours: tests in which parts of ours take part.
        others: tests that fail with our parts and are not ours, by reason.
        failed: failures of ours, with their messages.
    """
    n_others = sum(map(len, others.values()))
    return {
        "tests": n_tests,
        "passed with their parts": n_passed,
        "passed with ours": n_passed - n_others - len(failed),
        "tests that use ours": n_with_ours,
        "not ours": n_others,
        "failures of ours": len(failed),
        "reasons": dict(others),
        "failed": dict(failed),
    }


PARTS: dict[Part, Callable[[Options], dict[str, Any]]] = {
    "stable_baselines3": stable_baselines3,
    "gymnasium_ids": gymnasium_ids,
    "gymnasium_replaced": gymnasium_replaced,
    "scikit_learn": scikit_learn,
    "transforms": transforms,
    "compiled": compiled,
}


def main(options: Options) -> None:
    """Run the parts."""
    set_up(threads=1)
    # No windows, no sound, and an error instead of an abort where there is no display.
    os.environ.update({"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy", "MUJOCO_GL": "osmesa"})
    results = earlier_results("library_suites", draft=options.quick)
    for part in options.only or tuple(PARTS):
        start = time.perf_counter()
        results[part] = PARTS[part](options)
        results[part] |= {"minutes": (time.perf_counter() - start) / 60, "commit": provenance([])["commit"]}
        for test, message in results[part]["failed"].items():
            print(f"{part}: {test}: {message}")
        write_result("library_suites", {name: results[name] for name in PARTS if name in results}, quick=options.quick)
    hidden = ("reasons", "failed", "commit")
    rows = [{"part": part, **{k: v for k, v in row.items() if k not in hidden}} for part, row in results.items()]
    print(table(rows))


def _given(path: Path | None) -> Path:
    """Return a checkout. Raise UsageError without one."""
    if path is None:
        raise UsageError("give the checkouts --stable-baselines3 PATH and --gymnasium PATH, or choose parts by --only")
    return path.resolve()


if __name__ == "__main__":
    run_main(main, Options, __doc__)
