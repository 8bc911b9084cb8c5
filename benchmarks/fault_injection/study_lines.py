"""Bad command lines of studies, searches and shards, and what they name in the current folder.

A line may begin with environment variables, as those of `torchrun`: WORLD_SIZE=3 without RANK starts three processes.
MISSING=optuna hides a package.
"""

import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from agents.cli.main import main as run_command_line
from benchmarks.fault_injection.bad_study_files import JOURNALS, STUDY_TABLES
from benchmarks.fault_injection.command_lines import (
    HUGE,
    LARGE,
    NOT_COUNTS,
    NOT_FLOATS,
    NOT_NAMES,
    NOT_RUNS,
    Line,
    each,
)
from benchmarks.fault_injection.damaged_files import SEARCH_FILES, STUDY_FILES, damaged_folders

TINY = [
    *("--env", "navigation", "--model", "mlp", "--iterations", "2", "--env.horizon", "3", "--threads", "1"),
    *("--agent.meta-batch", "2", "--agent.episodes", "3", "--eval-tasks", "3", "--eval-episodes", "2"),
]
TUNED = ["--tune-tasks", "2", "--held-out-seeds", "2", "--tune", "agent.clip=0.1:0.4"]
SEARCH = ["tune", *TINY, *TUNED, "--trials", "2"]
STUDY = ["sweep", *TINY, "--seeds", "2"]

NOT_OUT = ("", "file", "file/inside", "foreign", "\x00", "x" * 300, "/proc/nothing/new", "loop", "nav")
"""Folders in which no study or search can be begun, besides that of the other kind."""


