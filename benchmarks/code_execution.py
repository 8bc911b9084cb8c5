"""Code execution from files: no run folder, configuration, selector, model, table, … executes a stranger's code.

    python -m benchmarks.code_execution [--quick] [--jobs N]      results/code_execution.json

In each trial, a stranger's file names code in some way, or contains it, and a command or a function of Python reads the
file. The code would leave a mark in the trial's folder. A trial passes if there is no mark, no traceback and no hang.
Control trials consent to the execution, and pass if the mark is there: they show that the code of the others would
leave it.
"""

import itertools
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import agents
import agents.cli.evaluate
import agents.cli.export
import agents.cli.robustness
import agents.experiment.start
import agents.select.command
from agents.cli.main import main as run_command
from benchmarks.fault_injection.forked import TRACEBACK, Outcome, forked, in_parallel
from benchmarks.fault_injection.runs import ROOT
from benchmarks.fault_injection.stranger_studies import FILES
from benchmarks.fault_injection.strangers import (
    LIES,
    NAMES,
    ORIGINALS,
    PICKLES,
    Place,
    change_model_file,
    write_pickle,
)
from benchmarks.shared.common import set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main
from qrl.common.errors import TrainingError, UsageError


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    jobs: int = 2
    """Number of parallel processes [processes]."""

    only: str = ""
    """Make only the attempts whose group contains this text."""


@dataclass(frozen=True)
class Bases:
    """Undamaged files that trials copy."""

    run: Path
    circuit: Path
    selector: Path
    model: Path


Action = Callable[[], int]
"""Function that reads the stranger's file, and returns the exit code."""


@dataclass(frozen=True)
class Trial:
    """One attempt."""

    group: str
    what: str
    prepare: Callable[[Place, Bases], Action]
    """Writes the stranger's files into a place, and returns the action that reads them."""
    executes: bool = False
    """Whether the user has consented, so that the code is to be executed."""


def main(options: Options) -> None:
    """Make every attempt and count executions."""
    set_up(threads=1)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = f"{folder}/state"
        bases = make_bases(Path(folder))
        every = 12 if options.quick else 1
        trials = [each for each in range(0, len(TRIALS), every) if options.only in TRIALS[each].group]
        outcomes = list(in_parallel(partial(attempt, bases, Path(folder)), trials, options.jobs))
    rows = summary([TRIALS[index] for index in trials], outcomes)
    print(table(rows))
    failed = [text for text in outcomes if text.startswith("FAIL")]
    print("\n".join(failed[:20]))
    result = {"trials": len(outcomes), "summary": rows, "failed": failed, "pass": not failed}
    minutes = {"minutes": round((time.perf_counter() - started) / 60, 1)}
    if not options.only:
        write_result("code_execution", result | minutes | {"outcomes": outcomes}, quick=options.quick)
    sys.exit(bool(failed))


def make_bases(folder: Path) -> Bases:
    """Train a perceptron, a circuit, a selector that needs no training, and a Stable-Baselines3 model."""
    few = {"eval_tasks": 2, "eval_steps": 1, "eval_episodes": 2, "threads": 1, "progress": False}
    run, circuit, selector, model = (folder / name for name in ("base", "circuit", "selector", "model.safetensors"))
    sizes = {"env_config": {"horizon": 3}, "agent_config": {"meta_batch": 2, "episodes": 2}, "iterations": 2}
    agents.train(run, model="mlp", **sizes, **few)
    agents.train(circuit, model="reuploading", **sizes, **few)
    agents.train(selector, env="algorithm_selection", agent="nearest_tasks", **few)
    save_model(model)
    return Bases(run, circuit, selector, model)


def save_model(file: Path) -> None:
    """Save an untrained PPO model with a quantum policy."""
    from stable_baselines3 import PPO

    from qrl.sb3 import QuantumActorCriticPolicy, save

    small = {"n_layers": 1, "n_wires": 2}
    save(PPO(QuantumActorCriticPolicy, "CartPole-v1", policy_kwargs=small, n_steps=16, batch_size=8), file)


