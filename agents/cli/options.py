"""Options of each command except `train`, whose options depend on the chosen plug-ins."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agents.core.limits import LARGEST_EPISODES, LARGEST_ITERATIONS, LARGEST_STEPS, LARGEST_TASKS, LARGEST_THREADS
from agents.core.registry import REGISTRIES
from qrl.common.checks import MAX_SHOTS, check_count, check_seed
from qrl.common.errors import UsageError
from qrl.common.trust import Trust


@dataclass(frozen=True, kw_only=True)
class TrustOptions:
    """Options that confirm trust in code outside this library, which is executed if the run names it."""

    env: str | None = None
    """Name of the run's environment, to confirm that you trust its code; needed only for code outside this library with
    which you have not trained on this machine."""

    agent: str | None = None
    """Name of the run's agent, likewise."""

    model: str | None = None
    """Name of the run's model, likewise."""

    trust: bool = False
    """Trust all code outside this library that the run names."""

    @property
    def confirmed(self) -> Trust:
        """Code that the user vouches for."""
        names = {role: getattr(self, role) for role in REGISTRIES}
        return Trust(self.trust, {role: REGISTRIES[role].canonical(name) for role, name in names.items() if name})


@dataclass(frozen=True, kw_only=True)
class AdaptOptions(TrustOptions):
    """Options of commands that adapt the policy of a run."""

    run: Path
    """Run folder."""

    steps: int | None = None
    """Adaptation [gradient steps]; by default as configured for the run."""

    episodes: int | None = None
    """Episodes per task and gradient step [episodes]; for an in-context agent, trials per task [trials]; by default as
    configured for the run."""

    split: Literal["train", "validation", "test", "ood"] = "test"
    """Split of the tasks: as in training, held out for choosing, held out for reports, or out of distribution."""

    checkpoint: Literal["last", "best"] = "last"
    """Checkpoint: the last one, or the one with the best score on validation tasks."""

    seed: int = 0
    """Seed of the episodes and of shots."""

    def __post_init__(self) -> None:
        if self.steps is not None:
            check_count("--steps", self.steps, most=LARGEST_STEPS)
        if self.episodes is not None:
            check_count("--episodes", self.episodes, most=LARGEST_EPISODES)
        check_seed("--seed", self.seed)


@dataclass(frozen=True, kw_only=True)
class TasksOptions(AdaptOptions):
    """Options of commands that adapt the policy of a run to many tasks."""

    tasks: int | None = None
    """Tasks to evaluate on [tasks]; by default 100, on quantum data as configured for the run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tasks is not None:
            check_count("--tasks", self.tasks, least=2, most=LARGEST_TASKS)


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(TasksOptions):
    """Options of `evaluate`."""

    out: Path | None = None
    """New JSON file to write, instead of evaluation.json in the run folder; the plot is written next to it."""

    backend: str | None = None
    """Backend of the circuits; by default as in training."""

    shots: int | None = None
    """Shots of each circuit in each measurement basis [shots], 0: exact; by default as in training."""

    noise: tuple[str, ...] | None = None
    """Noise model, such as depolarizing=0.01 readout=0.02 or calibration=FILE.json; by default as in training. May be
    given more than once."""

    video: bool = False
    """Also write an animation of the first task of the split before and after adaptation."""

    compare: tuple[Path, ...] = ()
    """With --video: further run folders, animated next to this run in the same tasks."""

    video_tasks: int = 1
    """With --video: number of tasks, shown one after another [tasks]."""

    trail: bool = False
    """With --video: leave a pale trail of what moves, for pictures on a white background."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("--video-tasks", self.video_tasks, most=20)
        if not self.video and (self.compare or self.trail or self.video_tasks > 1):
            raise UsageError("--compare, --video-tasks and --trail are options of the animation: add --video")
        if self.shots is not None:
            check_count("--shots", self.shots, least=0, most=MAX_SHOTS)