def prepare(work: Path) -> None:
    """Write a study, searches, their damaged copies, study files and foreign storages into the current folder."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        assert run_command_line([*SEARCH, "--out", "search"]) == 0
        assert run_command_line([*SEARCH, "--out", "other_search", "--storage", "sqlite:///search.db"]) == 0
        assert run_command_line([*STUDY, "--out", "study"]) == 0
    damaged_folders(Path("search"), SEARCH_FILES)
    damaged_folders(Path("study"), STUDY_FILES)
    for name, content in STUDY_TABLES.items():
        Path(f"{name}.toml").write_bytes(content)
    for name, data in JOURNALS.items():
        Path(f"{name}.log").write_bytes(data)
    with closing(sqlite3.connect("songs.db")) as database:
        database.execute("create table songs (title text)")
    shutil.copy("search.db", "cut.db")
    with Path("cut.db").open("r+b") as file:
        file.truncate(5000)
    with closing(sqlite3.connect("hollow.db")) as database:
        database.execute("create table studies (study_id integer)")
    Path("old.db").write_bytes(Path("search.db").read_bytes())
    with closing(sqlite3.connect("old.db")) as database, database:
        database.execute("update version_info set schema_version = 99")
        database.execute("update alembic_version set version_num = 'v99'")


def tune() -> Iterator[Line]:
    """Yield bad command lines of `tune`."""
    bare = ["tune", *TINY, "--out", "new"]
    quick = [*bare, *TUNED]
    counts = ("--trials", "--tune-seeds", "--tune-tasks", "--held-out-seeds", "--iterations", "--seed", "--jobs")
    yield from each((*counts, "--score-every", "--shards"), NOT_COUNTS, quick)
    yield from each(("--trials", "--tune-seeds", "--tune-tasks", "--iterations", "--jobs", "--shards"), ("0",), quick)
    yield from each(("--env", "--agent", "--model"), NOT_NAMES, quick)
    ranges = ("", "clip", "agent", "agent.", ".clip", "agent.clip=", "=0.1:0.4", "agent.clip=0.4:0.1", "agent.clip=:",
              "agent.clip=0.1:0.1", "agent.clip=nan:1", "agent.clip=0.1:1e400", "agent.clip=0.1:0.4:lin",
              "agent.clip=0.1:0.4:log:log", "agent.clip=-1:1", "agent.clip=0:0.4:log", "agent.clip=,", "agent.clip=x,y",
              "agent.clip=0.1,0.1", "agent.clp=0.1:0.4", "agent.episodes", "agent.episodes=1.5:3", "agent.episodes=0:3",
              f"agent.episodes=1:{HUGE}", f"agent.clip=0:{LARGE}", f"agent.episodes={LARGE},3", "agent.estimator=0:1",
              "agent.estimator=dice,dicee", "env.horizon=3:5", "env.horizon", "model.n-wires=2:4", "model.hidden",
              "model.hidden=3:5", "policy.nonsense", "iterations=1:3", "iterations", "agent.__class__=1,2",
              "\x00", "\udcff", "agent.clip=\x00,1", "a\nb", "x" * 300)  # fmt: skip
    yield from each(("--tune",), ranges, bare)
    yield [*bare, "--tune"]
    yield [*bare, "--tune", "agent.clip", "agent.clip=0.1:0.4"]
    yield [*bare, "--tune", "agent.clip", "--tune", "agent.clip"]
    urls = ("redis://localhost:6379/0", "rediss://localhost/0", "redis+sentinel://x", "Redis://localhost", "sqlite:",
            "sqlite://", "sqlite:///:memory:", "sqlite:////proc/nothing/x.db", "sqlite:///file", "sqlite:///nav",
            "sqlite:///file/x.db", "sqlite:///songs.db", "sqlite:///cut.db", "sqlite:///hollow.db", "sqlite:///old.db",
            "sqlite:///loop", "sqlite+nosuch:///new.db", "sqlite:///\x00",
            f"sqlite:///{'x' * 300}", "sqlite:///nav/config.json", "sqlite:///file/x.db?uri=true",
            "postgresql://me:secret@127.0.0.1:1/x", "mysql://me:secret@127.0.0.1:1/x", "nosuch://host/x", "://", "http",
            "postgresql://me:secret@127.0.0.1:port/x", "", "file", "search.log", "studies/x.log")  # fmt: skip
    journals = ("", "file", "nav", "file/x.log", "/proc/nothing/x.log", "\x00", "\udcff", "x" * 300, "loop", "/",
                "search.db", "table.csv", "nav/config.json", *(f"{name}.log" for name in JOURNALS))  # fmt: skip
    yield from each(("--storage",), (*urls, *(f"journal:{name}" for name in journals)), quick)
    yield from each(("--out",), (*NOT_OUT, "study"), quick[: -len(TUNED) - 2])
    yield from each(("--ray",), NOT_ADDRESSES, quick)
    for name in damaged("search", SEARCH_FILES, refused="tune"):
        yield ["tune", *TINY, *TUNED, "--trials", "3", "--out", name]
    yield ["tune", *TINY, "--tune", "agent.clip=0.1:0.3", "--out", "search"]
    yield ["tune", *TINY, *TUNED, "--seed", "1", "--out", "search"]
    yield ["tune", *TINY, *TUNED, "--tune-tasks", "3", "--out", "search"]
    yield ["tune", *TINY, *TUNED, "--model", "fourier", "--out", "search"]
    yield [*quick, "--tune-tasks", "3", "--storage", "sqlite:///search.db"]
    yield [*SEARCH, "--out", "other_search"]
    yield [*SEARCH, "--out", "search", "--storage", "sqlite:///search.db"]
    for line in (
        ["--trails", "3"],
        ["--storge", "journal:x.log"],
        ["--tune-seed", "3"],
        ["--iteratons", "3"],
        ["--agent.clp", "0.1"],
        ["--trials"],
        ["--storage"],
        ["--nonsense"],
        ["--seeds", "3"],
        ["--overwrite"],
        ["--track", "tensorboard"],
        ["--from", "control"],
        ["--validate-every", "2"],
        ["--patience", "2"],
        ["--config", "missing"],
        ["--config", "broken_config"],
        ["--config", "search"],
        ["--config", "study"],
        ["--config", "search/search.json"],
        ["--agent", "random"],
        ["--agent", "ucb1"],
        ["--model", "gru"],
        ["--env", "mine.py"],
        ["--agent", "syntax.py"],
        ["--noise", "depolarizing=0.1"],
        ["--agent.meta-batch", "3", "--shards", "2"],
        ["--take-over", "yes"],
    ):
        yield [*quick, *line]
    yield ["tune", "search"]
    yield ["tune", "\x00"]
    yield ["MISSING=optuna", *quick]
    yield ["MISSING=optuna", "tune"]


NOT_ADDRESSES = ("", "host", "10.0.0.1", "ray://10.0.0.1:6379", "http://h:1", "local", ":1", "a:b", "host:", "host:-1",
                 "h:99999", "a b:1", "\x00", "\udcff:1", "x" * 300, "AUTO", "h:1:2", "h:\u0663")  # fmt: skip
SILENT = "127.0.0.1:1"
"""Address at which no Ray answers."""


def sweep() -> Iterator[Line]:
    """Yield bad command lines of `sweep`."""
    quick = ["sweep", *TINY, "--out", "new"]
    yield from each(("--seeds",), (*NOT_COUNTS, "0", "1,1", "1,", "-1,2", "1;2", "10001", f"1,{HUGE}"), quick)
    yield from each(("--seed",), NOT_COUNTS, quick)
    yield from each(("--jobs",), (*NOT_COUNTS, "0", "100000"), quick)
    yield from each(("--envs", "--agents", "--models"), (*NOT_NAMES, ",", "mlp,,mlp", "nonsense,other"), quick[:1])
    yield from each(("--models",), ("mlp,mlp", "mlp,mlpp", "mlp,gru", "mlp;fourier"), ["sweep", "--out", "new"])
    grids = ("", "=", "agent.inner-steps", "agent.inner-steps=", "=1,2", "agent.inner-steps=1,,2", "seeds=1,2",
             "agent.inner-steps=1,1", "agent.inner-steps=0,1", "agent.iner-steps=1,2", "agent.inner-steps=1,x",
             "out=a,b", "jobs=1,2", "ray=true,false", "models=mlp,fourier", "model=mlp,fourier", "\x00=1,2", "a b=1,2",
             f"agent.inner-steps=1,{HUGE}", f"agent.inner-steps={LARGE},1", "env.horizon=3,\x00", "--=1,2",
             "iterations=" + ",".join(map(str, range(1, 10_003))))  # fmt: skip
    yield from each(("--grid",), grids, quick)
    yield [*quick, "--grid", "agent.inner-steps=1,2", "--grid", "agent.inner-steps=3"]
    yield [*quick, "--grid"]
    yield from each(("--out",), (*NOT_OUT, "search"), quick[:-2])
    yield from each(("--ray",), NOT_ADDRESSES, quick)
    yield [*quick, "--ray", SILENT]
    yield ["sweep", "--ray", SILENT, "--seeds", "0"]
    for file in (*(f"{name}.toml" for name in STUDY_TABLES), "missing.toml", "nav", "study", "loop", "", "x" * 300):
        yield ["sweep", file, "--out", "new"]
    for name in damaged("study", STUDY_FILES, refused="sweep"):
        yield [*STUDY, "--out", name]
    yield [*STUDY, "--out", "study", "--iterations", "3"]
    for line in (
        ["--seed", "1", "--seeds", "3"],
        ["--model", "mlp", "--models", "mlp,fourier"],
        ["--sedes", "3"],
        ["--jbos", "3"],
        ["--iteratons", "3"],
        ["--shards", "3"],
        ["--seeds"],
        ["--config", "missing"],
        ["--from", "missing"],
        ["--agent", "mine.py"],
        ["--trials", "3"],
    ):
        yield [*quick, *line]
    yield ["sweep", "--envs", "navigation,cartpole"]
    yield ["sweep", "not_toml.toml", "extra.toml"]
    yield ["MISSING=ray", *quick, "--ray"]
    yield ["MISSING=ray", *quick, "--ray", SILENT]
    yield ["MISSING=ray", "train", *TINY, "--out", "new", "--seeds", "2", "--ray"]
    yield ["train", *TINY, "--out", "new", "--ray"]
    yield ["train", *TINY, "--out", "new", "--ray", SILENT, "--seeds", "2"]
    yield ["train", *TINY, "--out", "new", "--jobs", "2"]
    yield ["train", *TINY, "--out", "new", "--seeds", "2", "--jobs", "0"]


def compare() -> Iterator[Line]:
    """Yield bad command lines of `compare`."""
    yield ["compare"]
    yield from (["compare", run] for run in NOT_RUNS if run != "no_checkpoint")
    yield from (["compare", "nav", run] for run in ("missing", "empty", "foreign", "broken_config", "bandit"))
    yield ["compare", "search"]
    yield from (["compare", name] for name in damaged("study", STUDY_FILES, refused="compare"))
    yield from each(("--at",), (*NOT_COUNTS, "99"), ["compare", "nav", "control"])
    yield from each(("--epsilon", "--delta"), (*NOT_FLOATS, "2", "-1"), ["compare", "nav", "control"])
    yield from each(("--threshold",), NOT_FLOATS, ["compare", "nav", "control"])
    yield from each(("--split", "--checkpoint", "--reference"), NOT_NAMES, ["compare", "nav", "control"])
    yield from each(
        ("--out",),
        ("", "new", "new.txt", "file/x.html", "\x00.html", "/proc/x.html", "nav", "nav.json", "x" * 300 + ".csv"),
        ["compare", "nav", "control"],
    )
    for line in (
        ["--out", "a.html", "a.html"],
        ["--video"],
        ["--video", "--out", "new.csv"],
        ["--split", "ood"],
        ["--checkpoint", "best"],
        ["--refrence", "mlp"],
        ["--at"],
        ["--nonsense"],
    ):
        yield ["compare", "nav", "control", *line]


def report() -> Iterator[Line]:
    """Yield bad command lines of `report`, on a run and on a search."""
    yield ["report"]
    yield from (["report", run] for run in NOT_RUNS if run != "no_checkpoint")
    yield from (["report", name] for name in damaged("search", SEARCH_FILES, refused="report"))
    yield ["report", "study"]
    outs = ("", "new", "new.txt", "file/x.html", "\x00.html", "/proc/x.html", "nav", "nav.json", "x" * 300 + ".html")
    for path in ("nav", "search"):
        yield from each(("--out",), outs, ["report", path])
        yield from each(("--at",), NOT_COUNTS, ["report", path])
        yield from each(("--threshold",), NOT_FLOATS, ["report", path])
        yield from each(("--split", "--checkpoint"), NOT_NAMES, ["report", path])
        yield ["report", path, "--nonsense"]
        yield ["report", path, "extra"]
    for line in (["--at", "1"], ["--threshold", "1"], ["--video"], ["--out", "new.csv"], ["--outt", "new.html"]):
        yield ["report", "search", *line]


def draw() -> Iterator[Line]:
    """Yield bad command lines of `draw` on a run, and on a model with options."""
    yield from (["draw", name] for name in (*NOT_NAMES, "search", "study", "control", "bandit", "mlp", "mine.py"))
    yield from each(("--env", "--agent"), NOT_NAMES, ["draw", "reuploading"])
    yield from each(("--model.n-wires", "--model.n-layers"), (*NOT_COUNTS, "0"), ["draw", "reuploading"])
    yield from each(
        ("--out",), ("", "a", "nav", "file/x.png", "\x00.png", "/proc/x.png", "nav.json"), ["draw", "reuploading"]
    )
    for line in (
        ["--iterations", "3"],
        ["--model.n-wirs", "3"],
        ["--model", "mlp"],
        ["--env.horizon", "0"],
        ["--agent", "ucb1"],
        ["--nonsense"],
        ["extra"],
        ["--out"],
        ["--trust"],
    ):
        yield ["draw", "reuploading", *line]
    yield ["draw", "nav", "--model.n-wires", "3"]
    yield ["draw", "nav", "--iterations", "3"]


def shards() -> Iterator[Line]:
    """Yield bad command lines of `train --shards`, alone and as `torchrun` starts it."""
    quick = ["train", *TINY, "--agent.meta-batch", "4", "--out", "new"]
    yield from each(("--shards",), (*NOT_COUNTS, "0", "3", "5", "8", "1000000"), quick)
    yield [*quick, "--shards"]
    yield [*quick, "--shrads", "2"]
    for agent in ("random", "ucb1", "sb3_ppo", "cross_entropy"):
        yield ["train", "--agent", agent, "--shards", "2", "--out", "new", "--threads", "1"]
    yield ["resume", "nav", "--shards", "2"]
    for size, count in ((2, ""), (2, "1"), (2, "3"), (3, "2"), (3, "4"), (4, "2")):
        yield [f"WORLD_SIZE={size}", *quick, *(["--shards", count] if count else [])]
    yield ["WORLD_SIZE=2", *quick, "--agent.meta-batch", "3", "--shards", "2"]
    yield ["WORLD_SIZE=2", *quick, "--shards", "2", "--model", "mlpp"]
    yield ["WORLD_SIZE=2", "train", *TINY, "--agent.meta-batch", "4", "--shards", "2", "--out", "nav"]
    yield ["WORLD_SIZE=2", "resume", "nav"]
    yield ["WORLD_SIZE=2", "resume", "missing"]
    for size in ("0", "-1", "two", "", "1.5", "²", LARGE):
        yield [f"WORLD_SIZE={size}", *quick, "--shards", "2"]
    for rank in ("2", "-1", "one", "", LARGE):
        yield ["WORLD_SIZE=2", f"RANK={rank}", *quick, "--shards", "2"]
    for address in (("MASTER_ADDR=127.0.0.1", "MASTER_PORT=port"), ("MASTER_ADDR=127.0.0.1", "MASTER_PORT=999999")):
        yield ["WORLD_SIZE=2", "RANK=0", *address, *quick, "--shards", "2"]


def damaged(name: str, kinds: Mapping[str, object], refused: str) -> Iterator[str]:
    """Yield the damaged copies of a folder that a command refuses."""
    yield from (f"{name}_{kind}" for kind, (_, by) in kinds.items() if refused in by)  # type: ignore[misc]


CASES: dict[str, list[Line]] = {
    function.__name__: list(function()) for function in (tune, sweep, compare, report, draw, shards)
}
"""Bad command lines by command."""