def attempt(bases: Bases, folder: Path, index: int) -> str:
    """Make an attempt in a folder of its own, and return its outcome in one line."""
    trial = TRIALS[index]
    place = Place(Path(tempfile.mkdtemp(dir=folder)))
    sys.path.insert(0, str(place.folder))
    action = trial.prepare(place, bases)
    outcome = forked(action, place.folder, limit=120)
    sys.path.remove(str(place.folder))
    problem = "" if place.mark.exists() == trial.executes else f"executed: {place.mark.exists()}"
    clean = outcome.code in (0, 1, 2) and TRACEBACK not in outcome.errors
    problem = problem or ("" if clean else str(outcome))
    verdict = f"FAIL ({problem})" if problem else f"exit code {outcome.code}"
    return f"{verdict}: {trial.group}: {trial.what}: {last_line(outcome)}".replace(str(place.folder), "FOLDER")


def last_line(outcome: Outcome) -> str:
    """Return the last line on stderr, shortened."""
    return (outcome.errors.strip().splitlines() or [""])[-1][:200]


def summary(trials: list[Trial], outcomes: list[str]) -> list[dict[str, Any]]:
    """Return a row for each group of trials."""
    rows = []
    for group in dict.fromkeys(trial.group for trial in trials):
        found = [text for trial, text in zip(trials, outcomes, strict=True) if trial.group == group]
        passed = sum(not text.startswith("FAIL") for text in found)
        rows.append({"what": group, "trials": len(found), "as it should be": passed, "pass": passed == len(found)})
    return rows


# --- commands ---------------------------------------------------------------------------------------------------------


def command(*words: object) -> Action:
    """Return the action of a command line."""
    return lambda: run_command([str(word) for word in words])


def python(function: Callable[..., object], *arguments: object, **options: object) -> Action:
    """Return the action of a call of a Python function."""

    def call() -> int:
        try:
            function(*arguments, **options)
        except (UsageError, TrainingError) as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return 2
        return 0

    return call


FEW = ("--tasks", "2", "--episodes", "2")
VIDEO = ("--out", "x.json", "--video", "--compare")
TINY = ("--eval-tasks", "2", "--eval-episodes", "2", "--iterations", "1", "--threads", "1")

RUN_COMMANDS: Mapping[str, Callable[[Path, Bases], Action]] = {
    "evaluate": lambda run, bases: command("evaluate", run, *FEW),
    "resume": lambda run, bases: command("resume", run),
    "export": lambda run, bases: command("export", run),
    "robustness": lambda run, bases: command("robustness", run, *FEW, "--shots", "10", "--strengths", "0.1"),
    "plot": lambda run, bases: command("plot", run, "--out", "new.png"),
    "--config RUN": lambda run, bases: command("--config", run, *TINY, "--out", "again"),
    "--config FILE --help": lambda run, bases: command("train", "--config", run / "config.json", "--help"),
    "select --selector": lambda run, bases: command("select", write_table(run), "--target", "y", "--selector", run),
    "evaluate --compare": lambda run, bases: command("evaluate", bases.run, *FEW, *VIDEO, run),
    "resume --iterations": lambda run, bases: command("resume", run, "--iterations", "3"),
    "agents.load": lambda run, bases: python(agents.load, run),
    "agents.resume": lambda run, bases: python(agents.resume, run),
    "agents.evaluate": lambda run, bases: python(agents.evaluate, str(run)),
}
"""Ways of reading a run folder."""


def write_table(run: Path) -> Path:
    """Write a small CSV file next to a run."""
    file = run.parent / "table.csv"
    file.write_text("x,y\n" + "1,a\n2,b\n" * 60)
    return file


# --- trials -----------------------------------------------------------------------------------------------------------


