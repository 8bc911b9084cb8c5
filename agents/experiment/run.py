"""A trained agent and its run folder."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np

from agents.core.context import backend_of, build, seed_shots, set_backend, torch_generator
from agents.core.rollout import InContextAgent, OracleAgent, collect_episodes
from agents.core.spec import LARGEST_EPISODES, Spec, check_seed
from agents.core.values import to_plain
from agents.experiment.adapted_policy import AdaptedPolicy
from agents.experiment.evaluation import Curve, adaptation_curve, beside, play
from agents.experiment.loop import Training
from agents.experiment.references import beside_which
from agents.runs import origins
from agents.runs.folder import RunFolder
from qrl.backends.backend import Backend
from qrl.common.checks import check_count
from qrl.common.errors import UsageError
from qrl.common.registry import short_name


class Run:
    """A trained agent and its run folder: what `train` and `load` return."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.changes = origins.changes(folder)
        """What is not as it was when the run was trained, as sentences."""
        self.spec = Spec.from_json(folder.config["spec"], where=str(folder.path / "config.json"))
        self.distribution, self.agent = build(self.spec)
        self.problems: tuple[str, ...] = ()
        self.iteration = 0
        """Meta-iterations that the agent has been trained for."""
        if learns(self.agent):
            checkpoint = folder.load()
            training = Training(self.spec, self.distribution, self.agent)
            training.load(checkpoint)
            self.problems, self.iteration = checkpoint.problems, checkpoint.iteration

    def adapt(
        self, env: gymnasium.Env | None = None, *, episodes: int = 20, steps: int = 1, seed: int = 0
    ) -> AdaptedPolicy:
        """Adapt to one environment of your own in `steps` updates of `episodes` episodes each.

        `env` is any `gymnasium.Env` with the observation and action space that the run was trained on; without one, the
        nominal task. An agent that learns in its memory plays all these episodes as one trial, without updates: `steps`
        is 1. Raises UsageError if the spaces do not fit, a count cannot be, or the agent has to be told the task.
        """
        if isinstance(self.agent, OracleAgent):
            raise UsageError(f"adapt: agent {self.spec.agent} is told the task and does not adapt")
        if isinstance(self.agent, InContextAgent):
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
        seed_shots(self.agent, *stream.spawn(1))
        state = self.agent.begin(1, 1)
        for step in range(steps):
            rollout, state = collect_episodes(
                env,
                self.agent,
                state,
                generator,
                n_episodes=episodes,
                max_steps=self.distribution.horizon,
                seed=seed if step == 0 else None,
            )
            state = self.agent.adapt(state, rollout)
        return AdaptedPolicy(self.agent, state, generator, self.distribution.observation_space.shape)

    def evaluate(
        self,
        *,
        tasks: int = 100,
        steps: int | None = None,
        episodes: int = 40,
        split: str = "test",
        seed: int = 0,
        backend: Backend | None = None,
    ) -> Curve:
        """The adaptation curve on tasks of a split, beside those of references; see `agents.experiment.evaluation`.

        `steps`: by default what the run was configured with. `backend`: where circuits run, by default where they did
        in training. Raises UsageError for what cannot be used.
        """
        if steps is not None and isinstance(self.agent, InContextAgent):
            raise UsageError(f"evaluate: agent {self.spec.agent} learns in its memory and takes no gradient steps")
        steps = self.spec.eval_steps if steps is None else steps
        check_count("tasks", tasks, least=2)
        check_count("steps", steps)
        check_count("episodes", episodes, most=LARGEST_EPISODES)
        check_seed("seed", seed)
        names = (short_name(self.spec.env), short_name(self.spec.agent))
        model = short_name(self.spec.model) if hasattr(self.agent, "policy") else ""
        used = backend_of(self.spec) if backend is None else backend
        how: dict[str, Any] = {
            "n_tasks": tasks,
            "steps": steps,
            "episodes": episodes,
            "split": split,
            "seed": seed,
            "device": self.spec.device,
        }
        with self.on(used):
            curve = adaptation_curve(self.agent, self.distribution, names=(*names, model), **how)
        notes = {"env_options": to_plain(self.spec.env_config), "backend": used.to_json()}
        curve = replace(curve, iteration=self.iteration, **notes)
        if not isinstance(self.agent, InContextAgent):
            return curve
        others = beside_which(self.agent, self.distribution, self.spec.device)
        returns = {
            name: play(agent, self.distribution, **how).per_task for name, agent in others.items() if name != names[1]
        }
        exact = {name: agent.expected_returns for name, agent in others.items() if hasattr(agent, "expected_returns")}
        return replace(beside(curve, returns), exact=exact)

    @contextlib.contextmanager
    def on(self, backend: Backend) -> Iterator[None]:
        """With the policy's circuits on this backend for the while, with shots of its own.

        Raises UsageError if there are none and they would run otherwise than exactly.
        """
        own, device = backend_of(self.spec), self.spec.device
        set_backend(self.agent, backend, device)
        try:
            yield
        finally:
            set_backend(self.agent, own, device)

    def metrics(self) -> list[dict[str, Any]]:
        """One row per meta-iteration."""
        return self.folder.metrics()

    def _check_spaces(self, env: Any) -> None:
        if not isinstance(env, gymnasium.Env):
            raise UsageError(f"adapt: a gymnasium.Env is needed, such as gymnasium.make(...) gives, not {env!r}")
        for kind in ("observation_space", "action_space"):
            own, given = getattr(self.distribution, kind), getattr(env, kind)
            same = isinstance(given, type(own)) and own.shape == given.shape
            if same and isinstance(own, gymnasium.spaces.Discrete):
                same = (own.n, own.start) == (given.n, given.start)
            if not same:
                raise UsageError(f"adapt: the run was trained with {kind} {own}, the environment has {given}")


def learns(agent: Any) -> bool:
    """Whether the agent has an outer step to train; references such as `random` have none."""
    return hasattr(agent, "update")
