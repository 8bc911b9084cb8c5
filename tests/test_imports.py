"""Imports follow one direction without cycles, and cheap entry points stay cheap."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("qrl", "envs", "agents")
STARTS = ("qrl_meta", "run", "agents.__main__")
"""What starts the command line."""
PLUGIN_PACKAGES = ("envs", "qrl.models", "agents", "agents.references")
"""Packages whose modules are plug-ins, each an option of the command line."""

# Packages of this project that each package may import.
ALLOWED = {
    "qrl": ("qrl",),
    "envs": ("envs", "qrl.common", "qrl.circuits", "qrl.simulator"),
    "agents": ("agents", "envs", "qrl"),
}


def path_of(module: str) -> Path | None:
    """File of a module or package of this project."""
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


def name_of(path: Path) -> str:
    """Module name of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> list[str]:
    """Every module of this project."""
    return [name_of(path) for package in PACKAGES for path in sorted(ROOT.joinpath(package).rglob("*.py"))] + [
        name for name in STARTS if name not in PACKAGES and "." not in name
    ]


def named_in(tree: ast.AST, where: str) -> Iterator[str]:
    """Every module that a file imports anywhere, including in functions and for type checkers."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(level=level, module=str(module), names=names):
                assert level == 0, f"{where}: relative imports hide where a name comes from"
                for alias in names:  # `from qrl.common import files` imports a module, others a name in one
                    whole = f"{module}.{alias.name}"
                    yield whole if path_of(whole) else module
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                yield module


@cache
def imports(module: str) -> frozenset[str]:
    """Modules of this project that a module imports."""
    path = path_of(module)
    assert path is not None
    found = named_in(ast.parse(path.read_text(encoding="utf-8")), module)
    return frozenset(name for name in found if name.partition(".")[0] in (*PACKAGES, *STARTS))


def inside(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_follow_one_direction(package):
    forbidden = {
        (module, name)
        for module in modules()
        if inside(module, (package,)) and module not in STARTS
        for name in imports(module)
        if not inside(name, ALLOWED[package])
    }
    assert not forbidden


def test_no_import_cycles():
    """A package's export table is part of a cycle only if a module inside imports the package."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        open_ = list(imports(start))
        while open_:
            if (module := open_.pop()) not in seen:
                seen.add(module)
                open_ += imports(module)
        return seen

    assert not {module for module in modules() if module in reached(module)}


@pytest.mark.parametrize("package", PLUGIN_PACKAGES)
def test_every_module_of_a_plug_in_package_is_a_plug_in(package):
    """Shared code is in sub-packages, which the registry does not scan."""
    for path in ROOT.joinpath(*package.split(".")).glob("*.py"):
        if path.name not in ("__init__.py", "__main__.py"):
            assert not path.name.startswith("_"), path
            defined = {getattr(node, "name", None) for node in ast.parse(path.read_text(encoding="utf-8")).body}
            assert {"Config", "build"} <= defined, path


def test_only_entry_points_import_the_command_line():
    users = {module for module in modules() if any(inside(name, ("agents.cli",)) for name in imports(module))}
    assert {user for user in users if not inside(user, ("agents.cli",))} == {"qrl_meta"}


def test_import_checks_detect_every_kind_of_import():
    source = """
import qrl.layer
def later():
    from qrl.common import files
    from qrl.common.errors import UsageError
    importlib.import_module("envs.bandit")
if TYPE_CHECKING:
    from agents.maml import MAML
"""
    found = set(named_in(ast.parse(source), "a test"))
    assert found == {"qrl.layer", "qrl.common.files", "qrl.common.errors", "envs.bandit", "agents.maml"}


def loaded_after(program: str) -> set[str]:
    """Top-level modules that are loaded once `program` has run in a fresh interpreter."""
    program = f"{program}\nimport sys, json; print(); print(json.dumps(sorted(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


HEAVY = {"torch", "pennylane", "stable_baselines3", "gymnasium", "matplotlib", "scipy", "sklearn", "numpy"}


@pytest.mark.parametrize(
    "program",
    [
        "import qrl, envs, agents, run, qrl_meta, agents.cli.main",
        "from agents.cli.main import main; assert [main(words) for words in "
        "(['--help'], [], ['list'], ['trian'], ['train', '--env'])] == [0, 0, 0, 2, 2]",
        "from agents.core.registry import REGISTRIES; [registry.available() for registry in REGISTRIES.values()]",
        "import agents.runs.folder, agents.core.registry, agents.runs.progress, agents.runs.interrupt",
    ],
)
def test_quick_commands_import_no_heavy_package_and_no_plug_in(program):
    loaded = loaded_after(program)
    assert not loaded & HEAVY
    plugins = {
        f"{package}.{path.stem}"
        for package in PLUGIN_PACKAGES
        for path in ROOT.joinpath(*package.split(".")).glob("[!_]*.py")
    }
    assert plugins
    assert not loaded & plugins


@pytest.mark.parametrize("program", ["import envs, gymnasium", "import gymnasium, envs"])
def test_families_are_registered_with_gymnasium(program):
    made = "gymnasium.make('qrl/CartPole-v0', task={'gravity': 12}).unwrapped.__class__.__name__"
    assert "torch" in loaded_after(f"{program}; assert {made} == 'SingleEnv'")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_exported_name_exists(package):
    module = __import__(package)
    assert module.__all__
    for name in module.__all__:
        assert name in dir(module)
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=f"No {package} attribute nonsense"):
        _ = module.nonsense


def test_commands_do_not_import_what_they_do_not_use():
    names = ["--env", "navigation", "--agent", "random", "--model", "mlp"]
    loaded = loaded_after(f"from agents.cli.train import parse_train; parse_train({names})")
    assert {"torch", "cattrs", "envs.navigation"} <= loaded
    others = {"envs.cartpole", "agents.maml", "qrl.models.fourier"}
    assert not loaded & {"pennylane", "stable_baselines3", "matplotlib", "torch._dynamo", *others}


def test_underscored_names_stay_within_their_package():
    """A leading underscore means private to its own sub-package, and nothing else."""
    for package in PACKAGES:
        for path in ROOT.joinpath(package).rglob("*.py"):
            assert path.stem.startswith("__") or not path.stem.startswith("_"), path
            subpackage = ".".join(path.relative_to(ROOT).parent.parts)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in PACKAGES:
                    private = [alias.name for alias in node.names if alias.name.startswith("_")]
                    assert not private or str(node.module).startswith(f"{subpackage}."), path
