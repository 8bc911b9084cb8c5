"""The command line as a new user meets it: help, options, and one clear line for everything else."""

import ast
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agents.cli import commands, evaluate
from agents.cli.main import main
from agents.cli.options import EvaluateOptions, default_out, parse_train
from agents.core.spec import Spec
from agents.experiment import start
from agents.runs.folder import RunFolder
from envs import bandit
from qrl.common.errors import TrainingError, UsageError

ROOT = Path(__file__).parents[2]

PLUGIN = '''"""A plug-in of mine."""
from dataclasses import dataclass, field
from typing import Literal

@dataclass(frozen=True)
class Steps:
    """How steps are taken."""

    rate: float = 0.1
    """Learning rate [1/step]; Finn et al. 2017."""

@dataclass(frozen=True)
class Config:
    """Options."""

    inner_steps: int = 1
    """Adaptation [gradient steps]."""
    goal: tuple[float, float] = (-0.5, 0.5)
    """Range [m]."""
    learned: bool = True
    """Learn them."""
    estimator: Literal["dice", "first-order"] = "dice"
    """Estimator."""
    limit: float | None = None
    """Limit [m]."""
    steps: Steps = field(default_factory=Steps)

    def __post_init__(self):
        if self.inner_steps < 1:
            raise ValueError(f"inner_steps must be at least 1, is {self.inner_steps}")

def defaults(env_name):
    return Config(inner_steps=len(env_name))

def build(config):
    return config
'''


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """Commands that record how they are called; options of three plug-ins that are files in the current folder."""
    recorded = []

    def record(name):
        def call(*args, **kwargs):
            recorded.append((name, args, kwargs))
            return 0

        return call

    monkeypatch.setattr(start, "run_training", record("run_training"))
    monkeypatch.setattr(start, "run_resume", record("run_resume"))
    monkeypatch.setattr(evaluate, "run_evaluation", record("run_evaluation"))
    monkeypatch.setattr(commands, "keep_freed_memory", lambda: None)
    monkeypatch.chdir(tmp_path)
    for name in ("place.py", "learner.py", "net.py"):
        Path(name).write_text(PLUGIN)
    return recorded


OURS = ["--env", "place.py", "--agent", "learner.py", "--model", "net.py"]


def trained(recorded) -> tuple[Spec, Path, dict]:
    ((name, (spec, out), keywords),) = recorded
    assert name == "run_training"
    recorded.clear()
    return spec, out, keywords


def refused(capsys, arguments, code=2) -> str:
    """The one line on stderr of a command that fails having printed and written nothing else."""
    before = sorted(Path.cwd().rglob("*"))
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("run.py: error: ")
    assert captured.err.count("\n") == 1
    assert sorted(Path.cwd().rglob("*")) == before
    return captured.err.removeprefix("run.py: error: ").removesuffix("\n")


# --- train ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [[], ["train"]])
def test_options_reach_the_three_plug_ins_and_the_spec(calls, command):
    arguments = [
        *command, *OURS, "--seed", "3", "--iterations=20", "--env.inner-steps", "4", "--agent.steps.rate=0.5",
        "--agent.no-learned", "--agent.goal", "-1", "2", "--model.estimator", "first-order", "--model.limit", "2",
    ]  # fmt: skip
    assert main(arguments) == 0
    spec, out, keywords = trained(calls)
    assert type(spec) is Spec
    assert (spec.seed, spec.iterations) == (3, 20)
    assert spec.env_config.inner_steps == 4
    assert spec.agent_config.steps.rate == 0.5
    assert spec.agent_config.learned is False
    assert spec.agent_config.goal == (-1.0, 2.0)
    assert spec.model_config.learned is True
    assert (spec.model_config.estimator, spec.model_config.limit) == ("first-order", 2.0)
    assert spec.env == str(Path.cwd() / "place.py")
    assert out == Path("runs/place-learner-net-seed3")
    assert keywords == {"overwrite": False, "command": ["run.py", "train", *arguments[len(command) :]]}


def test_defaults_may_depend_on_the_environment(calls):
    assert main([*OURS, "--env", "navigation"]) == 0
    spec, out, _ = trained(calls)
    assert spec.agent_config.inner_steps == len("navigation")
    assert out == Path("runs/navigation-learner-net-seed0")


