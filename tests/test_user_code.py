"""User code runs with public names only; mypy checks its types (`make check`, tests/test_wheel.py)."""

import agents
import envs
from agents.core.registry import AGENTS
from envs.core.registry import ENVS
from qrl.models import MODELS
from tests.support import user_code


def test_user_file_runs(tmp_path):
    try:
        run = user_code.run_all(tmp_path)
    finally:
        for registry, name in ((ENVS, "drift"), (MODELS, "wide"), (AGENTS, "against")):
            registry.unregister(name)
    assert run.iteration == 1
    assert run.spec.model == "wide"
    assert isinstance(run.distribution, envs.TaskDistribution)
    assert isinstance(run, agents.Run)


def test_user_objects_replace_names(tmp_path):
    run = user_code.train_objects(tmp_path / "given")
    assert run.iteration == 2
    assert (run.spec.env, run.spec.model) == ("drift (given in Python)", "Wide (given in Python)")
