"""The numbers in docs/quantum-data.md are those of the library."""

import re

import pytest

from agents.references.frame_tracking import balanced_returns
from agents.references.helstrom import envelope
from benchmarks.certificates.page import page_rows
from benchmarks.shared.publish import earlier_results
from envs.dynamics.memory_limits import classical_ceiling, coherent_optimum
from tests.docs.documents import text_of

PAGE = text_of("docs/quantum-data.md")
ROW = re.compile(r"^\| `(symmetry|match|same|one_shot|purity)`(?:, T = (\d))? \|.*\|([^|]*)\|([^|]*)\|([^|]*)\|$", re.M)
LIMITS = [
    (match[1], n_qubits, int(match[2] or (3 if match[1] == "one_shot" else 2)), cell)
    for match in ROW.finditer(PAGE)
    for n_qubits, cell in enumerate(match.groups()[2:], start=1)
    if "/" in cell
]
RESULT = re.compile(r"^\| `(\w+)`, n = (\d)(?:, T = (\d))? \| (bound )?([\d.]+); ([\d.]+) \|", re.M)


def digits(value):
    """Return a probability as in the tables."""
    return f"{value:.4f}".removeprefix("0")


def test_there_are_limits_to_check():
    assert len(LIMITS) == 4 * 3 + 3 + 3 + 2 + 1 + 1


@pytest.mark.parametrize(("mode", "n_qubits", "n_registers", "cell"), LIMITS)
def test_limits_are_those_of_the_family(mode, n_qubits, n_registers, cell):
    limits = coherent_optimum(mode, n_qubits, n_registers), classical_ceiling(mode, n_qubits, n_registers).value
    assert cell.strip() == " / ".join(digits(limit) for limit in limits)


def test_results_are_next_to_the_limits_of_the_family():
    rows = RESULT.findall(PAGE)
    assert len(rows) == 15
    for mode, n_qubits, copies, bound, ceiling, optimum in rows:
        case = mode, int(n_qubits), int(copies or (3 if mode == "one_shot" else 2))
        expected = classical_ceiling(*case)
        assert (ceiling, bool(bound)) == (digits(expected.value), expected.kind == "bound")
        assert optimum in (digits(coherent_optimum(*case)), f"{coherent_optimum(*case):g}")


def test_results_are_those_of_the_result_file():
    rows = page_rows(earlier_results("quantum_data", draft=False))
    assert len(rows) == 19
    assert "\n".join(rows) in PAGE


@pytest.mark.parametrize(
    ("line", "returns"), [("helstrom (envelope)", envelope), ("frame_tracking (playable)", balanced_returns)]
)
def test_lines_of_a_hidden_frame(line, returns):
    (row,) = re.findall(rf"^\| `{re.escape(line)}` \|(.*)\|$", PAGE, flags=re.M)
    assert [cell.strip() for cell in row.split("|")] == [f"{each:.3f}".removeprefix("0") for each in returns(10)]