def test_a_saved_configuration_is_rerun_and_overridden(calls, tmp_path):
    main([*OURS, "--seed", "5", "--agent.steps.rate", "0.25", "--env.inner-steps", "9"])
    spec, _, _ = trained(calls)
    folder = RunFolder.create(tmp_path / "saved", {"spec": spec.to_json()})
    Path("bare.json").write_text(json.dumps(spec.to_json()))
    for source in (str(folder.path), str(folder.path / "config.json"), "bare.json"):
        main(["--config", source])
        assert trained(calls)[0] == spec
    main(["--config", "bare.json", "--agent.goal", "0", "1", "--seed=6", "--env", "navigation"])
    again, _, _ = trained(calls)
    assert again.agent_config == Spec.from_json({**spec.to_json(), "agent_config": {
        **spec.to_json()["agent_config"], "goal": [0, 1]}}).agent_config  # fmt: skip
    assert again.seed == 6
    # Options saved for one environment are not given to another.
    assert again.env_config != spec.env_config
    assert again.model_config == spec.model_config


def test_help_of_a_command_shows_the_options_of_the_chosen_plug_ins(calls, capsys):
    assert main([*OURS, "--help"]) == 0
    text = " ".join(re.sub("[│|]", " ", capsys.readouterr().out).split())  # where lines break depends on paths
    for expected in (
        r"--env STR", r"--seed INT", r"--agent\.inner-steps INT", r"--agent\.steps\.rate FLOAT", r"--model\.no-learned",
        r"Learning rate \[1/step\]; Finn et al\. 2017\.", r"--env\.estimator \{dice,first-order\}",
        r"Length of training \[meta-iterations\]", r"A plug-in of mine\.",
    ):  # fmt: skip
        assert re.search(expected, text), expected
    assert calls == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "nowhere.py"], "env file {cwd}/nowhere.py: No such file or directory"),
        (["--env", "navigaton"], "unknown env 'navigaton'; did you mean 'navigation'? (choices: "),
        (["--agent", "os.path"], "agent 'os.path' has no dataclass called Config: "),
        (["--env"], "--env needs a value"),
        (["--env="], "--env needs a value"),
        (["--agent", "--seed"], "--agent needs a value"),
        (["--agent.iner-steps", "2"], "unknown option --agent.iner-steps; did you mean --agent.inner-steps?"),
        (["--inner-steps", "2"], "unknown option --inner-steps; did you mean --"),
        (["--model.no-lerned"], "unknown option --model.no-lerned; did you mean --model.no-learned?"),
        (["--xyz=3"], "unknown option --xyz; `run.py train --help` lists all"),
        (["stray"], "unexpected argument 'stray'; `run.py train --help` shows what is accepted"),
        (["--agent.inner-steps", "two"], "--agent.inner-steps: 'two' is not a whole number"),
        (["--agent.inner-steps", "1.5"], "--agent.inner-steps: '1.5' is not a whole number"),
        (["--agent.inner-steps", "0"], "--agent: inner_steps must be at least 1, is 0"),
        (["--agent.inner-steps"], "--agent.inner-steps needs a value"),
        (["--agent.goal", "1"], "--agent.goal needs 2 values"),
        (["--agent.steps.rate", "fast"], "--agent.steps.rate: 'fast' is not a number"),
        (["--agent.steps.rate", "nan"], "--agent.steps.rate is nan: a finite number is needed"),
        (["--env.goal", "0", "inf"], "--env.goal[1] is inf: a finite number is needed"),
        (["--agent.limit", "high"], "--agent.limit: 'high' does not fit {{None}}|FLOAT"),
        (
            ["--agent.estimator", "dise"],
            "--agent.estimator: 'dise' cannot be chosen; did you mean 'dice'? (choices: dice, first-order)",
        ),
        (["--device", "tpu"], "--device: 'tpu' cannot be chosen; did you mean 'cpu'? (choices: cpu, cuda)"),
        (["--iterations", "0"], "iterations must be at least 1, is 0"),
        (["--iterations", "-3"], "iterations must be at least 1, is -3"),
        (["--seed", "-1"], "seed must be at least 0, is -1"),
        (["--eval-steps", "0"], "eval-steps must be at least 1, is 0"),
        (["--out", ""], "--out needs a value"),
        (["--out", "x" * 300], f"{'x' * 300}: File name too long"),
        (["--config", "x" * 300], f"{'x' * 300}: File name too long"),
        (["--env", "x" * 300 + ".py"], "env file {cwd}/" + "x" * 300 + ".py: File name too long"),
        (["--agent.foo", "3"], "unknown option --agent.foo; "),
        (["--agent.itrations", "3"], "unknown option --agent.itrations; did you mean --agent."),
        (["--config", "nowhere.json"], "nowhere.json: No such file or directory"),
        (["--config", "net.py"], "net.py: not JSON or cut short: "),
        (["--config", "."], "config.json: No such file or directory"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(calls, capsys, arguments, message):
    given = [*OURS, *arguments]
    assert refused(capsys, given).startswith(message.format(cwd=Path.cwd()))
    assert calls == []


def test_a_configuration_file_with_wrong_values(calls, capsys):
    names = {"env": "place.py", "agent": "learner.py", "model": "net.py"}
    for change, message in (
        ({"sed": 3}, "bad.json: unknown option 'sed'; did you mean 'seed'? "),
        ({"seed": "3"}, "bad.json.seed: expected a whole number, found '3'"),
        (
            {"agent_config": {"inner_step": 3}},
            "bad.json.agent_config: unknown option 'inner_step'; did you mean 'inner_steps'? ",
        ),
        ({"agent_config": {"inner_steps": -3}}, "bad.json.agent_config: inner_steps must be at least 1, is -3"),
    ):
        Path("bad.json").write_text(json.dumps({**names, **change}))
        assert refused(capsys, ["--config", "bad.json"]).startswith(message)
    Path("bad.json").write_text('{"seed": NaN}')
    assert refused(capsys, ["--config", "bad.json"]) == "bad.json: NaN is not a finite number"


def test_a_run_folder_that_exists_is_refused_before_any_work(calls, capsys):
    made = RunFolder.create(default_out(Spec.default("place.py", "learner.py", "net.py")), {"spec": {}})
    assert made.path == Path("runs/place-learner-net-seed0")
    message = f"{made.path} exists and is not empty: give another --out, or --overwrite to replace that run"
    assert refused(capsys, OURS) == message
    assert refused(capsys, [*OURS, "--out", "."]).startswith(". exists and is not empty")
    assert refused(capsys, [*OURS, "--out", ".", "--overwrite"]) == ". is not a run folder: it has no config.json"
    assert refused(capsys, [*OURS, "--out", "net.py"]) == "net.py exists and is not a folder: give another --out"
    assert calls == []
    assert main([*OURS, "--overwrite"]) == 0
    assert trained(calls)[2]["overwrite"] is True


# --- evaluate, resume, list -------------------------------------------------------------------------------------------


def test_evaluate_and_resume_pass_their_options_on(calls):
    folder = RunFolder.create(Path("one"), {"spec": {}}).path
    assert main(["evaluate", "one"]) == 0
    options = ["--steps=2", "--episodes", "5", "--split", "ood", "--seed", "1", "--out", "e.json", "--video"]
    options += ["--noise", "readout=0.1", "--shots", "20", "--noise=bit_flip=0.2"]
    assert main(["evaluate", "--tasks", "7", "one", *options]) == 0
    assert main(["resume", "one"]) == 0
    assert main(["resume", "one", "--iterations", "300"]) == 0
    given = EvaluateOptions(
        run=folder,
        tasks=7,
        steps=2,
        episodes=5,
        split="ood",
        seed=1,
        out=Path("e.json"),
        video=True,
        shots=20,
        noise=("readout=0.1", "bit_flip=0.2"),
    )
    assert calls == [
        ("run_evaluation", (EvaluateOptions(run=folder),), {}),
        ("run_evaluation", (given,), {}),
        ("run_resume", (folder,), {"iterations": None}),
        ("run_resume", (folder,), {"iterations": 300}),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate"], "evaluate needs a run folder: usage is run.py evaluate RUN"),
        (["resume"], "resume needs a run folder: usage is run.py resume RUN"),
        (["evaluate", "nowhere"], "nowhere: there is no such run folder"),
        (["resume", "nowhere"], "nowhere: there is no such run folder"),
        (["evaluate", "."], ". is not a run folder: it has no config.json"),
        (["evaluate", "net.py"], "net.py is not a folder: a run folder is expected"),
        (["evaluate", "one", "--steps", "0"], "--steps must be at least 1, is 0"),
        (["evaluate", "one", "--tasks", "1"], "--tasks must be at least 2, is 1"),
        (["evaluate", "one", "--tasks", "-4"], "--tasks must be at least 2, is -4"),
        (["evaluate", "one", "--seed", str(2**63)], f"--seed must be less than 2**63, is {2**63}"),
        (["evaluate", "one", "--out", ""], "--out needs a value"),
        (["evaluate", "x" * 300], f"{'x' * 300}: File name too long"),
        (["evaluate", "one", "--episodes", "0"], "--episodes must be at least 1, is 0"),
        (["evaluate", "one", "--seed", "-1"], "--seed must be at least 0, is -1"),
        (["evaluate", "one", "--taks", "4"], "unknown option --taks; did you mean --tasks?"),
        (["evaluate", "one", "two"], "unexpected argument 'two'; `run.py evaluate --help` shows what is accepted"),
        (["evaluate", "one", "--split", "tset"], "--split: 'tset' cannot be chosen; did you mean 'test'? (choices: "),
        (["resume", "one", "--iterations", "0"], "--iterations must be at least 1, is 0"),
        (["list", "envs"], "list takes no arguments, found 'envs'"),
        (["plot"], "plot needs run folders: usage is run.py plot RUN ..."),
        (["plot", "one", "nowhere"], "nowhere: there is no such run folder"),
        (["plot", "one", "--against", "step"], "--against: 'step' cannot be chosen; did you mean 'env-steps'?"),
        (
            ["trian"],
            "unknown command 'trian'; did you mean 'train'? (choices: evaluate, export, list, plot, resume, ",
        ),
    ],
)
def test_other_commands_that_cannot_be(calls, capsys, arguments, message):
    RunFolder.create(Path("one"), {"spec": {}})
    assert refused(capsys, arguments).startswith(message)
    assert calls == []