def names_of_code() -> Iterator[Trial]:
    """Yield runs whose environment, agent or model is the stranger's code, each read by several commands."""
    commands = itertools.cycle(RUN_COMMANDS)
    for (way, name), role in itertools.product(NAMES.items(), ORIGINALS):
        for how in itertools.islice(commands, 5):

            def prepare(place: Place, bases: Bases, name: Any = name, role: str = role, how: str = how) -> Action:
                base = bases.selector if how.startswith("select") else bases.run
                return RUN_COMMANDS[how](place.forge(base, {role: name(place, role)}), bases)

            yield Trial("run folder", f"{role} by {way}, {how}", prepare)


def budgets() -> Iterator[Trial]:
    """Yield runs in which an option of the model names the stranger's code."""
    for (way, name), how in itertools.product(NAMES.items(), ("evaluate", "agents.load")):

        def prepare(place: Place, bases: Bases, name: Any = name, how: str = how) -> Action:
            config = {"budget": f"like:{name(place, 'model')}"}
            return RUN_COMMANDS[how](place.forge(bases.run, {"model_config": config}), bases)

        yield Trial("option of a model", f"budget by {way}, {how}", prepare)


def lies() -> Iterator[Trial]:
    """Yield runs whose configuration says that the code is harmless."""
    for (lie, parts), role in itertools.product(LIES.items(), ORIGINALS):

        def prepare(place: Place, bases: Bases, parts: Any = parts, role: str = role) -> Action:
            run = place.forge(bases.run, {role: str(place.plugin(role, "stranger.py"))}, **parts)
            return RUN_COMMANDS["evaluate"](run, bases)

        yield Trial("lies about origins", f"{role}: {lie}", prepare)


def pickles() -> Iterator[Trial]:
    """Yield runs in which a file is a pickle."""
    files = ("config.json", "metrics.jsonl", "evaluation.json", "state.json", "state.safetensors")
    for file, form, how in itertools.product(files, PICKLES, ("evaluate", "plot", "agents.resume")):

        def prepare(place: Place, bases: Bases, file: str = file, form: str = form, how: str = how) -> Action:
            run = place.forge(bases.run, {})
            found = [run / file] if not file.startswith("state") else list(run.glob(f"checkpoint/*/{file}"))
            for path in found:
                write_pickle(path, place.mark, form)
            return RUN_COMMANDS[how](run, bases)

        yield Trial("pickle in a run folder", f"{file}, {form}, {how}", prepare)


def model_files() -> Iterator[Trial]:
    """Yield Stable-Baselines3 files that are pickles, or name the stranger's code."""

    def load(path: Path) -> Action:
        from qrl import sb3

        return python(sb3.load, path)

    for form in PICKLES:

        def prepare_pickle(place: Place, bases: Bases, form: str = form) -> Action:
            write_pickle(file := place.folder / "model.safetensors", place.mark, form)
            return load(file)

        yield Trial("Stable-Baselines3 file", form, prepare_pickle)
    for key, (way, name) in itertools.product(MODEL_KEYS, NAMES.items()):

        def prepare(place: Place, bases: Bases, key: str = key, name: Any = name) -> Action:
            code, file = name(place, "model"), place.folder / "model.safetensors"
            change_model_file(bases.model, file, lambda content: MODEL_KEYS[key](content, code))
            return load(file)

        yield Trial("Stable-Baselines3 file", f"{key} by {way}", prepare)


MODEL_KEYS: Mapping[str, Callable[[dict[str, Any], str], None]] = {
    "model": lambda content, code: content["policy_options"].update(model=code),
    "budget": lambda content, code: content.update(policy_options={"model": "mlp", "budget": f"like:{code}"}),
    "policy": lambda content, code: content.update(policy=code),
    "activation_fn": lambda content, code: content["policy_options"].update(activation_fn=code),
}
"""Entries of a model's file that may name code."""

