"""Bad command lines of every command, and the folder in which they run."""

import itertools
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from agents.cli.main import main as run_command_line

Line = list[str]

SMALL = [
    *("--env.horizon", "3", "--agent.meta-batch", "2", "--agent.episodes", "2", "--iterations", "2"),
    *("--eval-tasks", "2", "--eval-episodes", "2", "--threads", "1"),
]
"""Options of a run of a second."""

RUNS = {
    "nav": ["--env", "navigation", "--agent", "maml", "--model", "reuploading"],
    "control": ["--env", "navigation", "--agent", "maml", "--model", "mlp"],
    "bandit": ["--env", "bandit", "--agent", "rl2", "--model", "gru", "--agent.minibatches", "1"],
}

HUGE, LARGE = "9" * 25, "9" * 5000
"""Numbers beyond 64 bits, and beyond what Python converts."""

NOT_COUNTS = ("-1", HUGE, f"-{HUGE}", LARGE, "1.5", "1e400", "nan", "inf", "", "three", "٣x", "1 2", "0x10")
NOT_FLOATS = ("1e400", "-1e400", "nan", "-inf", LARGE, "", "fast", "1,5", "1\x00", "\udcff")
NOT_NAMES = ("", "nonsense", "a\nb", "\x1b[31mred", "\x00", "\udcff", "x" * 300, "../nav", "ünïcode", ".", "nav.py:")
NOT_RUNS = (
    *("", "missing", "file", "empty", "foreign", "table.csv", "file/inside", "\x00", "\udcff", "x" * 300),
    *("no_checkpoint", "broken_config", "other_version", "loop", "a\nb"),
)
NOT_OUT = ("", "file/inside.json", "\x00.json", "x" * 300 + ".json", "/proc/nothing/out.json", "nav.json")