@pytest.mark.parametrize("command", ["evaluate", "resume", "plot", "list"])
def test_help_of_the_other_commands(calls, capsys, command):
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: run.py {command}")
    assert calls == []


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["list"]])
def test_help_and_list_name_every_plug_in_with_its_first_line(capsys, arguments):
    assert main(arguments) == 0
    text = capsys.readouterr().out
    for folder, kind in (("envs", "env"), ("agents", "agent"), ("qrl/models", "model")):
        assert f"(--{kind})" in text
        for path in ROOT.joinpath(folder).glob("[!_]*.py"):
            first = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
            assert re.search(rf"^  {path.stem} +{re.escape(first)}", text, re.MULTILINE), path


def test_a_plug_in_without_its_extra_is_listed_as_such(capsys, monkeypatch):
    from qrl.common.registry import Registry
    from qrl.common.summaries import Summary

    summary = Summary("cheetah", "It runs.", missing=("mujoco",), extra="mujoco")
    broken = Summary("torn", "", broken="invalid syntax (line 1)")
    monkeypatch.setattr(Registry, "available", lambda self: {"cheetah": summary, "torn": broken})
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^  cheetah +It runs\.  \[needs: pip install 'qrl-meta\[mujoco\]'\]$", text, re.MULTILINE)
    assert re.search(r"^  torn +\[unreadable: invalid syntax \(line 1\)\]$", text, re.MULTILINE)