TABLES: Mapping[str, str] = {
    "formula": "=cmd|'/c touch EXECUTED'!A0",
    "call": "__import__('pathlib').Path('EXECUTED').touch()",
    "end of a string": "'); __import__('pathlib').Path('EXECUTED').touch(); ('",
    "end of a list": "']; open('EXECUTED', 'w'); ['",
    "end of a docstring": '"""\nopen(\'EXECUTED\', \'w\')\n"""',
    "format": "{open('EXECUTED', 'w')}",
    "escapes": "\\'\\x27+open('EXECUTED','w')+\\'",
    "shell": "$(touch EXECUTED)`touch EXECUTED`; touch EXECUTED",
}
"""Code in the text of a CSV file."""


def tables() -> Iterator[Trial]:
    """Yield CSV files with code in their cells or names; the generated best.py is run, too."""
    for (way, code), where in itertools.product(TABLES.items(), ("column", "target", "cell", "class", "file name")):

        def prepare(place: Place, bases: Bases, code: str = code, where: str = where) -> Action:
            import csv

            texts = {each: code if each == where else each for each in ("column", "target", "cell", "class")}
            name = code.replace("/", "").replace("\n", " ") if where == "file name" else "table"
            file = place.folder / f"{name}.csv"
            with file.open("w", newline="") as opened:
                writer = csv.writer(opened)
                writer.writerow(["number", texts["column"], texts["target"]])
                writer.writerows(
                    [i % 7, texts["cell"] if i % 2 else "x", texts["class"] if i % 2 else "b"] for i in range(120)
                )
            return partial(select_and_refit, file, texts["target"])

        yield Trial("table and generated script", f"{way}, as {where}", prepare)


def select_and_refit(file: Path, target: str) -> int:
    """Select an algorithm, then run the generated script in this process."""
    words = ("--evaluations", "1", "--no-compare", "--out", "out")
    if code := command("select", file, "--target", target, *words)():
        return code
    sys.argv = ["best.py"]
    exec(compile(Path("out/best.py").read_text(), "best.py", "exec"), {"__name__": "__main__"})
    return 0


def other_files() -> Iterator[Trial]:
    """Yield calibrations, observations, and configurations by themselves: pickles, names and code."""
    readers: Mapping[str, Callable[[Path, Bases], Action]] = {
        "--noise calibration": lambda file, bases: command("evaluate", bases.run, "--noise", f"calibration={file}"),
        "--observations": lambda file, bases: command("export", bases.circuit, "--observations", file),
        "--config": lambda file, bases: command("--config", file),
    }
    contents = {f"code: {way}": code for way, code in TABLES.items()}
    for reader, what in itertools.product(readers, [*PICKLES, *contents]):

        def prepare(place: Place, bases: Bases, reader: str = reader, what: str = what) -> Action:
            file = place.folder / "file.json"
            if what in contents:
                file.write_text(contents[what])
            else:
                write_pickle(file, place.mark, what)
            return readers[reader](file, bases)

        yield Trial("other files", f"{reader}: {what}", prepare)


def messages() -> Iterator[Trial]:
    """Yield run folders whose names are commands; every command that a message suggests is executed by a shell."""
    for name in ("$(touch EXECUTED)", "`touch EXECUTED`", "; touch EXECUTED;", "' ; touch EXECUTED; '"):
        for damage in ("config.json", "iterations"):

            def prepare(place: Place, bases: Bases, name: str = name, damage: str = damage) -> Action:
                changes = {"iterations": 10**11} if damage == "iterations" else {}
                run = place.forge(bases.run, changes).rename(place.folder / name)
                if damage == "config.json":
                    (run / "config.json").write_text("{}")
                return partial(follow_advice, run, place)

            yield Trial("advice in a message", f"{damage} of a run called {name}", prepare)


def follow_advice(run: Path, place: Place) -> int:
    """Evaluate a damaged run, and execute the command that the message suggests."""
    done = forked(command("evaluate", run.name, *FEW), place.folder)
    advice = done.errors.strip().rpartition(": ")[2].replace(" N", " 2")
    assert advice.startswith(("rm -f ", "run.py resume ")), done
    script = f"run.py() {{ {shlex.quote(sys.executable)} -c pass; }}\n{advice}"
    return subprocess.run(["bash", "-c", script], cwd=place.folder, check=False).returncode