@dataclass(frozen=True, kw_only=True)
class ResumeOptions(TrustOptions):
    """Options of `resume`."""

    run: Path
    """Run folder."""

    iterations: int | None = None
    """New total length of training [meta-iterations]; by default as configured for the run."""

    validate_every: int | None = None
    """New validation interval [meta-iterations]; 0: none."""

    patience: int | None = None
    """New number of validations without improvement that end training; 0: never."""

    track: tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...] | None = None
    """Experiment trackers, each an extra: tensorboard, wandb, mlflow, trackio; in place of those so far, of which only
    tensorboard continues by itself."""

    def __post_init__(self) -> None:
        if self.iterations is not None:
            check_count("--iterations", self.iterations, most=LARGEST_ITERATIONS)
        for name, value in (("--validate-every", self.validate_every), ("--patience", self.patience)):
            if value is not None:
                check_count(name, value, least=0, most=LARGEST_ITERATIONS)


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """Options of `sweep` besides those of `train`."""

    envs: str | None = None
    """Environments, separated by commas, as --env of `train`."""

    agents: str | None = None
    """Agents, likewise."""

    models: str | None = None
    """Models, likewise."""

    grid: tuple[str, ...] = ()
    """Axis of the grid: an option of `train` and its values, such as agent.inner-steps=1,2,3. May be given more than
    once."""

    seeds: str | None = None
    """Seeds: 10 for 0 to 9, or 3,5,7 (default: 0)."""

    seed: int | None = None
    """A single seed."""

    jobs: int | None = None
    """Parallel runs, each with one thread unless --threads is given [processes] (default: 1; on Ray, as many as it has
    CPUs)."""

    ray: bool | str = False
    """Train on Ray (extra ray): on the cluster at HOST:PORT, on the one of which this machine is part (auto), or,
    without an address, on a Ray that is started on this machine."""

    out: Path | None = None
    """Folder of the study (default: studies/<env>-<agent>-<model>; required for several plug-ins)."""

    overwrite: bool = False
    """Replace runs of the study that have another configuration; without it, they are refused."""

    trust: bool = False
    """Trust all code outside this library that a study file, or --config, names."""

    def __post_init__(self) -> None:
        if self.jobs is not None:
            check_count("--jobs", self.jobs, most=LARGEST_THREADS)


@dataclass(frozen=True, kw_only=True)
class RobustnessOptions(TasksOptions):
    """Options of `robustness`."""

    noise: tuple[str, ...] | None = None
    """Kinds of noise, each evaluated separately: depolarizing, amplitude_damping, phase_damping, bit_flip, readout; or
    storage, for models on registers of qubits. By default storage for these, depolarizing for others."""

    strengths: tuple[float, ...] | None = None
    """Strengths of each kind of noise; see `qrl.noise.model.Noise`. By default 0.001 0.003 0.01 0.03 0.1; of storage
    0.1 to 1 in steps of 0.1."""

    shots: tuple[int, ...] | None = None
    """Shots of each circuit in each measurement basis [shots], evaluated without noise. By default 10 30 100 300 1000;
    on registers none."""

    out: Path | None = None
    """New JSON file to write, instead of robustness.json in the run folder; the plot is written next to it."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions(AdaptOptions):
    """Options of `export`, which adapts the policy as in an evaluation, by default in one gradient step."""

    out: Path = Path("circuits")
    """New folder to create, with a file for each circuit and an index, export.json."""

    format: Literal["openqasm2", "openqasm3", "qiskit"] = "openqasm3"
    """OpenQASM text, or Qiskit's own QPY (extra qiskit)."""

    observations: Path | None = None
    """JSON file with a list of observations; by default, the first observation of an episode."""

    task: int = 0
    """Index of the task in the split, from 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("--task", self.task, least=0, most=LARGEST_EPISODES)


@dataclass(frozen=True, kw_only=True)
class DrawOptions(TrustOptions):
    """Options of `draw`; for a model, `env` and `agent` are those that it is built for."""

    run_or_model: str
    """Run folder; or model, as for --model of `train`: a name, a file, or module:attribute."""

    out: Path | None = None
    """New file to write a picture to; its suffix chooses the format, such as .png, .pdf or .svg."""


@dataclass(frozen=True)
class PlotOptions:
    """Options of `plot`."""

    runs: tuple[Path, ...]
    """Run folders with an evaluation. Runs that differ only in their seed become one line, with a 95 % interval over
    seeds."""

    out: Path = Path("adaptation.png")
    """New file to write; its suffix chooses the format, such as .png, .pdf or .svg."""

    against: Literal["x", "episodes", "env-steps"] = "episodes"
    """Horizontal axis: episodes or environment steps previously spent in a task, common to all agents, or each agent's
    own axis x, gradient steps or episodes."""

    labels: tuple[str, ...] = ()
    """Labels of the lines, in the order of the runs; by default agent, model and differing options."""

    split: Literal["train", "validation", "test", "ood"] = "test"
    """Split of the evaluated tasks."""
