"""The sub-packages of qrl import each other in one order."""

import ast
from pathlib import Path

import pytest

import qrl

ROOT = Path(qrl.__file__).parent
ORDER = ("common", "circuits", "noise", "simulator", "backends", "layer", "policies", "models", "sb3", "sklearn")
"""Each may import those before it; sb3 and sklearn do not import each other."""


def subpackages_imported(path: Path) -> set[str]:
    """Sub-packages that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    # Layers and policies refer to models by name, through the registry, which imports no model by itself.
    return {name.split(".")[1] for name in found - {"qrl.models.MODELS"} if name.startswith("qrl.")}


@pytest.mark.parametrize("package", ORDER)
def test_subpackages_import_only_earlier_ones(package):
    files = [*ROOT.joinpath(package).rglob("*.py"), *ROOT.glob(f"{package}.py")]
    assert files
    allowed = {*ORDER[: ORDER.index(package) + 1]} - ({"sb3"} if package == "sklearn" else set())
    for path in files:
        assert subpackages_imported(path) <= allowed, path


def test_every_subpackage_is_in_the_order():
    found = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or path.joinpath("__init__.py").exists()}
    assert found == {*ORDER, "__init__"}


@pytest.mark.parametrize("package", ["circuits", "noise"])
def test_circuit_descriptions_need_no_torch(package):
    for path in ROOT.joinpath(package).rglob("*.py"):
        assert not any(line.split()[1:2] == ["torch"] for line in path.read_text().splitlines()), path
