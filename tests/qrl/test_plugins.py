"""Plug-in lookup: every way of naming one, and every error."""

import importlib.metadata
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import pytest

import agents
import envs
import qrl
from agents.core.registry import AGENTS
from envs import bandit
from envs.core.registry import ENVS
from qrl.common.errors import UsageError, suggest
from qrl.common.registry import Registry, Shelf, short_name
from qrl.models import MODELS

GOOD = '''"""A thing of mine.

More about it.
"""
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    size: int = 3

def build(config):
    return ("built", config.size)
'''


@dataclass(frozen=True)
class Config:
    size: int = 3


class Thing:
    """A registered thing.

    With details.
    """

    Config = Config

    @staticmethod
    def build(config):
        return ("thing", config.size)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A plug-in folder with two agents, one unreadable file, private modules, and one agent with a missing extra."""
    root = tmp_path / "root"
    package = root / "shelf"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "good.py").write_text(GOOD)
    (package / "boring.py").write_text(GOOD)
    (package / "_machinery.py").write_text("raise RuntimeError('machinery is never listed or imported')")
    (package / "broken.py").write_text('"""Broken."""\ndef (:\n')
    (package / "extra.py").write_text('"""Wants more."""\nREQUIRES = ("math", "no_such_package.sub")\nEXTRA = "more"\n')
    (package / "loud.py").write_text('"""Loud."""\nraise RuntimeError("imported,\\n twice")\n')
    (package / "bare.py").write_text(
        '"""No build."""\nfrom dataclasses import dataclass\n@dataclass(frozen=True)\nclass Config: ...\n'
    )
    (package / "thawed.py").write_text(GOOD.replace("(frozen=True)", ""))
    monkeypatch.syspath_prepend(str(root))
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == "shelf"]:
        del sys.modules[name]


@pytest.fixture
def registry(folder):
    """Registry of that folder only."""
    return Registry("agent", "qrl.agents", [Shelf("shelf", folder, "agents")])


def test_listing_reads_files_without_importing_them(folder, registry):
    found = registry.available()
    assert list(found) == ["bare", "boring", "broken", "extra", "good", "loud", "thawed"]
    assert found["good"].doc == "A thing of mine."
    assert found["good"].usable
    assert not found["broken"].usable
    assert found["broken"].broken == "invalid syntax (line 2)"
    assert found["extra"].missing == ("no_such_package.sub",)
    assert found["extra"].remedy == "pip install 'qrl-meta[more]'"
    assert not [name for name in sys.modules if name.startswith("shelf")]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ('REQUIRES = tuple("ab")', "REQUIRES is not a literal (line 2)"),
        ("REQUIRES = 3", "TypeError: 'int' object is not iterable"),
        ('REQUIRES = ""', "ValueError: "),
        ("x = (", "'(' was never closed (line 2)"),
        ("\0", "source code string cannot contain null bytes"),
        ("x = " + "(" * 5000, "too many nested parentheses"),
    ],
)
def test_broken_files_are_listed_with_the_others(folder, registry, source, reason):
    (folder / "bad.py").write_text(f'"""Bad."""\n{source}\n')
    found = registry.available()
    assert reason in found["bad"].broken and not found["bad"].usable
    assert found["good"].usable


def test_missing_core_dependency_reports_the_fix(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    (tmp_path / "mine.py").write_text("import gymnasium")
    with pytest.raises(UsageError, match=r"gymnasium.*; use \.venv/bin/python, or install qrl-meta: pip install -e "):
        ENVS.load(str(tmp_path / "mine.py"))


def test_plug_in_from_the_folder_builds(folder, registry):
    plugin = registry.load("good")
    assert plugin.build(plugin.Config(size=5)) == ("built", 5)
    assert plugin is sys.modules["shelf.good"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "goood",
            "unknown agent 'goood'; did you mean 'good'? (choices: bare, boring, broken, extra, good, loud, thawed)",
        ),
        ("", "the name of the agent is empty; choices: bare, boring, broken, extra, good, loud, thawed"),
        ("_machinery", "unknown agent '_machinery'; choices: bare, boring, broken, extra, good, loud, thawed"),
        ("extra", "agent 'extra' needs no_such_package.sub, not installed: pip install 'qrl-meta[more]'"),
        ("broken", "agent 'broken' cannot be imported: invalid syntax (line 2)"),
        ("loud", "agent 'loud' cannot be imported: RuntimeError: imported, twice"),
        ("bare", "agent 'bare' has no function called build: a plug-in defines Config and build(config, ...)"),
        ("thawed", "agent 'thawed': Config must be frozen, @dataclass(frozen=True)"),
        (
            "shelf.good:buld",
            "agent 'shelf.good:buld': no attribute 'buld'; did you mean 'build'? (choices: Config, build, dataclass)",
        ),
        ("json", "unknown agent 'json'; choices: bare, boring, broken, extra, good, loud, thawed"),
        (
            "json:dumps",
            "agent 'json:dumps' has no dataclass called Config: a plug-in defines Config and build(config, ...)",
        ),
        ("../escape", "unknown agent '../escape'; choices: bare, boring, broken, extra, good, loud, thawed"),
    ],
)
def test_load_failures_give_one_line_errors(folder, registry, name, message):
    with pytest.raises(UsageError) as caught:
        registry.load(name)
    assert str(caught.value) == message


def test_file_that_exits_at_import(tmp_path):
    (tmp_path / "leaving.py").write_text("raise SystemExit(3)")
    with pytest.raises(UsageError, match=r"leaving\.py' cannot be imported: SystemExit: 3$"):
        AGENTS.load(str(tmp_path / "leaving.py"))


def test_folders_are_not_plug_ins(folder, registry, monkeypatch):
    monkeypatch.chdir(folder.parent)
    with pytest.raises(UsageError, match=r"^unknown agent 'shelf', an existing path but not a \.py file; "):
        registry.load("shelf")


def test_missing_module_is_distinguished_from_a_missing_import_inside_it(folder, registry):
    with pytest.raises(UsageError, match=r"^unknown agent 'shelf.nope': module 'shelf.nope' is neither installed nor"):
        registry.load("shelf.nope")
    (folder / "_inner.py").write_text("import no_such_package")
    with pytest.raises(
        UsageError, match=r"^agent 'shelf._inner' cannot be imported: No module named 'no_such_package'$"
    ):
        registry.load("shelf._inner")


def test_shadowed_packages_are_rejected(folder, registry, tmp_path, monkeypatch):
    other = tmp_path / "other" / "shelf"
    other.mkdir(parents=True)
    (other / "__init__.py").touch()
    (other / "good.py").write_text(GOOD)
    monkeypatch.syspath_prepend(str(other.parent))
    with pytest.raises(UsageError, match="is imported instead of"):
        registry.load("good")


def test_module_and_attribute(folder):
    assert ENVS.load("shelf.good").Config().size == 3
    (folder / "_two.py").write_text(
        GOOD + "\nclass Box:\n    class Inner:\n        pass\nBox.Inner.Config, Box.Inner.build = Config, build\n"
    )
    assert ENVS.load("shelf._two:Box.Inner").build(Config(4)) == ("built", 4)


def test_path_is_imported_once_and_again_after_edits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(GOOD)
    first = MODELS.load("mine.py")
    assert MODELS.load(str(tmp_path / "mine.py")) is first
    # The same length within the same second: what a cache keyed by time and size would miss.
    Path("mine.py").write_text(GOOD.replace("built", "burnt"))
    assert MODELS.load("./mine.py").build(first.Config()) == ("burnt", 3)
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "No such file or directory"),
        ("def build(:", "invalid syntax (line 1)"),
        ("x = nothing", "NameError: name 'nothing' is not defined"),
        ("import no_such_package", "No module named 'no_such_package'"),
        ("Config = 3\ndef build(config): ...", "has no dataclass called Config"),
        ("\0", "source code string cannot contain null bytes"),
    ],
)
def test_path_that_fails_to_import(tmp_path, source, message):
    path = tmp_path / "mine.py"
    if source is not None:
        path.write_text(source)
    with pytest.raises(UsageError) as caught:
        ENVS.load(str(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    left = [module for module in sys.modules.values() if getattr(module, "__file__", None) == str(path)]
    assert all(hasattr(module, "Config") for module in left)  # completed imports may stay


def test_registering(folder, registry):
    registry.register("thing", Thing)
    try:
        assert registry.load("thing") is Thing
        assert registry.available()["thing"].doc == "A registered thing."
        registry.register("thing", Thing)  # Running a notebook cell twice is not an error.
        other = types.SimpleNamespace(Config=Config, build=print)  # ... nor is a cell that creates a new object.
        registry.register("thing", other)
        assert registry.load("thing") is other
        for name in ("", "my agent", "a/b"):
            with pytest.raises(UsageError, match="a name consists of letters, digits, _ and -"):
                registry.register(name, Thing)
        with pytest.raises(UsageError, match="the name is already taken"):
            registry.register("good", Thing)
    finally:
        registry.unregister("thing")
    with pytest.raises(UsageError, match="unknown agent 'thing'"):
        registry.load("thing")
    with pytest.raises(UsageError, match="has no function called build"):
        registry.register("half", types.SimpleNamespace(Config=Config))


@pytest.mark.parametrize(
    ("register", "own"), [(envs.register, ENVS), (agents.register, AGENTS), (qrl.register_model, MODELS)]
)
def test_packages_register_only_their_own_kind(register, own):
    register("thing", Thing)
    try:
        assert [known.role for known in (ENVS, AGENTS, MODELS) if "thing" in known.available()] == [own.role]
        assert own.load("thing") is Thing
    finally:
        own.unregister("thing")


def test_entry_points(folder, registry, monkeypatch):
    entry = importlib.metadata.EntryPoint("installed", "shelf.good", "qrl.agents")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: (entry,) if group == "qrl.agents" else ())
    assert registry.available()["installed"].doc == "shelf.good, from an installed package"
    assert registry.load("installed").build(Config(2)) == ("built", 2)
    with pytest.raises(UsageError, match="unknown model 'installed'"):
        MODELS.load("installed")


def test_names_for_files_and_for_saving(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert short_name("navigation") == "navigation"
    assert short_name("some/dir/mine.py") == "mine"
    assert short_name("package.mine:Box.Inner") == "mine-Box-Inner"
    assert ENVS.canonical("dir/mine.py") == str(tmp_path / "dir" / "mine.py")
    assert ENVS.canonical("navigation") == "navigation"
    assert ENVS.canonical(bandit.__file__) == "bandit"
    assert ENVS.canonical("package.mine") == "package.mine"


@pytest.mark.parametrize(
    ("name", "tail"),
    [
        ("navigaton", "; did you mean 'navigation'? (choices: cartpole, navigation)"),
        ("Navigation", "; did you mean 'navigation'? (choices: cartpole, navigation)"),
        ("nav", "; did you mean 'navigation'? (choices: cartpole, navigation)"),
        ("zzz", "; choices: cartpole, navigation"),
        ("", "; choices: cartpole, navigation"),
    ],
)
def test_suggestions(name, tail):
    assert suggest(name, ["navigation", "cartpole"]) == tail


@pytest.mark.parametrize("own", [ENVS, MODELS, AGENTS], ids=lambda own: own.role)
def test_all_plug_ins_are_listed_and_load_or_report_a_missing_extra(own):
    found = own.available()
    assert found
    for name, summary in found.items():
        assert summary.doc, f"{name} has no docstring"
        assert not summary.broken
        if summary.missing:
            with pytest.raises(UsageError, match="pip install"):
                own.load(name)
        else:
            plugin = own.load(name)
            default = plugin.defaults("navigation") if hasattr(plugin, "defaults") else plugin.Config()
            assert isinstance(default, plugin.Config)
