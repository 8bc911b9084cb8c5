"""Comparison of two runs of another library's tests, and probes of transforms."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks.library_suites import counts
from benchmarks.suites import transforms
from benchmarks.suites.cases import Case, cases
from benchmarks.suites.not_ours import REASONS, split
from benchmarks.suites.probes import PROBES
from benchmarks.suites.runs import Outcome, Suite, read_report, run_suite, worse
from qrl.common.errors import UsageError

REPORT = """<testsuites><testsuite>
<testcase classname="tests.test_run" name="test_one"/>
<testcase classname="tests.test_run" name="test_two[PPO]"><properties><property name="ours" value="2"/></properties>
<failure message="AssertionError: 1 &lt; 2&#10;second line">trace</failure></testcase>
<testcase classname="tests.test_run" name="test_three"><skipped message="no GPU"/></testcase>
<testcase classname="" name="tests.test_four"><error message="collection failure">ImportError</error></testcase>
</testsuite></testsuites>"""


def test_reports_of_pytest(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    assert read_report(tmp_path / "report.xml") == {
        "tests.test_run::test_one": Outcome("passed"),
        "tests.test_run::test_two[PPO]": Outcome("failed", "AssertionError: 1 < 2", is_ours=True),
        "tests.test_run::test_three": Outcome("skipped", "no GPU"),
        "::tests.test_four": Outcome("failed", "collection failure"),
    }


def test_a_failure_counts_if_the_test_passes_with_the_librarys_own_parts() -> None:
    passed, failed = Outcome("passed"), Outcome("failed", "AssertionError")
    theirs = {"a": passed, "b": failed, "c": passed, "d": passed, "e": Outcome("skipped")}
    ours = {"a": passed, "b": failed, "c": failed, "e": failed}
    assert worse(theirs, ours) == {"c": failed, "d": Outcome("failed", "did not run")}


def test_a_failure_with_a_reason_must_have_its_message() -> None:
    name = "tests.test_identity::test_discrete[env1-A2C]"
    expected = Outcome("failed", "AssertionError: Mean reward below threshold: 19.05 < 90.00")
    others, ours = split({name: expected, name + "2": Outcome("failed", "ZeroDivisionError"), "x": expected})
    assert others == {REASONS["tests.test_identity::test_discrete*"]: [name]}
    assert ours.keys() == {name + "2", "x"}
    assert counts(9, 8, 7, others, ours)["passed with ours"] == 8 - 1 - 2


@pytest.mark.parametrize("body", ["assert True", "assert False", "while True: pass"])
def test_a_suite_runs_from_its_checkout(body: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_one.py").write_text(f"def test_two():\n    {body}\n")
    suite = Suite(tmp_path, "json", ("tests",), ("-p", "no:xdist"))
    ((name, outcome),) = run_suite(suite, [], seconds=0.5, limit=60).items()
    assert name.endswith("test_one::test_two")
    assert outcome.status == ("passed" if body == "assert True" else "failed")
    assert ("took longer" in outcome.message) == ("while" in body)
    with pytest.raises(UsageError, match="no other; give a checkout of the library's repository"):
        Suite(tmp_path, "json", ("other",))


class Untraceable(nn.Module):
    """Its values depend on Python numbers, which a trace takes for constants."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.weight * float(inputs.sum()) + inputs


@pytest.mark.filterwarnings("ignore")
def test_probes_find_what_does_not_transform(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Untraceable()
    monkeypatch.setattr(transforms, "cases", lambda small: [Case("bad", module, (2,))])
    names = ("jit.trace", "func.vmap over samples", "deepcopy", "func.grad, functional_call")
    n_probes, failed = transforms.run_probes({name: PROBES[name] for name in names})
    assert n_probes == 4 and failed.keys() == {"bad: jit.trace", "bad: func.vmap over samples"}


def test_every_model_is_probed() -> None:
    made = {case.name: case for case in cases(small=True)}
    assert {"reuploading", "qgru", "coherent", "mlp", "QuantumActorCriticPolicy"} <= made.keys()
    for case in made.values():
        assert case.module(*case.inputs(3)).shape[0] == 3