def prepare(work: Path) -> None:
    """Write the runs, tables and damaged files that the command lines name into a folder, the current one."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        for name, options in RUNS.items():
            assert run_command_line(["train", *options, *SMALL, "--out", name]) == 0
    Path("file").write_text("text\n")
    Path("nav.json").write_text("{}\n")
    Path("empty").mkdir()
    Path("foreign").mkdir()
    Path("foreign", "notes.txt").write_text("mine\n")
    Path("loop").symlink_to("loop")
    rows = "".join(f"{index % 7},{index % 3},{'ab'[index % 2]}\n" for index in range(60))
    Path("table.csv").write_text(f"x,z,label\n{rows}")
    Path("header.csv").write_text("x,z,label\n")
    Path("nothing.csv").write_text("")
    Path("binary.csv").write_bytes(bytes(range(256)) * 8)
    Path("one_class.csv").write_text("x,label\n" + "1,a\n" * 60)
    Path("mine.py").write_text('"""Mine."""\nraise RuntimeError("two\\nlines")\n')
    Path("syntax.py").write_text("def (\n")
    for name in ("no_checkpoint", "broken_config", "other_version"):
        shutil.copytree("nav", name)
    shutil.rmtree(Path("no_checkpoint", "checkpoint"))
    Path("broken_config", "config.json").write_text("{")
    Path("other_version", "config.json").write_text("[1, 2]")
    for name, content in CONFIGURATIONS.items():
        Path(f"{name}.json").write_text(content)
    for name, content in OBSERVATIONS.items():
        Path(f"{name}.json").write_text(json.dumps(content))


CONFIGURATIONS = {
    "not_json": "{",
    "no_object": "[1]",
    "unknown_key": '{"iteratons": 3}',
    "huge_number": f'{{"iterations": {HUGE}}}',
    "huger_number": f'{{"iterations": {LARGE}}}',
    "not_a_number": '{"iterations": NaN}',
    "infinite": '{"agent_config": {"lr_angles": 1e400}}',
    "wrong_type": '{"env": 3}',
    "null_name": '{"env": "\\u0000"}',
    "half_a_character": '{"env": "\\ud800"}',
    "deep": "[" * 100_000 + "]" * 100_000,
    "huge_option": f'{{"agent_config": {{"meta_batch": {HUGE}}}}}',
    "huge_float": f'{{"agent_config": {{"lr_angles": {"9" * 400}}}}}',
    "list_as_option": '{"agent_config": [1]}',
}
"""Contents of files for --config."""

OBSERVATIONS = {
    "no_list": {"a": 1},
    "no_entries": [],
    "wrong_width": [[1.0]],
    "words": [["a", "b"]],
    "ragged": [[1.0, [2.0]]],
    "no_number": [[None, 1.0]],
    "not_finite": [[1e308 * 10, 0.0]],
}
"""Contents of files for --observations."""


def each(options: Iterable[str], values: Iterable[str], before: Line) -> Iterator[Line]:
    """Yield a command line for every option and value."""
    for option, value in itertools.product(options, values):
        yield [*before, option, value]


def train() -> Iterator[Line]:
    """Yield bad command lines of `train`."""
    quick = ["train", "--threads", "1", "--out", "new", "--iterations", "1"]
    for role, value in itertools.product(("--env", "--agent", "--model", "--backend", "--device"), NOT_NAMES):
        if (role, value) != ("--backend", "."):
            yield [*quick, role, value]
    counts = ("--iterations", "--seed", "--shots", "--threads", "--checkpoint-every", "--eval-tasks", "--eval-steps")
    for option, value in itertools.product((*counts, "--eval-episodes"), NOT_COUNTS):
        yield ["train", "--out", "new", option, value]
    plugins = ("--env.horizon", "--agent.meta-batch", "--agent.inner-steps", "--model.n-wires", "--model.n-layers")
    yield from each((*plugins, "--agent.chunk-tasks"), NOT_COUNTS, quick)
    floats = ("--agent.lr-angles", "--agent.inner-step-size", "--agent.discount", "--policy.readout-gain")
    yield from each(floats, NOT_FLOATS, quick)
    yield from each(("--model.hidden",), ("0", "-1", HUGE, "x", "10000000"), [*quick, "--model", "mlp"])
    yield from each(
        ("--model.budget",), (*NOT_COUNTS, "0", "3", "auto", "like:", "like:nothing"), [*quick, "--model", "mlp"]
    )
    likes = ("like:reuploading,3", f"like:reuploading,n_layers={HUGE}", "like:reuploading,initial_scale=x")
    yield from each(("--model.budget",), likes, [*quick, "--model", "mlp"])
    too_large = {
        "--model.n-wires": ("30", "64"),
        "--agent.meta-batch": ("10000000", "1000000"),
        "--agent.episodes": ("10000000",),
        "--agent.inner-steps": ("10000000",),
        "--env.horizon": ("1000000", "10000000"),
        "--eval-episodes": ("100000000",),
        "--eval-steps": ("10000",),
    }
    for option, values in too_large.items():
        many = ["--eval-tasks", "1000000"] if option == "--eval-steps" else []
        yield from each([option], values, [*quick, *many])
    ranges = ("gravity", "gravity=", "=1:2", "gravity=2:1", "gravity=nan:1", "gravity=0:1e400", "gravity=int:0:1e30",
              "gravity=int:0:1.5", "gravity=log:0:1", "gravity=x", "gravty=1:2", "gravity=1:2:3", "gravity=\x00",
              f"gravity=0:{HUGE}{HUGE * 20}", f"gravity=int:0:{HUGE}", "gravity=,", "gravity=1,1")  # fmt: skip
    yield from each(("--vary", "--ood"), ranges, [*quick, "--env", "CartPole-v1"])
    yield from each(
        ("--workers", "--env.horizon"), NOT_COUNTS, [*quick, "--env", "CartPole-v1", "--vary", "gravity=5:15"]
    )
    noises = ("depolarizing", "depolarizing=", "depolarizing=2", "depolarizing=-1", "depolarizing=nan", "x=0.1",
              f"depolarizing={HUGE}", "depolarizing=1e400", "calibration=missing.json", "calibration=file",
              "calibration=", "readout=0.1 readout=0.2", "\x00", "\udcff=1")  # fmt: skip
    yield from each(("--noise",), noises, quick)
    devices = ("pennylane:", "pennylane:nothing", "pennylane:default.qubit,shots=-1", "pennylane:default.qubit,x",
               f"pennylane:default.qubit,shots={HUGE}", "pennylane:default.qubit,wires=1e400", "default.qubit",
               "pennylane:default.qubit,nonsense=1", "pennylane:\x00")  # fmt: skip
    yield from each(("--backend",), devices, quick)
    yield from each(
        ("--config",),
        (*(name for name in NOT_RUNS if name != "no_checkpoint"), *(f"{name}.json" for name in CONFIGURATIONS)),
        ["train", "--out", "new"],
    )
    yield from each(
        ("--out",), ("nav", "file", "file/inside", "foreign", "\x00", "x" * 300, "/proc/x/y", "loop"), quick[:3]
    )
    for line in (
        ["--agent", "scratch", "--agent.lr-angles", "3"],
        ["--model", "mlp", "--model.n-wires", "3"],
        ["--env.arms", "3"],
        ["--nonsense"],
        ["--iteratons", "3"],
        ["--env"],
        ["--env", "navigation", "extra"],
        ["--agent.estimator", "dicee"],
        ["--agent.outer", "trpo", "--agent.clip", "0.3"],
        ["--agent.estimator", "lvc", "--agent.dice-lambda", "0.5"],
        ["--agent.episodes", "1"],
        ["--policy.head", "categorical"],
        ["--policy.nonsense", "1"],
        ["--agent", "rl2", "--model", "reuploading"],
        ["--agent", "maml", "--model", "gru"],
        ["--agent", "rl2", "--agent.trials", "3", "--agent.meta-batch", "4"],
        ["--agent", "ucb1"],
        ["--agent", "grape"],
        ["--model", "mlp", "--shots", "10"],
        ["--env", "mine.py"],
        ["--agent", "syntax.py"],
        ["--env", "CartPole-v99"],
        ["--vary", "gravity=1:2"],
        ["--device", "cuda"],
        ["--noise", "depolarizing=0.1", "--model.n-wires", "20"],
    ):
        yield [*quick, *line]


def evaluate() -> Iterator[Line]:
    """Yield bad command lines of `evaluate`."""
    yield ["evaluate"]
    yield from (["evaluate", run] for run in NOT_RUNS)
    yield from each(
        ("--tasks", "--steps", "--episodes", "--seed", "--shots", "--video-tasks"), NOT_COUNTS, ["evaluate", "nav"]
    )
    yield from each(("--split", "--backend", "--noise"), NOT_NAMES, ["evaluate", "nav"])
    yield from each(("--out",), NOT_OUT, ["evaluate", "nav"])
    for line in (
        ["--tasks", "1"],
        ["--tasks", "100000000"],
        ["--tasks", "1000000", "--steps", "10000"],
        ["--episodes", "1"],
        ["--episodes", "100000", "--steps", "10000"],
        ["--compare", "control"],
        ["--video", "--compare", "missing"],
        ["--video", "--compare", "bandit"],
        ["--trail"],
        ["--out", "new.txt"],
        ["--nonsense", "3"],
        ["--tasks"],
        ["extra"],
    ):
        yield ["evaluate", "nav", *line]
    yield ["evaluate", "bandit", "--steps", "3"]
    yield ["evaluate", "bandit", "--shots", "10"]
    yield ["evaluate", "bandit", "--split", "ood"]


def resume() -> Iterator[Line]:
    """Yield bad command lines of `resume`."""
    yield ["resume"]
    yield from (["resume", run] for run in NOT_RUNS if run != "no_checkpoint")
    yield from each(("--iterations",), (*NOT_COUNTS, "1", "0", "99999999"), ["resume", "nav"])
    yield ["resume", "nav", "--agent.lr-angles", "3"]
    yield ["resume", "nav", "bandit"]


def robustness() -> Iterator[Line]:
    """Yield bad command lines of `robustness`."""
    yield ["robustness"]
    yield from (["robustness", run] for run in NOT_RUNS)
    yield from each(("--tasks", "--steps", "--episodes", "--seed", "--shots"), NOT_COUNTS, ["robustness", "nav"])
    yield from each(("--strengths",), (*NOT_FLOATS, "2", "-1"), ["robustness", "nav"])
    yield from each(("--noise",), (*NOT_NAMES, "depolarizing=0.1"), ["robustness", "nav"])
    yield from each(("--out",), NOT_OUT, ["robustness", "nav"])
    yield ["robustness", "nav", "--shots", "0"]
    yield ["robustness", "bandit"]


def export() -> Iterator[Line]:
    """Yield bad command lines of `export`."""
    yield ["export"]
    yield from (["export", run] for run in NOT_RUNS)
    yield from each(("--steps", "--episodes", "--seed", "--task"), NOT_COUNTS, ["export", "nav"])
    yield from each(("--format", "--split"), NOT_NAMES, ["export", "nav"])
    files = ("missing", "file", "nav", "", "\x00", *(f"{name}.json" for name in OBSERVATIONS))
    yield from each(("--observations",), files, ["export", "nav"])
    yield from each(("--out",), ("nav", "file", "file/inside", "\x00", "/proc/x/y", "x" * 300), ["export", "nav"])
    yield ["export", "nav", "--task", "100000000"]
    yield ["export", "bandit", "--steps", "2"]


def plot() -> Iterator[Line]:
    """Yield bad command lines of `plot`."""
    yield ["plot"]
    yield from (["plot", run, "nav", "--out", "new.png"] for run in NOT_RUNS if run != "no_checkpoint")
    yield from each(("--against", "--split"), NOT_NAMES, ["plot", "nav"])
    yield from each(
        ("--out",),
        ("", "new", "new.txt", "file/x.png", "\x00.png", "/proc/x.png", "nav", "x" * 300 + ".png"),
        ["plot", "nav"],
    )
    yield ["plot", "nav", "nav", "--out", "new.png"]
    yield ["plot", "nav", "--split", "ood", "--out", "new.png"]


def select() -> Iterator[Line]:
    """Yield bad command lines of `select`."""
    yield ["select"]
    yield ["select", "table.csv"]
    files = (
        "",
        "missing.csv",
        "header.csv",
        "nothing.csv",
        "binary.csv",
        "one_class.csv",
        "nav",
        "\x00",
        "\udcff.csv",
        "loop",
    )
    yield from (["select", file, "--target", "label"] for file in files)
    begin = ["select", "table.csv", "--target", "label", "--out", "new"]
    yield from each(("--evaluations", "--rows", "--bins"), NOT_COUNTS, begin)
    yield from each(("--ignore",), ("nothing", "label", "\x00"), begin)
    yield from each(("--target",), ("", "labl", "\x00", "a\nb"), ["select", "table.csv", "--out", "new"])
    yield from each(("--selector",), (*NOT_RUNS, "nav"), begin)
    yield from each(("--out",), ("nav", "file", "file/inside", "\x00", "/proc/x/y"), begin[:4])
    yield [*begin, "--bins", "3"]
    yield [*begin, "--ignore", "x", "z"]


def other() -> Iterator[Line]:
    """Yield bad command lines of `list` and of commands that do not exist."""
    yield from (["list", word] for word in ("envs", "--nonsense", "", "\x00"))
    yield from (
        [word] for word in ("trian", "Train", "evaluat", "", " ", "\x00", "\udcff", "\x1b[31m", "nav", "x" * 300)
    )
    yield from ([word] for word in ("--nonsense", "-x", "--env.", "--", "-", "---", "--\udcff"))


CASES: dict[str, list[Line]] = {
    function.__name__: list(function())
    for function in (train, evaluate, resume, robustness, export, plot, select, other)
}
"""Bad command lines by command."""
