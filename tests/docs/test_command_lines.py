"""Every command in the documents is parsed, and every link in them leads somewhere."""

import json
import re
import shlex
import sys
from pathlib import Path

import gymnasium
import pytest

from agents.cli.compare_options import CompareOptions, ReportOptions
from agents.cli.draw_options import parse_draw
from agents.cli.options import (
    EvaluateOptions,
    ExportOptions,
    PlotOptions,
    RobustnessOptions,
)
from agents.cli.parse import HelpShown, parse
from agents.cli.resume import parse_resume
from agents.cli.sweep import TrainWords, make_request
from agents.cli.train import parse_train
from agents.cli.tune import parse_tune
from agents.core.spec import Spec
from agents.runs.seal import sealed
from agents.select.options import SelectOptions
from agents.study.plan import make_plan
from qrl.common.errors import UsageError
from tests.docs.documents import DOCUMENTS, ROOT, anchors, blocks, command_lines, text_of

OPTIONS = {
    "evaluate": EvaluateOptions,
    "plot": PlotOptions,
    "compare": CompareOptions,
    "report": ReportOptions,
    "robustness": RobustnessOptions,
    "export": ExportOptions,
    "select": SelectOptions,
}
LINES = [
    pytest.param(line, id=f"{document.name}: {line}") for document in DOCUMENTS for line in command_lines(document)
]
PROGRAM = [line for line in LINES if "run.py" in str(line.values[0])]
MODULES = [line for line in LINES if "run.py" not in str(line.values[0])]
MY_PACKAGE = """
import gymnasium

class MyEnv(gymnasium.Env):
    def __init__(self, wind=0.0):
        self.wind = wind

gymnasium.register("MyEnv-v0", MyEnv)
"""
MY_CLASS = """
import gymnasium

class Spring(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Box(-1, 1, (1,)), gymnasium.spaces.Discrete(2)

    def __init__(self, k=1.0, windy=False, course="short"):
        self.k = k

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return [0.0], {}

    def step(self, action):
        return [0.0], 0.0, False, False, {}

def make(k):
    return Spring(k)
"""


@pytest.fixture
def a_users_folder(tmp_path, monkeypatch):
    """Create what the documents name: a run, files of environments and of a circuit, a package, a table, a study."""
    custom = "docs/custom-environments.md"
    (whole,) = (block for block in blocks(custom) if "agents.train" in block)
    (line,) = (block for block in blocks(custom) if block.startswith("distribution ="))
    (circuit,) = (block for block in blocks("docs/backends.md") if "Config, build = pennylane_model" in block)
    (table,) = (block for block in blocks(custom) if "distribution = LookupTasks(" in block)
    my_env = whole[: whole.index("tilted = ")] + line
    files = {
        "path/to/my_env.py": my_env,
        "my_env.py": MY_CLASS,
        "my_package/__init__.py": MY_PACKAGE,
        "my_package/my_env.py": my_env,
        "mytable.py": table,
        "path/to/my_circuit.py": circuit,
        "study.toml": re.findall(r"```toml\n(.*?)```", text_of("docs/studies.md"), flags=re.DOTALL)[0],
        "runs/mine/config.json": json.dumps(sealed({"spec": Spec.default().to_json()})),
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    gymnasium.registry.pop("MyEnv-v0", None)
    for name in [name for name in sys.modules if name.split(".")[0] == "my_package"]:
        del sys.modules[name]


def parse_line(line: str) -> None:
    """Parse the arguments after run.py, without running anything. Raises UsageError."""
    line = line.replace("--env NAME", "--env navigation").replace("RUN", "runs/mine")
    command, *arguments = shlex.split(line.partition("run.py ")[2])
    arguments = [str(ROOT / each) if each.startswith("benchmarks/") else each for each in arguments]
    if command.startswith("-"):
        command, arguments = "train", [command, *arguments]
    try:
        if command == "train":
            parse_train(arguments)
        elif command == "sweep":
            make_plan(make_request(arguments), TrainWords())
        elif command == "tune":
            parse_tune(arguments).request()
        elif command == "list":
            assert not arguments
        elif command == "resume" and arguments:
            parse_resume(arguments)
        elif command == "draw" and arguments:
            parse_draw(arguments)
        elif arguments:  # a sentence may name a command alone
            parse(command, OPTIONS[command], arguments, description="")
    except HelpShown:
        pass


@pytest.mark.usefixtures("a_users_folder")
@pytest.mark.parametrize("line", PROGRAM)
def test_commands_are_parsed(line):
    parse_line(line)


@pytest.mark.parametrize("line", ["python run.py --env navigatoin", "run.py plot RUN --agianst x", "run.py --seed one"])
def test_wrong_commands_are_found(line):
    with pytest.raises(UsageError):
        parse_line(line)


@pytest.mark.parametrize("line", MODULES)
def test_modules_exist_and_have_these_options(line):
    module, *arguments = shlex.split(line.partition("-m ")[2])
    if module in ("pytest", "benchmarks.NAME"):
        assert all((ROOT / argument).exists() for argument in arguments)
        return
    path = ROOT.joinpath(*module.split("."))
    files = [each for each in (path.with_suffix(".py"), path / "__init__.py") if each.exists()]
    assert files, f"there is no module {module}"
    names = [argument.removeprefix("--").replace("-", "_") for argument in arguments if argument.startswith("--")]
    assert all(re.search(rf"\b{name}\b", files[0].read_text(encoding="utf-8")) for name in names)


EVALUATIONS_OF_ANY_RUN = [line for line in PROGRAM if "evaluate RUN " in str(line.values[0])]


@pytest.mark.parametrize("line", EVALUATIONS_OF_ANY_RUN)
def test_evaluations_of_any_run_leave_two_episodes_for_a_baseline(line):
    """A run of maml, the default agent, refuses one episode per update."""
    arguments = shlex.split(line.replace("RUN", "runs/mine").partition("evaluate ")[2])
    options = parse("evaluate", EvaluateOptions, arguments, description="")
    assert options.episodes is None or options.episodes >= 2


def test_there_are_commands_to_parse():
    assert len(PROGRAM) > 40 and len(MODULES) > 10


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "CHANGELOG.md"], ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(document)):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.exists(), f"{document.name}: {target}"
        assert not anchor or anchor in anchors(path), f"{document.name}: {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_pages_name_benchmarks_that_exist(document: Path):
    named = set(re.findall(r"`benchmarks\.(\w+)", text_of(document))) - {"NAME"}
    assert all((ROOT / "benchmarks" / name).exists() or (ROOT / f"benchmarks/{name}.py").exists() for name in named)


def test_every_page_is_in_the_index():
    pages = {path.name for path in ROOT.glob("docs/*.md")} - {"README.md"}
    assert pages == set(re.findall(r"^\| \[[\w.-]+\]\(([\w-]+\.md)\)", text_of("docs/README.md"), flags=re.MULTILINE))
