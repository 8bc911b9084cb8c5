"""Peak memory: resident set size of a meta-iteration, each case in its own process.

    python -m benchmarks.memory [--quick]      results/memory.json

Default runs (one meta-iteration and the final evaluation) should stay below 3 GiB; 8 wires x 5 layers with 20 tasks x
20 episodes x 200 steps, second order, below 8 GiB; RL^2 with its default model and 1000 trials of 1000 steps below 6
GiB. Episodes that end early would underestimate the peak, so every rollout of MAML is extended to full length before
the update; the memory budget is the default.
"""

import json
import resource
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Any

import torch

from agents.core.context import build
from agents.core.rollout import Rollout
from agents.core.spec import Spec
from agents.experiment.evaluation import adaptation_curve
from agents.experiment.loop import Training
from agents.experiment.returns import EvaluationPlan
from agents.experiment.rollouts import collect_and_adapt
from benchmarks.shared.common import default_spec, set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main
from qrl.models.reuploading import Config as CircuitConfig

TRIALS = "tabular_mdp, rl2, trials of 1000 steps"
CASES = {"navigation": 3.0, "cartpole_target": 3.0, "cartpole_target, 8 wires x 5 layers": 8.0, TRIALS: 6.0}
"""Upper bound of each case [GiB]."""


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    case: str = ""
    """Measure this case in the current process and print it as JSON (command of the subprocesses)."""


def main(options: Options) -> None:
    """Measure peak memory."""
    if options.case:
        print(json.dumps(measure(options.case, options.quick)))
        return
    rows = [measure_in_subprocess(name, options.quick) for name in CASES]
    print(table(rows))
    write_result("memory", rows, quick=options.quick)


def measure_in_subprocess(case: str, quick: bool) -> dict[str, Any]:
    """Run `measure` in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.memory", "--case", case, *(["--quick"] if quick else [])]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(finished.stdout.splitlines()[-1])


def measure(case: str, quick: bool) -> dict[str, Any]:
    """Measure one meta-iteration and, for default runs, the evaluation."""
    if case == TRIALS:
        return measure_trials(quick)
    env, _, wide = case.partition(", ")
    spec = default_spec(env, **({"model_config": CircuitConfig(n_wires=8, n_layers=5)} if wide else {}))
    if quick:
        spec = replace(spec, agent_config=replace(spec.agent_config, meta_batch=2))
    set_up(threads=1)
    training = Training(spec, *build(spec))
    imported = peak()
    training.step()
    ordinary = peak()
    agent, distribution = training.agent, training.distribution
    tasks = distribution.sample(agent.n_tasks, "train", training.rngs["tasks"])
    rollouts, states = collect_and_adapt(
        training.env, agent, tasks, agent.n_rollouts, training.rngs["environment"], training.generator
    )
    agent.update([extend_episodes(rollout, distribution.horizon) for rollout in rollouts], states, 1.0)
    full = peak()
    if not wide:
        options = {"n_tasks": spec.eval_tasks, "steps": spec.eval_steps, "episodes": spec.eval_episodes}
        adaptation_curve(FullLengthAgent(agent, distribution.horizon), distribution, EvaluationPlan(**options))
    return {
        "case": case,
        "tasks x episodes x steps": f"{agent.n_tasks} x {agent.n_envs} x {distribution.horizon}",
        "parameters": agent.policy.n_parameters,
        "imported [GiB]": imported,
        "first iteration [GiB]": ordinary,
        "full-length iteration [GiB]": full,
        "and evaluation [GiB]": None if wide else peak(),
        "target [GiB]": CASES[case],
        "pass": peak() <= CASES[case],
    }


def measure_trials(quick: bool) -> dict[str, Any]:
    """Measure one meta-iteration of RL^2 with its default model and 100 episodes per trial, none ending early."""
    spec = Spec.default(env="tabular_mdp", agent="rl2", threads=1)
    sizes = {"episodes": 10, "meta_batch": 4} if quick else {"episodes": 100}
    spec = replace(spec, agent_config=replace(spec.agent_config, **sizes))
    set_up(threads=1)
    training = Training(spec, *build(spec))
    imported = peak()
    training.step()
    agent, horizon = training.agent, training.distribution.horizon
    return {
        "case": TRIALS,
        "tasks x episodes x steps": f"{agent.n_tasks} x {agent.trial_episodes} x {horizon}",
        "parameters": agent.policy.n_parameters,
        "imported [GiB]": imported,
        "first iteration [GiB]": None,
        "full-length iteration [GiB]": peak(),
        "and evaluation [GiB]": None,
        "target [GiB]": CASES[TRIALS],
        "pass": peak() <= CASES[TRIALS],
    }


def extend_episodes(rollout: Rollout, horizon: int) -> Rollout:
    """Extend all episodes of a rollout to `horizon` steps by repeating its steps cyclically."""
    length = len(rollout.valid)
    index = torch.arange(horizon) % length
    valid = torch.ones(horizon, *rollout.valid.shape[1:], dtype=torch.bool)
    return replace(
        rollout,
        observation=rollout.observation[index],
        action=rollout.action[index],
        reward=rollout.reward[index],
        valid=valid,
        terminated=torch.zeros_like(valid),
        truncated=valid & (torch.arange(horizon) == horizon - 1)[:, None, None],
    )


class FullLengthAgent:
    """Agent wrapper for evaluation that extends every episode to full length before adapting."""

    def __init__(self, agent: Any, horizon: int) -> None:
        self.begin, self.act, self.to_environment = agent.begin, agent.act, agent.to_environment
        self.agent, self.horizon = agent, horizon

    def adapt(self, state: Any, rollout: Rollout) -> Any:
        return self.agent.adapt(state, extend_episodes(rollout, self.horizon))


def peak() -> float:
    """Peak resident set size of this process so far [GiB]. Linux counts in KiB, macOS in bytes.

    A child process inherits the peak of its parent, which has only imported the same libraries.
    """
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


if __name__ == "__main__":
    run_main(main, Options, __doc__)