# --- what comes out of a command that fails while it runs -------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("more wires than memory\nallows"), 2, "more wires than memory allows"),
        (TrainingError("iteration 3: the loss is nan"), 1, "iteration 3: the loss is nan"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/file"), 2, "/some/file: No space left on device"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES)), 2, "writing: Permission denied"),
        (OSError(errno.ELOOP, os.strerror(errno.ELOOP), "link"), 2, f"link: {os.strerror(errno.ELOOP)}"),
        (MemoryError(), 2, "not enough memory; use fewer tasks, episodes or wires"),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
                "you tried to allocate 9 bytes. Error code 12 (Cannot allocate memory)"
            ),
            2,
            "not enough memory: DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes. "
            "Error code 12 (Cannot allocate memory); use fewer tasks, episodes or wires",
        ),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            2,
            f"No module named 'torch'; use .venv/bin/python, or install qrl-meta: pip install -e {ROOT}",
        ),
    ],
)
def test_errors_of_a_running_command(calls, capsys, monkeypatch, error, code, message):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(start, "run_training", fail)
    assert refused(capsys, OURS, code) == message


def test_an_interrupt_and_a_bug(calls, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    def bug(*_, **__):
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(start, "run_training", interrupt)
    assert main(OURS) == 130
    monkeypatch.setattr(start, "run_training", bug)
    with pytest.raises(OSError, match="broken disk"):
        main(OURS)


def test_a_reader_that_leaves_early_is_no_error():
    command = f"{sys.executable} run.py --help | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.returncode in (0, 141)


STARTS = {
    "run.py": [str(ROOT / "run.py")],
    "python -m agents": ["-m", "agents"],
    "qrl-meta": ["-c", "import sys, qrl_meta; sys.argv[0] = 'qrl-meta'; sys.exit(qrl_meta.main())"],
}


def started(name, arguments, folder, *path):
    """The command line in a process of its own, started in one of its three ways from another folder."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, *STARTS[name], *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("name", STARTS)
def test_each_way_to_start_it_names_itself(tmp_path, name):
    done = started(name, ["trian"], tmp_path, ROOT)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{name}: error: unknown command 'trian'; did you mean 'train'?")
    done = started(name, ["plot", "--help"], tmp_path, ROOT)
    assert done.returncode == 0 and done.stdout.startswith(f"usage: {name} plot")


@pytest.mark.parametrize("package", ["agents", "envs", "qrl"])
def test_a_package_of_another_project_is_found_at_the_start(tmp_path, package):
    """As openai-agents is, which installs `agents`."""
    init = tmp_path / "site" / package / "__init__.py"
    init.parent.mkdir(parents=True)
    init.write_text("raise ImportError('never imported')")
    done = started("qrl-meta", ["list"], tmp_path, init.parents[1], ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"qrl-meta: error: the package '{package}' found at {init} is another project's")
    assert done.stderr.count("\n") == 1
    # Beside its own packages, run.py finds those first.
    assert started("run.py", ["list"], tmp_path, init.parents[1]).returncode == 0


def test_a_package_of_another_project_in_the_place_of_its_own(tmp_path):
    """Installed into the same folder later, it replaces __init__.py."""
    shutil.copy(ROOT / "qrl_meta.py", tmp_path)
    for package in ("qrl", "envs", "agents"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    assert started("qrl-meta", ["list"], tmp_path, tmp_path).returncode == 0
    (tmp_path / "agents" / "__init__.py").write_text("")
    done = started("qrl-meta", ["list"], tmp_path, tmp_path)
    assert done.returncode == 2 and "the package 'agents' found at" in done.stderr


def test_freed_memory_is_kept():
    program = """
import ctypes
from agents.cli.malloc import keep_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usm fsm uord ford keep".split()]
libc.mallinfo2.restype = Info
def kept():
    before = libc.mallinfo2().arena
    libc.free(libc.malloc(64 << 20))
    return libc.mallinfo2().arena - before > 32 << 20
print(kept(), end=" ")
keep_freed_memory()
print(kept())
"""
    if not hasattr(__import__("ctypes").CDLL(None), "mallinfo2"):
        pytest.skip("this C library cannot tell")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False True\n", done.stderr


def test_the_path_of_the_librarys_own_file_is_its_name():
    spec, _ = parse_train(["--env", bandit.__file__, "--agent", "thompson"])
    assert spec.env == "bandit" and spec.env_config == bandit.Config()


def test_options_without_effect_are_told(tmp_path, capsys):
    """Thompson sampling has no network and does not train; a policy from scratch has one."""
    common = ["--threads", "1", "--eval-tasks", "2", "--eval-episodes", "1"]
    player = ["--env", "bandit", "--agent", "thompson", "--model=gru", "--iterations", "5"]
    assert main([*player, *common, "--out", str(tmp_path / "a")]) == 0
    assert "warning: without effect: --model, --iterations: agent thompson" in capsys.readouterr().err
    scratch = ["--env", "navigation", "--env.horizon", "3", "--agent", "scratch", "--model", "mlp"]
    assert main([*scratch, *common, "--out", str(tmp_path / "b")]) == 0
    assert "without effect" not in capsys.readouterr().err
    assert main([*player[:4], "--eval-steps=2", *common, "--out", str(tmp_path / "c")]) == 0
    assert "warning: without effect: --eval-steps: agent thompson makes no use of it" in capsys.readouterr().err
