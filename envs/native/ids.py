"""Gymnasium ids of the native families, such as `qrl/CartPole-v0`.

The class in a family's file gives the id: `class CartPole(TorchTasks)` in envs/cartpole.py is `qrl/CartPole-v0`.
"""

import re
from pathlib import Path

_FAMILY = re.compile(r"^class (\w+)\((?:[\w.]+, )?TorchTasks\):", re.MULTILINE)


def ids() -> dict[str, str]:
    """Return the id of each native family of the folder, by the family's name; the files are read, not imported."""
    files = sorted(path for path in Path(__file__).parent.parent.glob("*.py") if not path.name.startswith("_"))
    classes = {path.stem: _FAMILY.search(path.read_text(encoding="utf-8")) for path in files}
    return {name: f"qrl/{match[1]}-v0" for name, match in classes.items() if match}
