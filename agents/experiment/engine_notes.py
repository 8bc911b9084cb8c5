"""Lines for the user about the engine that a run's circuits are simulated on."""

from agents.core.context import backend_of, policy_summary
from agents.core.spec import Spec
from agents.runs.folder import RunFolder
from qrl.backends.backend import Backend
from qrl.simulator.engine import engine_name


def engine_note(spec: Spec, agent: object) -> str:
    """Return a line with the engine, such as "engine: native-avx2"; "" without exact circuits in the simulator."""
    return f"engine: {engine_name()}" if _has_exact_circuits(spec, agent) else ""


def change_of_engine(folder: RunFolder, spec: Spec, agent: object) -> str:
    """Return a note if a run continues on another engine than it was started on; "" if not, or if that is unknown."""
    before, now = folder.config.get("engine"), engine_name()
    if before in (None, now) or not _has_exact_circuits(spec, agent):
        return ""
    return f"note: {folder.path} was started on engine {before}, now {now}: results may differ in the last bits"


def _has_exact_circuits(spec: Spec, agent: object) -> bool:
    summary = policy_summary(spec, agent)
    return summary is not None and bool(summary.circuits) and backend_of(spec) == Backend()
