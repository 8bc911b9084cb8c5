"""Names of PennyLane devices, found without importing PennyLane, which takes seconds."""

import importlib.metadata
from collections.abc import Collection

from qrl.common.errors import UsageError, suggest

PENNYLANE = "pennylane:"
"""Beginning of the name of a backend on a PennyLane device."""

PLUGINS = (
    {"qiskit": "'qrl-meta[qiskit]'", "lightning": "pennylane-lightning", "braket": "amazon-braket-pennylane-plugin"}
    | {name: f"pennylane-{name}" for name in ("aqt", "cirq", "ionq", "qulacs", "rigetti")}
    | {f"lightning.{name}": f"pennylane-lightning-{name}" for name in ("gpu", "kokkos", "tensor")}
)
"""Package to install for a device with this name or name prefix."""

SHORT = {
    "aer": "qiskit.aer",
    "ibm": "qiskit.remote",
    "ibmq": "qiskit.remote",
    "qiskit": "qiskit.aer",
    "lightning": "lightning.qubit",
    "default": "default.qubit",
    "mixed": "default.mixed",
    "braket": "braket.aws.qubit",
    "cirq": "cirq.simulator",
    "ionq": "ionq.simulator",
    "qulacs": "qulacs.simulator",
}
"""Devices that people mean by a short name."""

_EXACT = ("default.", "lightning.", "null.", "reference.")
"""Beginnings of the names of PennyLane's own simulators, which are exact without shots."""

_LOCAL = (*_EXACT, "cirq.", "qulacs.", "braket.local.", "qiskit.aer", "qiskit.basic")
"""Beginnings of the names of devices that compute on this machine, at no cost."""


def installed_devices() -> list[str]:
    """Return the names of the installed PennyLane devices."""
    return sorted({entry.name for entry in importlib.metadata.entry_points(group="pennylane.plugins")})


def check_installed(name: str, where: str = "backend") -> None:
    """Raise UsageError for a device that is not installed; the message begins with `where`."""
    installed = installed_devices()
    if name not in installed:
        raise UsageError(unknown_device(name, installed, where))


def unknown_device(name: str, installed: Collection[str], where: str = "backend") -> str:
    """Return the message for a device that is not installed.

    It names the device that is meant by a short name or the name of a backend, the package to install if known, or else
    similar names.
    """
    meant = SHORT.get(name.lower(), name.removeprefix(PENNYLANE))
    if meant in installed:
        return f"{where}: PennyLane device {name!r} is not installed; did you mean {meant!r}?"
    plugin = name.partition(".")[0]
    has_plugin = any(each.startswith(f"{plugin}.") for each in installed)
    package = PLUGINS.get(name) or (None if has_plugin else PLUGINS.get(plugin))
    remedy = f"; pip install {package}" if package else suggest(name, installed)
    return f"{where}: PennyLane device {name!r} is not installed{remedy}"


def unknown_backend(name: str) -> str:
    """Return the message for the name of a backend without "pennylane:": the device that is meant, if that is clear."""
    lowered = name.lower()
    meant = name if "." in name else SHORT.get(lowered, "")
    if lowered.startswith(("fake_", "ibm_")):
        meant = f"qiskit.remote,backend={lowered}"
    hint = f"; did you mean {PENNYLANE + meant!r}?" if meant else suggest(name, ("torch", f"{PENNYLANE}DEVICE"))
    return f"backend: unknown name {name!r}{hint}"


def is_local(name: str) -> bool:
    """Return whether a device is known to compute on this machine, where a circuit costs nothing but time."""
    return name.startswith(_LOCAL)


def may_estimate(name: str) -> bool:
    """Return whether a local device may return estimates although no shots are requested."""
    return is_local(name) and not name.startswith(_EXACT)
