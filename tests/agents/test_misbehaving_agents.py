"""Agents and models that raise, or return something else: one line that names the agent; the checkpoint is kept."""

import math
from types import SimpleNamespace

import pytest
import torch

import agents
from agents.runs.folder import RunFolder
from qrl.common.errors import TrainingError
from qrl.common.registry import NoOptions
from tests.support.environments import Counter


class Mine:
    """A learner that does nothing, until one of its methods is replaced after the first iteration."""

    n_tasks, n_envs, n_rollouts = 2, 2, 2
    broken = ""
    result = None

    def __init__(self):
        self.weight, self.iteration = torch.zeros(1), 0

    def _is_broken(self, name):
        return self.broken == name and self.iteration >= 1

    def begin(self, n_tasks, n_envs):
        if self._is_broken("begin"):
            return self.result()
        return torch.zeros(n_tasks, n_envs)

    def act(self, state, observation, generator):
        if self._is_broken("act"):
            return self.result()
        return torch.ones(state.shape, dtype=torch.int64), state

    def to_environment(self, action):
        return self.result() if self._is_broken("to_environment") else action

    def adapt(self, state, rollout):
        return self.result() if self._is_broken("adapt") else state

    def update(self, rollouts, states, progress_remaining):
        if self._is_broken("update"):
            return self.result()
        self.iteration += 1
        return {"loss": 1.0}

    def state_dict(self):
        return self.result() if self._is_broken("state_dict") else {"weight": self.weight}

    def load_state_dict(self, tensors):
        self.weight = tensors["weight"]


def fail():
    raise GeneratorExit


def leave():
    raise SystemExit(0)


def train(path, cls):
    plugin = SimpleNamespace(Config=NoOptions, build=lambda config, context: cls())
    options = {"iterations": 3, "checkpoint_every": 1, "eval_tasks": 2, "eval_episodes": 2, "progress": False}
    return agents.train(path, env=Counter(), agent=plugin, **options)


@pytest.mark.parametrize(
    ("method", "result", "message"),
    [
        ("begin", fail, "agent Mine: GeneratorExit"),
        ("begin", lambda: None, "agent Mine: AttributeError: 'NoneType' object has no attribute 'shape'"),
        ("act", leave, "agent Mine: SystemExit: 0"),
        ("act", lambda: None, "agent Mine: TypeError: cannot unpack non-iterable NoneType object"),
        ("act", lambda: (None, None), "agent Mine: act returned NoneType as the actions, not a tensor"),
        ("act", lambda: (torch.ones(3, 1), None), r"agent Mine: .* act returned have shape \[3, 1\], not \[2 tasks, 2"),
        ("act", lambda: (torch.full((2, 2), math.nan), None), "actions are not finite at step 0"),
        ("to_environment", lambda: torch.ones(2, 2), "^counter: action must be integers of shape"),
        ("to_environment", lambda: torch.full((2, 2), 7), "^counter: actions must be integers from 1 to 2"),
        ("to_environment", lambda: None, "agent Mine: AttributeError"),
        ("adapt", fail, "agent Mine: GeneratorExit"),
        ("update", fail, "agent Mine: GeneratorExit"),
        ("update", lambda: None, "update returned None, not a dict of metrics"),
        ("update", lambda: {"loss": torch.ones(2)}, "agent Mine: TypeError: .*Tensor is not JSON serializable"),
        ("update", lambda: {"loss": math.nan}, "the metric loss is not finite: it diverged"),
        ("state_dict", leave, "agent Mine: SystemExit: 0"),
        ("state_dict", lambda: None, "agent Mine: TypeError"),
    ],
)
def test_agent_that_misbehaves_in_the_second_iteration(method, result, message, tmp_path, unchecked):
    broken = type("Mine", (Mine,), {"broken": method, "result": staticmethod(result)})
    with pytest.raises(TrainingError, match=message) as caught:
        train(tmp_path / "run", broken)
    assert "\n" not in str(caught.value)
    if method != "state_dict":
        assert RunFolder.open(tmp_path / "run").checkpoints.load().iteration == 1


def test_environment_in_torch_that_raises(tmp_path):
    class Broken(Counter):
        def transition(self, state, action, tasks):
            if len(state) == 4:
                raise StopIteration
            return super().transition(state, action, tasks)

    plugin = SimpleNamespace(Config=NoOptions, build=lambda config, context: Mine())
    with pytest.raises(TrainingError, match=r"^counter: StopIteration"):
        agents.train(tmp_path / "run", env=Broken(), agent=plugin, iterations=1, progress=False)