def folders() -> Iterator[Trial]:
    """Yield folders in which a command is started, and whose files have the names of modules or settings."""
    code = "open({mark!r}, 'w').close()\n"
    files = {
        **{
            f"{name}.py": code
            for name in ("torch", "envs", "json", "sitecustomize", "usercustomize", "strange_backend")
        },
        **{f"{name}/__init__.py": code for name in ("agents", "qrl", "numpy", "matplotlib")},
        "matplotlibrc": "backend: module://strange_backend\n",
        "config.toml": "[default.qubit.global]\nshots = 1\n",
        "run/navigation.py": code,
    }
    for how in ("evaluate", "plot"):

        def prepare(place: Place, bases: Bases, how: str = how) -> Action:
            place.forge(bases.run, {})
            for name, text in files.items():
                (place.folder / name).parent.mkdir(exist_ok=True)
                (place.folder / name).write_text(text.format(mark=str(place.mark)) if name.endswith(".py") else text)
            words = ["evaluate", "run", *FEW] if how == "evaluate" else ["plot", "run", "--out", "new.png"]
            process = [sys.executable, str(ROOT / "run.py"), *words]
            return lambda: subprocess.run(process, env=os.environ | {"PYTHONPATH": ""}, check=False).returncode

        yield Trial("working directory", f"{how} in a folder of modules and settings", prepare)


def studies() -> Iterator[Trial]:
    """Yield files of studies and searches that name the stranger's code."""
    ways, roles = itertools.cycle(NAMES.items()), itertools.cycle(ORIGINALS)
    for (reader, write), (way, name) in ((each, next(ways)) for each in FILES.items() for _ in range(5)):
        role = "model" if "budget" in reader else next(roles)

        def prepare(place: Place, bases: Bases, write: Any = write, name: Any = name, role: str = role) -> Action:
            return command(*write(place, bases.run, role, name(place, role)))

        yield Trial("studies and searches", f"{reader}: {role} by {way}", prepare)


def controls() -> Iterator[Trial]:
    """Yield trials in which the user consents, so that the code is executed."""
    for role in ORIGINALS:

        def prepare(place: Place, bases: Bases, role: str = role, name: bool = False) -> Action:
            code = str(place.plugin(role, "stranger.py"))
            run = place.forge(bases.run, {role: code})
            return command("evaluate", run, *FEW, *([f"--{role}", code] if name else ["--trust"]))

        yield Trial("control: consent", f"{role}, --trust", prepare, executes=True)
        yield Trial("control: consent", f"{role}, by name", partial(prepare, name=True), executes=True)

    for reader in ("study file", "train --config best.json", "tune --config best.json"):

        def consent(place: Place, bases: Bases, reader: str = reader) -> Action:
            words = FILES[reader](place, bases.run, "model", str(place.plugin("model", "stranger.py")))
            return command(*words, "--trust")

        yield Trial("control: consent", f"{reader}, --trust", consent, executes=True)

    def load_trusted(place: Place, bases: Bases) -> Action:
        code, file = str(place.plugin("model", "stranger.py")), place.folder / "model.safetensors"
        change_model_file(bases.model, file, lambda content: MODEL_KEYS["budget"](content, code))
        from qrl import sb3

        return python(sb3.load, file, trust=True)

    yield Trial("control: consent", "Stable-Baselines3 file, trust=True", load_trusted, executes=True)


TRIALS = [
    *names_of_code(),
    *budgets(),
    *lies(),
    *pickles(),
    *model_files(),
    *tables(),
    *other_files(),
    *messages(),
    *folders(),
    *studies(),
    *controls(),
]
"""All trials, in a fixed order: worker processes find a trial by its index."""

if __name__ == "__main__":
    run_main(main, Options, __doc__)
