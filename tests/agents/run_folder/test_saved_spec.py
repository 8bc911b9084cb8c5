"""Specs of earlier versions, whose options had other names."""

import json

import pytest

from agents.core.registry import REGISTRIES
from agents.core.spec import Spec
from agents.runs.folder import RunFolder
from agents.runs.saved_spec import RENAMED, read_spec, spec_of
from qrl.common.errors import UsageError
from qrl.common.options import option_names

OLD = {
    "env": "CartPole-v1",
    "env_config": {"vary": ["gravity=5:15"], "unproved": ["gravity"]},
    "agent": "maml",
    "agent_config": {"dice_memory": 0.5, "later_step_factor": 0.2},
}


def test_renamed_options_are_read(tmp_path):
    folder = RunFolder.create(tmp_path / "run", {"spec": OLD})
    (tmp_path / "bare.json").write_text(json.dumps(OLD))
    for spec in (spec_of(folder), Spec.from_json(read_spec(tmp_path / "bare.json"))):
        assert (spec.agent_config.dice_lambda, spec.agent_config.extra_step_decay) == (0.5, 0.2)
        assert spec.env_config.skip_sensitivity_check == ("gravity",)


def test_no_present_option_has_the_old_name_of_another():
    for role in ("env", "agent", "model"):
        present = {
            name
            for plugin, summary in REGISTRIES[role].available().items()
            if summary.usable
            for name in option_names(REGISTRIES[role].load(plugin).Config)
        }
        assert not present & RENAMED.get(f"{role}_config", {}).keys()


def test_a_name_that_never_was_is_refused(tmp_path):
    folder = RunFolder.create(tmp_path / "run", {"spec": OLD | {"agent_config": {"dice_memry": 1.0}}})
    with pytest.raises(UsageError, match="unknown option 'dice_memry'; did you mean 'dice_lambda'"):
        spec_of(folder)
