"""Command `export`: the circuits of an adapted policy for given observations, or of its next episode, as files."""

from collections.abc import Mapping
from pathlib import Path

import gymnasium
import numpy as np

from agents.cli.options import ExportOptions
from agents.core.agent import InContextAgent, NetworkAgent
from agents.experiment.adapted_policy import AdaptedPolicy
from agents.experiment.export import Recorder, described, file_names, measured_in, played, record
from agents.experiment.register_export import check_episode_format, described_episode, next_episode
from agents.experiment.report import open_run
from agents.experiment.run import Run
from agents.runs.messages import printable
from qrl.backends.backend import Backend
from qrl.backends.openqasm import FORMATS, encode
from qrl.backends.register_qasm import to_episode_openqasm
from qrl.common.errors import UsageError
from qrl.common.files import check_new_file, from_json, to_json, write_folder
from qrl.policies.coherent import CoherentPolicy

EPISODE_FILE = "episode.qasm"


def run_export(options: ExportOptions) -> int:
    """Write the circuits of an adapted policy for given observations into a new folder, with an index, export.json.

    The policy is adapted to one task of a split, as in an evaluation. A policy on registers of qubits has one circuit,
    that of its next episode. Return the exit code.
    """
    check_new_file(options.out)
    run = open_run(options.run, options.confirmed, options.checkpoint)
    if not isinstance(run.agent, NetworkAgent):
        raise UsageError(f"export: agent {run.spec.agent} has no network")
    tasks = run.distribution.sample(options.task + 1, options.split, np.random.default_rng(options.seed))
    env = run.distribution.make(tasks[options.task : options.task + 1])
    agent = run.agent_on(Backend())
    assert isinstance(agent, NetworkAgent)
    network, adaptation = agent.policy, _adaptation(run, options)
    if isinstance(network, CoherentPolicy):
        check_episode_format(options.format, with_observations=options.observations is not None)
        episode = next_episode(network, run.adapt(env, seed=options.seed, agent=agent, **adaptation))
        files = {EPISODE_FILE: to_episode_openqasm(episode).encode()}
        content: dict[str, object] = {"episode": described_episode(episode, EPISODE_FILE)}
    else:
        recorders = record(network)
        policy = run.adapt(env, seed=options.seed, agent=agent, **adaptation)
        files, rows = _circuits(policy, recorders, _observations(options, env), options.format)
        content = {"observations": rows}
    about = {
        "run": str(options.run),
        "format": options.format,
        "split": options.split,
        "task": tasks.rows()[options.task],
        **adaptation,
        **content,
    }
    write_folder(options.out, {**files, "export.json": (to_json(about, indent=2) + "\n").encode()})
    circuits = f"{len(files)} circuit{'' if len(files) == 1 else 's'}"
    print(printable(f"wrote {circuits} and export.json to {options.out}"))
    return 0


def _adaptation(run: Run, options: ExportOptions) -> dict[str, int]:
    """Return the number of episodes and of adaptation steps; an in-context agent adapts in a single trial."""
    if isinstance(run.agent, InContextAgent):
        if options.steps is not None:
            raise UsageError(f"export: agent {run.spec.agent} adapts in context and takes no gradient steps")
        own, steps = run.agent.trial_episodes, 1
    else:
        own, steps = run.spec.eval_episodes, 1 if options.steps is None else options.steps
    return {"episodes": own if options.episodes is None else options.episodes, "steps": steps}


def _observations(options: ExportOptions, env: gymnasium.Env[np.ndarray, np.ndarray]) -> list[object]:
    """Return the observations of the user's file, by default the first observation of an episode."""
    path: Path | None = options.observations
    observations = [np.asarray(env.reset(seed=options.seed)[0]).tolist()] if path is None else from_json(path)
    if not (isinstance(observations, list) and observations):
        raise UsageError(f"{path}: expected a JSON list of observations")
    return observations


def _circuits(
    policy: AdaptedPolicy, recorders: Mapping[str, Recorder], observations: list[object], kind: str
) -> tuple[dict[str, bytes], list[dict[str, object]]]:
    """Return the content of each circuit file by name, and the entry of each observation in export.json."""
    files: dict[str, bytes] = {}
    rows: list[dict[str, object]] = []
    for index, observation in enumerate(observations):
        try:
            policy.peek(observation)
        except UsageError as error:
            raise UsageError(f"observation {index}: {error}") from error
        entries = []
        for number, each in enumerate(played(dict(recorders))):
            measured = measured_in(each.circuit)
            names = file_names(f"observation{index}-circuit{number}", FORMATS[kind], len(measured))
            named = dict(zip(names, measured, strict=True))
            files |= {name: encode(each.circuit, kind, setting) for name, setting in named.items()}
            entries.append(described(each, named))
        rows.append({"observation": observation, "circuits": entries})
    return files, rows
