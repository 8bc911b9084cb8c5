"""Runs whose training has not come to its end: how far it went, and the command that continues it."""

import shlex

from agents.runs.folder import RunFolder
from agents.runs.program import program


def shortfall(folder: RunFolder, iteration: int) -> str:
    """Return how far training went, as the end of a sentence; empty if it came to its end, if only by its patience.

    Args:
        folder: the run folder.
        iteration: number of iterations that count, such as those before an evaluation.
    """
    planned = folder.spec.get("iterations")
    if not isinstance(planned, int) or iteration >= planned or folder.ended_early(iteration):
        return ""
    return f"trained for {iteration} of {planned} iterations"


def missing_evaluation(folder: RunFolder, table: str, command: str) -> str:
    """Return why a run lacks its evaluation, and the command that makes it, as the end of a sentence about the run.

    Training that has not come to its end has to be resumed; an evaluation follows it.

    Args:
        folder: the run folder.
        table: file name of the evaluation.
        command: command that evaluates the run.
    """
    saved = max(folder.checkpoints.iterations(), default=0)
    resume = f"{program()} resume {shlex.quote(str(folder.path))}"
    if not saved and "policy" in folder.config:  # Agents without a network have no checkpoint before their evaluation.
        return f"ended before its first checkpoint: {resume}"
    if saved and (short := shortfall(folder, saved)):
        return f"was {short}, and has no {table}: {resume}"
    return f"has no {table}: {command}"
