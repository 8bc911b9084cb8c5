"""Start of the command line, as `qrl-meta`, `python run.py` and `python -m agents`.

`qrl`, `envs` and `agents` are common words (openai-agents installs `agents`), and Python takes the first package of a
name that it finds. The name of this module belongs to no other project, so it can look before anything is imported.
"""

import importlib.util
import sys
from pathlib import Path


def main() -> int:
    """Run the command line; return the exit code: 2 if a dependency, or a package of ours, cannot be found."""
    if found := _foreign_package():
        return _complain(found)
    try:
        from agents.cli.main import main as run_command
    except ModuleNotFoundError as error:
        return _complain(
            f"{error}: qrl-meta is not installed for {sys.executable}; activate its environment, as by "
            ". .venv/bin/activate, or run make demo"
        )
    return run_command()


def _complain(message: str) -> int:
    started = Path(sys.argv[0]).name
    program = "python -m agents" if started == "__main__.py" else started
    print(f"{program}: error: {message}", file=sys.stderr)
    return 2


def _foreign_package() -> str:
    """One line about a package of another project in the place of one of ours, empty if there is none."""
    here = Path(__file__).resolve().parent
    for name in ("qrl", "envs", "agents"):
        own = here / name / "__init__.py"
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        # Installed after this library into the same folder, another package replaces the file itself.
        if origin == own and "qrl-meta" in own.read_text(encoding="utf-8"):
            continue
        return (
            f"the package {name!r} found at {origin or 'no file'} is another project's, not that of qrl-meta in "
            f"{own.parent}: take it off PYTHONPATH, or use an environment without it"
        )
    return ""
