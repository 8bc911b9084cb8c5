"""Run: a trained agent and its run folder."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal, get_args

import gymnasium
import numpy as np
import torch
from torch import nn

from agents.core.agent import Agent, InContextAgent, Learner, NetworkAgent, OracleAgent
from agents.core.collect import collect_episodes
from agents.core.context import backend_of, build, build_agent, seed_shots, torch_generator
from agents.core.divergence import adapted
from agents.core.limits import LARGEST_EPISODES, LARGEST_STEPS, LARGEST_TASKS
from agents.experiment.adapted_policy import AdaptedPolicy
from agents.experiment.evaluation import Curve, curve_of, names_of, with_references
from agents.experiment.references import ExactReference, reference_agents
from agents.experiment.restoring import generators, restore_learner
from agents.experiment.returns import EvaluationPlan, EvaluationReturns, evaluate_returns
from agents.runs import origins
from agents.runs.folder import RunFolder
from agents.runs.saved_spec import names_in, spec_of
from envs.core.quantum_data import QuantumDataFamily
from qrl.backends.backend import Backend, as_backend
from qrl.common.checks import check_choice, check_count, check_seed
from qrl.common.errors import UsageError
from qrl.common.options import Unknown, check_known
from qrl.common.trust import Trust
from qrl.policies.summary import PolicySummary

Which = Literal["last", "best"]
"""Checkpoint of a run: the last one, or the one with the best score on validation tasks."""

EVALUATION_ARGUMENTS = ("tasks", "steps", "episodes", "split", "seed", "backend")
"""Arguments of an evaluation; those of a training have other names, such as eval_tasks."""

DEFAULT_TASKS = 100
"""Tasks of an evaluation, except on quantum data [tasks]."""


class Run:
    """Trained agent and its run folder, as returned by `train` and `load`.

    The network `agent.policy` has the parameters of a `checkpoint`: the last one, or the best one on validation tasks.
    Code outside this library that the run names is executed only if it is trusted; see `qrl.common.trust`.
    """

    def __init__(
        self,
        folder: RunFolder,
        objects: Mapping[str, object] | None = None,
        trust: Trust | None = None,
        checkpoint: Which = "last",
    ) -> None:
        check_choice("run", "checkpoint", checkpoint, get_args(Which))
        self.folder, self._trust = folder, trust or Trust()
        with names_in(folder, self._trust):
            self.changes = origins.changes(folder, objects, self._trust.names)
            """Warnings about plug-in files that changed since training."""
            self.spec = spec_of(folder, objects, self._trust)
            origins.check_same_distribution(folder, self.spec.objects.get("env"))
            self.distribution, self.agent = build(self.spec)
        self.problems: tuple[str, ...] = ()
        self.iteration = 0
        """Number of meta-iterations that the agent has been trained for."""
        if isinstance(self.agent, Learner):
            whole = self.spec.shards == 1
            known = generators(self.agent, torch.Generator(self.spec.device)) if whole else {}
            load = folder.load_best if checkpoint == "best" else folder.load
            loaded = load(partial(restore_learner, self.agent, known))
            if loaded is None:
                why = "the run ended before the first one; resume starts from the beginning"
                raise UsageError(f"{folder.path}: no checkpoint: {why}")
            self.problems, self.iteration = loaded.problems, loaded.iteration

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings: newer checkpoints that cannot be used, and plug-in files that changed since training."""
        used = f"the checkpoint of iteration {self.iteration} is used"
        return (*(f"{problem}; {used}" for problem in self.problems), *self.changes)

    @property
    def policy(self) -> nn.Module:
        """Trained policy network, whose parameters are those that training moved.

        Raises UsageError for an agent without a network.
        """
        if not isinstance(self.agent, NetworkAgent):
            raise UsageError(f"policy: agent {self.spec.agent} has no network")
        return self.agent.policy

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters of the policy network. Raises UsageError as `policy` does."""
        return sum(parameter.numel() for parameter in self.policy.parameters())

    def agent_on(self, backend: Backend | object) -> Agent[object]:
        """Build another agent with the trained weights, whose circuits run on a backend, by name, or as a device.

        Raises UsageError if the agent has no circuits and the backend is not the exact one.
        """
        with names_in(self.folder, self._trust):
            agent = build_agent(self.spec, self.distribution, as_backend(backend))
        if isinstance(agent, Learner) and isinstance(self.agent, Learner):
            agent.load_state_dict(self.agent.state_dict())
        return agent

    def adapt(
        self,
        env: gymnasium.Env[Any, Any] | None = None,
        *,
        episodes: int = 20,
        steps: int = 1,
        seed: int = 0,
        agent: Agent[object] | None = None,
    ) -> AdaptedPolicy:
        """Adapt to one custom environment in `steps` updates of `episodes` episodes each.

        Args:
            env: any `gymnasium.Env` with the spaces that the run was trained on; by default the nominal task.
            episodes: episodes of an update. An in-context agent acts in all of them as one trial, without updates.
            steps: updates; 1 for an in-context agent.
            seed: seed of the environment and the actions.
            agent: agent returned by `agent_on`; by default the run's own agent.

        Raises:
            UsageError: the spaces do not match, a count is invalid, or the agent needs the task parameters.
            TrainingError: the agent diverges.
        """
        agent = self.agent if agent is None else agent
        if isinstance(agent, OracleAgent):
            raise UsageError(f"adapt: agent {self.spec.agent} observes the task parameters and does not adapt")
        check_count("adapt: episodes", episodes, least=0, most=LARGEST_EPISODES)
        check_count("adapt: steps", steps, least=0, most=LARGEST_STEPS)
        if isinstance(agent, InContextAgent):
            if episodes < 1 or steps != 1:
                what = f"not {episodes} and {steps}"
                raise UsageError(f"adapt: with a memory, episodes must be at least 1 and steps 1 (one trial), {what}")
        elif episodes < 2 or steps < 0:
            raise UsageError(f"adapt: episodes must be at least 2 and steps at least 0, not {episodes} and {steps}")
        check_seed("seed", seed)
        env = self.distribution.make() if env is None else env
        self._check_spaces(env)
        stream = np.random.SeedSequence(seed)
        generator = torch_generator(stream, self.spec.device)
        seed_shots(agent, *stream.spawn(1))
        state = agent.begin(1, 1)
        for step in range(steps):
            rollout, state = collect_episodes(
                env,
                agent,
                state,
                generator,
                n_episodes=episodes,
                max_steps=self.distribution.horizon,
                seed=seed if step == 0 else None,
            )
            state = adapted(agent, state, rollout)
        return AdaptedPolicy(agent, state, generator, self.distribution.observation_space.shape)

    def evaluate(
        self,
        *,
        tasks: int | None = None,
        steps: int | None = None,
        episodes: int | None = None,
        split: str = "test",
        seed: int = 0,
        backend: Backend | object | None = None,
        evaluator: Callable[[EvaluationPlan], EvaluationReturns] | None = None,
        **unknown: Unknown,
    ) -> Curve:
        """Return the adaptation curve on tasks of a split (see `agents.experiment.evaluation`).

        For an in-context agent, the curve includes the returns of references on the same tasks.

        Args:
            tasks: number of tasks; by default 100, on quantum data as configured for the run.
            steps: number of updates; by default as configured for the run.
            episodes: episodes per task and update; for an in-context agent, trials per task; by default as configured
                for the run.
            split: train, validation, test or ood.
            seed: seed of the episodes; only train tasks depend on it. On quantum data, episodes differ between training
                seeds, too.
            backend: backend of the circuits: a `Backend`, its name, or a PennyLane device; by default as in training.
            evaluator: function that evaluates the agent, such as `Training.evaluate`, on all shards; by default, the
                agent is evaluated here.

        Raises:
            UsageError: a value is invalid, or an argument unknown.
        """
        check_known(unknown, EVALUATION_ARGUMENTS, "evaluate: unknown argument")
        if steps is not None and isinstance(self.agent, InContextAgent):
            raise UsageError(f"evaluate: agent {self.spec.agent} adapts in context and takes no gradient steps")
        steps = self.spec.eval_steps if steps is None else steps
        episodes = self.spec.eval_episodes if episodes is None else episodes
        is_quantum = isinstance(self.distribution, QuantumDataFamily)
        tasks = (self.spec.eval_tasks if is_quantum else DEFAULT_TASKS) if tasks is None else tasks
        check_count("tasks", tasks, least=2, most=LARGEST_TASKS)
        check_count("steps", steps, most=LARGEST_STEPS)
        check_count("episodes", episodes, most=LARGEST_EPISODES)
        check_seed("seed", seed)
        own = backend_of(self.spec)
        backend = own if backend is None else as_backend(backend)
        agent = self.agent if backend == own else self.agent_on(backend)
        names = names_of(self.spec, agent)
        training_seed = self.spec.seed if is_quantum else None
        plan = EvaluationPlan(tasks, steps, episodes, split, seed, self.spec.device, training_seed)
        evaluated = (evaluator or partial(evaluate_returns, agent, self.distribution))(plan)
        curve = curve_of(evaluated, self.distribution, plan, names)
        options, used = self.spec.options("env"), backend.to_json()
        summary = PolicySummary.of(agent.policy, backend).to_json() if isinstance(agent, NetworkAgent) else {}
        curve = replace(curve, iteration=self.iteration, env_options=options, backend=used, policy=summary)
        if not isinstance(agent, InContextAgent):
            return curve
        others = reference_agents(agent, self.distribution, self.spec.device)
        returns = {
            name: evaluate_returns(other, self.distribution, plan).per_task
            for name, other in others.items()
            if name != names[1]
        }
        exact = {name: other.expected_returns for name, other in others.items() if isinstance(other, ExactReference)}
        return replace(with_references(curve, returns), exact=exact)

    def metrics(self) -> list[dict[str, object]]:
        """Return one row per meta-iteration."""
        return self.folder.metrics.rows()

    def validations(self) -> list[dict[str, object]]:
        """Return one row per evaluation on validation tasks during training."""
        return self.folder.validation.rows()

    def _check_spaces(self, env: object) -> None:
        if not isinstance(env, gymnasium.Env):
            raise UsageError(f"adapt: expected a gymnasium.Env, such as gymnasium.make(...) returns, not {env!r}")
        for kind in ("observation_space", "action_space"):
            own, given = getattr(self.distribution, kind), getattr(env, kind)
            same = isinstance(given, type(own)) and own.shape == given.shape
            if same and isinstance(own, gymnasium.spaces.Discrete):
                same = (own.n, own.start) == (given.n, given.start)
            if not same:
                raise UsageError(f"adapt: the run was trained with {kind} {own}, the environment has {given}")
