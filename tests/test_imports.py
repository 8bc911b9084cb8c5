"""Imports flow one way, and what must be cheap to import is."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"qrl", "envs", "agents", "run"}

# What each package may import of ours; a whole package, or the modules of it that are listed.
ALLOWED = {
    "qrl": {"qrl"},
    "envs": {
        "envs",
        "qrl.common",
        "qrl.circuits",
        "qrl.simulator",
    },
    "agents": {"agents", "envs", "qrl"},
}


def imports(path: Path) -> set[str]:
    """The modules of ours that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a name comes from"
            # `from qrl import plugins` imports a module, `from qrl.common.registry import load` a name in one.
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                is_module = ROOT.joinpath(*whole.split(".")).with_suffix(".py").exists()
                found.add(whole if is_module else str(node.module))
    return {name for name in found if name.partition(".")[0] in OURS}


def files(package: str) -> list[Path]:
    return sorted(ROOT.joinpath(package).rglob("*.py"))


@pytest.mark.parametrize(
    "path", [p for package in ALLOWED for p in files(package)], ids=lambda p: str(p.relative_to(ROOT))
)
def test_imports_flow_one_way(path):
    allowed = ALLOWED[path.relative_to(ROOT).parts[0]]
    forbidden = {
        name for name in imports(path) if not any(name == module or name.startswith(f"{module}.") for module in allowed)
    }
    assert not forbidden


def loaded_after(program: str) -> set[str]:
    """Top-level modules that are loaded once `program` has run in a fresh interpreter."""
    program = f"{program}\nimport sys, json; print(); print(json.dumps(sorted(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


HEAVY = {"torch", "pennylane", "stable_baselines3", "gymnasium", "matplotlib", "scipy", "sklearn", "tyro", "numpy"}


@pytest.mark.parametrize(
    "program",
    [
        "import qrl, agents, run, qrl_meta, agents.cli.main",
        *(
            f"from agents.cli.main import main; assert main({arguments}) == {code}"
            for arguments, code in ((["--help"], 0), ([], 0), (["list"], 0), (["trian"], 2), (["train", "--env"], 2))
        ),
        "from agents.core.spec import REGISTRIES; [registry.available() for registry in REGISTRIES.values()]",
        "import agents.runs.folder, agents.core.spec, agents.runs.progress, agents.runs.interrupt",
    ],
)
def test_what_answers_at_once_imports_nothing_heavy_and_no_plug_in(program):
    modules = loaded_after(program)
    # A package that answers for environments makes them known to Gymnasium, which brings numpy.
    assert not modules & (
        HEAVY if "spec" not in program and "cli.main" not in program else HEAVY - {"gymnasium", "numpy"}
    )
    plugin_files = [p for folder in ("envs", "agents", "qrl/models") for p in ROOT.joinpath(folder).glob("[!_]*.py")]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in plugin_files}
    assert names
    assert not modules & names


def test_envs_brings_gymnasium_and_its_numpy_and_no_more():
    modules = loaded_after("import envs")
    assert modules & HEAVY == {"gymnasium", "numpy"}


def test_every_exported_name_exists():
    import agents
    import envs
    import qrl

    for package in (qrl, envs, agents):
        assert package.__all__
        for name in package.__all__:
            assert name in dir(package)
            assert getattr(package, name) is not None
        with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nonsense'"):
            _ = package.nonsense


def test_commands_do_not_import_what_they_do_not_use():
    names = ["--env", "navigation", "--agent", "random", "--model", "mlp"]
    modules = loaded_after(f"from agents.cli.options import parse_train; parse_train({names})")
    assert {"torch", "tyro", "envs.navigation"} <= modules
    assert not modules & {
        "pennylane",
        "stable_baselines3",
        "matplotlib",
        "envs.cartpole",
        "agents.maml",
        "qrl.models.fourier",
    }
