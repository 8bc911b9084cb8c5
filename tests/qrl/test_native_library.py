"""Loading the native kernel: the library of this tree, missing and broken ones, and the choice of the engine."""

import ctypes
import os
import platform
import shutil
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from agents.cli.main import main
from qrl.common.errors import UsageError
from qrl.simulator import engine as engines
from qrl.simulator.native import library as native
from qrl.simulator.native.elf import defect
from qrl.simulator.native.library import Library, Unusable
from qrl.simulator.native.requested import VARIABLE

ROOT = Path(__file__).resolve().parents[2]
REMEDY = "install again with GCC or Clang, or run make native in a source tree"
CACHED = (engines.engine, native.find, native._warn)
ON_X86 = platform.machine() == "x86_64"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the native kernel needs Linux")


def forget() -> None:
    for function in CACHED:
        function.cache_clear()


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No choice of an engine and nothing loaded yet, before the test and after it."""
    monkeypatch.delenv(VARIABLE, raising=False)
    forget()
    yield
    forget()


@pytest.fixture
def built():
    """The library of this tree."""
    if native.find() == Unusable("not built", REMEDY):
        pytest.skip("no library")
    forget()
    return native.FILE.read_bytes()


@pytest.fixture
def at(monkeypatch, tmp_path):
    """Let the library be a file with this content, or let there be none."""

    def put(content: bytes | None) -> Path:
        path = tmp_path / "qrl_native.so"
        if content is not None:
            path.write_bytes(content)
        monkeypatch.setattr(native, "FILE", path)
        forget()
        return path

    return put


@pytest.fixture
def compiled(tmp_path):
    """Compile C into a shared library and return its content."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no compiler")

    def compile(source: str) -> bytes:
        out = tmp_path / "compiled.so"
        command = [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", str(out)]
        subprocess.run(command, input=source, text=True, check=True)
        return out.read_bytes()

    return compile


@pytest.mark.skipif(not (shutil.which("c++") and shutil.which("make")), reason="no compiler")
def test_library_is_built_where_there_is_a_compiler():
    """Without this test, a kernel that no longer compiles would leave the suite to the fused executor."""
    assert native.FILE.is_file(), "run make native"
    found = native.find()
    assert isinstance(found, Library) or "processor" in found.reason


def test_library_describes_itself(built):
    found = native.find()
    if isinstance(found, Unusable):
        pytest.skip(found.reason)
    assert found.functions.qrl_native_abi() == native.ABI == 1
    assert found.build.startswith(("GCC ", "Clang "))
    assert [found.functions.qrl_native_supported(number) for number in (-1, 3)] == [0, 0]
    assert native.status() == f"native kernel: {found.instruction_set} ({found.build})"
    assert native.library() is native.library() is found  # loaded once


@pytest.mark.skipif(not ON_X86, reason="instruction sets of x86-64")
def test_supported_instruction_sets_are_those_of_the_processor(built):
    """The kernel lists the processor's features, of which the operating system supports the listed ones."""
    (line, *_) = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")]
    flags = set(line.split())
    avx2 = {"avx2", "fma"} <= flags
    avx512 = avx2 and {"avx512f", "avx512dq", "avx512vl", "avx512bw"} <= flags
    supported = native._load().qrl_native_supported
    assert [supported(number) for number in range(3)] == [1, avx2, avx512]
    found = native.library()
    assert (found.instruction_set if found else None) == ("avx512" if avx512 else "avx2" if avx2 else None)
    assert found is None or found.number == ["generic", "avx2", "avx512"].index(found.instruction_set)


@pytest.mark.parametrize(
    ("machine", "runs", "chosen"),
    [
        ("x86_64", {0, 1, 2}, "avx512"),
        ("x86_64", {0, 1}, "avx2"),
        ("x86_64", {0}, None),  # slower than the fused executor
        ("aarch64", {0}, "generic"),
    ],
)
def test_best_instruction_set_is_chosen(built, monkeypatch, machine, runs, chosen):
    class Functions(ctypes.CDLL):
        def __init__(self):
            pass

        def qrl_native_supported(self, number):
            return int(number in runs)

        def qrl_native_build(self):
            return b"GCC 1"

    monkeypatch.setattr(native, "_load", Functions)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    forget()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # An old processor is no fault of the user's.
        found = native.library()
    assert (found.instruction_set if found else None) == chosen
    assert engines.engine() == ("native" if chosen else "fused")
    assert engines.engine_name() == (f"native-{chosen}" if chosen else "fused")
    if chosen is None:
        text = "this processor does not run the instruction set avx512 or avx2, or it was not built"
        assert native.status() == f"native kernel: {text}, the fused executor runs"


def test_missing_library_is_quiet(at, capsys):
    at(None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert native.library() is None and engines.engine() == "fused"
    assert native.status() == f"native kernel: not built, the fused executor runs: {REMEDY}"
    assert main(["list"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "" and printed.out.endswith(f"\n\n{native.status()}\n")


def truncated(data: bytes) -> bytes:
    return data[: len(data) * 3 // 4]


def of_another_processor(data: bytes) -> bytes:
    return data[:18] + struct.pack("<H", 8) + data[20:]  # MIPS


def of_32_bits(data: bytes) -> bytes:
    return data[:4] + b"\x01" + data[5:]


BROKEN = {
    "empty": (lambda data: b"", "not a shared library"),
    "text": (lambda data: b"hello", "not a shared library"),
    "only a header": (lambda data: data[:64], "incomplete"),
    "truncated": (truncated, "incomplete"),
    "another processor": (of_another_processor, "built for another processor"),
    "32 bits": (of_32_bits, "not a shared library"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_library_is_told_once(built, at, name):
    damage, reason = BROKEN[name]
    path = at(damage(built))
    line = f"native kernel: {path}: {reason}, the fused executor runs: {REMEDY}"
    with pytest.warns(RuntimeWarning) as told:
        found = native.library(), native.library(), engines.engine()
    assert found == (None, None, "fused")
    assert [str(warning.message) for warning in told] == [line]
    assert native.status() == line


def test_whole_library_has_no_defect(built):
    assert defect(built) == ""


FOREIGN = {
    "": "no function qrl_native_abi: another library, or of another version",
    "int qrl_native_abi(void) { return 1; }": "no function qrl_native_supported: another library, or of another "
    "version",
    "int qrl_native_abi(void) { return 7; } int qrl_native_supported(int isa) { return 1; } "
    'const char *qrl_native_build(void) { return "x"; }': "of another version of this software (interface 7, not 1)",
    "extern int nowhere(void); int qrl_native_abi(void) { return nowhere(); }": "undefined symbol: nowhere",
}


@pytest.mark.parametrize("source", FOREIGN)
def test_foreign_library_is_told(compiled, at, source):
    path = at(compiled(source))
    with pytest.warns(RuntimeWarning) as told:
        assert native.library() is None
    assert [str(warning.message) for warning in told] == [
        f"native kernel: {path}: {FOREIGN[source]}, the fused executor runs: {REMEDY}"
    ]


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_only_a_regular_file_is_loaded(built, at, tmp_path, kind):
    path = at(None)
    match kind:
        case "link":
            (tmp_path / "elsewhere.so").write_bytes(built)
            path.symlink_to(tmp_path / "elsewhere.so")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
    with pytest.warns(RuntimeWarning, match="not a regular file"):
        assert native.library() is None


def test_library_is_loaded_by_its_absolute_path(built, monkeypatch):
    loaded = []
    real = ctypes.CDLL

    def load(name):
        loaded.append(name)
        return real(name)

    monkeypatch.setattr(ctypes, "CDLL", load)
    forget()
    native.find()
    assert loaded == [str(ROOT / "qrl" / "simulator" / "native" / "qrl_native.so")]


@pytest.mark.filterwarnings("always::RuntimeWarning")
def test_warning_of_a_command_is_one_line(built, at, capsys):
    path = at(b"hello")
    assert main(["list"]) == 0
    line = f"native kernel: {path}: not a shared library, the fused executor runs: {REMEDY}"
    printed = capsys.readouterr()
    assert printed.out.endswith(f"\n\n{line}\n")
    assert printed.err.startswith(f"warning: RuntimeWarning: {line} (") and printed.err.count("\n") == 1


def test_fused_executor_on_demand(built, at, monkeypatch):
    monkeypatch.setenv(VARIABLE, "fused")
    assert engines.engine() == engines.engine_name() == "fused"
    if isinstance(native.find(), Library):
        assert native.status().endswith("; not used, as QRL_ENGINE=fused")
    at(b"hello")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # A library that nobody wants may be broken.
        assert engines.engine() == "fused"


@pytest.mark.parametrize("name", ["generic", "avx2", "avx512"])
def test_instruction_set_on_demand(built, monkeypatch, name):
    monkeypatch.setenv(VARIABLE, f"native-{name}")
    number = ["generic", "avx2", "avx512"].index(name)
    if native._load().qrl_native_supported(number):
        assert engines.engine() == "native" and engines.engine_name() == f"native-{name}"
        found = native.library()
        assert found is not None and found.number == number
    else:
        reason = f"this processor does not run the instruction set {name}, or it was not built"
        with pytest.raises(UsageError) as caught:
            engines.engine()
        assert str(caught.value) == f"QRL_ENGINE=native-{name}: native kernel: {reason}"


def test_engine_is_read_once(monkeypatch):
    monkeypatch.setenv(VARIABLE, "fused")
    assert engines.engine() == "fused"
    monkeypatch.setenv(VARIABLE, "nonsense")
    assert engines.engine() == "fused"


def test_empty_variable_chooses_nothing(at, monkeypatch):
    at(None)
    monkeypatch.setenv(VARIABLE, "")
    assert engines.engine() == "fused"


COMMANDS = ("train", "evaluate", "resume", "robustness", "export", "plot", "compare", "report", "select", "list")
CHOICES = "(choices: fused, native, native-avx2, native-avx512, native-generic)"
REFUSED = {
    "nativ": f"QRL_ENGINE: unknown engine 'nativ'; did you mean 'native'? {CHOICES}",
    "xyz": f"QRL_ENGINE: unknown engine 'xyz'; choices: {CHOICES[10:-1]}",
    "native": f"QRL_ENGINE=native: native kernel: not built; {REMEDY}",
    "native-avx2": f"QRL_ENGINE=native-avx2: native kernel: not built; {REMEDY}",
}


@pytest.mark.parametrize("value", REFUSED)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_an_engine_that_cannot_run(at, monkeypatch, capsys, tmp_path, command, value):
    at(None)
    monkeypatch.setenv(VARIABLE, value)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert main([command]) == 2
    assert capsys.readouterr() == ("", f"run.py: error: {REFUSED[value]}\n")
    assert not any(Path.cwd().iterdir())


def test_python_interface_refuses_before_it_writes(monkeypatch, tmp_path):
    import agents

    monkeypatch.setenv(VARIABLE, "nativ")
    with pytest.raises(UsageError, match="did you mean 'native'"):
        agents.train(tmp_path / "run", env="navigation", iterations=1, eval_tasks=2, eval_episodes=2)
    assert not (tmp_path / "run").exists()


def test_a_tree_without_a_library_runs_the_fused_executor(tmp_path):
    """The library is looked for beside the sources that run, not in the installed tree."""
    shutil.copytree(ROOT / "qrl", tmp_path / "qrl", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    program = "from qrl.simulator.engine import engine; from qrl.simulator.native.library import status; "
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", program + "print(engine(), status())"],
        env=environment | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"fused native kernel: not built, the fused executor runs: {REMEDY}\n"
