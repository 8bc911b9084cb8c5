"""Learning rates that change at a resume: they are used, recorded, and leave checkpoints usable."""

import json

import pytest
import torch

import agents
from agents.cli.main import main
from agents.experiment.start import run_training
from agents.runs.folder import RunFolder
from agents.runs.history import changed, earlier_rates, original
from agents.runs.seal import identity
from qrl.common.errors import UsageError
from qrl.models import MODELS
from tests.support.killed_training import killed
from tests.support.maml_training import spec
from tests.support.run_folders import contents

pytestmark = pytest.mark.usefixtures("no_pictures")

SMALL_NET = MODELS.load("mlp").Config(hidden=(3,))
RATES = {
    "maml": ("lr_angles", "lr_scales", "lr_heads", "lr_step_sizes"),
    "finetune": ("lr_angles", "lr_scales", "lr_heads", "lr_step_sizes"),
    "reinforce": ("lr_angles", "lr_scales", "lr_heads"),
    "sb3_ppo": ("learning_rate",),
}


def trained(path, agent="maml", **options):
    config = {"meta_batch": 2, "episodes": 2} | options
    return run_training(
        spec(agent=agent, agent_config=config, model="mlp", model_config=SMALL_NET, iterations=2), path, quiet=True
    )


def weights(run) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in run.agent.state_dict().items() if name.startswith("params/")}


@pytest.mark.parametrize("agent", RATES)
def test_changed_rates_are_those_of_the_next_updates(tmp_path, agent):
    """With rates of zero, nothing moves any more, whatever the optimiser's restored state says."""
    before = weights(trained(tmp_path / "run", agent))
    frozen = agents.resume(
        tmp_path / "run", iterations=4, agent_config=dict.fromkeys(RATES[agent], 0.0), progress=False
    )
    assert frozen.iteration == 4
    assert all(torch.equal(before[name], value) for name, value in weights(frozen).items())
    moved = agents.resume(tmp_path / "run", iterations=6, agent_config={RATES[agent][0]: 0.01}, progress=False)
    assert any(not torch.equal(before[name], value) for name, value in weights(moved).items())
    assert [entry["iteration"] for entry in moved.folder.config["history"]] == [2, 4]


def test_optimiser_uses_the_new_rate_times_the_kept_factor(tmp_path):
    factor = float(trained(tmp_path / "run").agent.state_dict()["caution"])
    seen = []
    update = agents.KLAdaptiveAdam._begin

    def recorded(self, progress_remaining):
        update(self, progress_remaining)
        seen.append((float(self._lr_scale), {group["lr"] for group in self.adam.param_groups}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agents.KLAdaptiveAdam, "_begin", recorded)
        rates = {"lr_angles": 0.004, "lr_scales": 0.004, "lr_heads": 0.002, "lr_step_sizes": 0.004}
        agents.resume(tmp_path / "run", iterations=4, agent_config=rates, progress=False)
    assert factor != 1 and seen[0][0] == factor
    assert sorted(seen[0][1]) == pytest.approx([0.5 * factor * 0.002, 0.5 * factor * 0.004])


def test_history_has_every_change(tmp_path, capsys):
    path = tmp_path / "run"
    start = identity(trained(path).folder.config)
    assert main(["resume", str(path), "--agent.lr-heads", "1e-3", "--iterations", "3"]) == 0
    assert "note: agent_config.lr_heads changes from 0.02 to 0.001 after iteration 2\n" in capsys.readouterr().err
    assert main(["resume", "--agent.lr-heads=0.5", "--agent.lr-angles", "0.25", str(path), "--iterations", "4"]) == 0
    assert main(["resume", str(path), "--agent.lr-heads", "0.5"]) == 0  # its present value
    config = json.loads((path / "config.json").read_text())
    assert [(entry["iteration"], entry["changed"]) for entry in config["history"]] == [
        (2, {"agent_config.lr_heads": {"from": 0.02, "to": 0.001}, "iterations": {"from": 2, "to": 3}}),
        (
            3,
            {
                "agent_config.lr_heads": {"from": 0.001, "to": 0.5},
                "agent_config.lr_angles": {"from": 0.01, "to": 0.25},
                "iterations": {"from": 3, "to": 4},
            },
        ),
    ]
    assert config["spec"]["agent_config"]["lr_heads"] == 0.5
    folder = RunFolder.open(path)
    assert identity(folder.config) == start == folder.checkpoints.identity
    assert agents.load(path).problems == ()
    assert (path / "config.json").read_bytes() == (path / ".config-copy.json").read_bytes()
    file = path / "config.json"
    file.write_text(file.read_text().replace('"to": 0.25', '"to": 0.35'))
    with pytest.raises(UsageError, match="damaged or edited"):
        agents.load(path)


def test_original_spec_by_hand():
    spec = {"iterations": 5, "agent_config": {"lr": 3.0, "clip": 0.2}}
    history = [
        {"iteration": 1, "changed": {"agent_config.lr": {"from": 1.0, "to": 2.0}, "patience": {"from": 0, "to": 4}}},
        {"iteration": 2, "changed": {"agent_config.lr": {"from": 2.0, "to": 3.0}}},
    ]
    config = {"spec": spec, "history": history}
    assert original(config, spec) == {"iterations": 5, "agent_config": {"lr": 1.0, "clip": 0.2}, "patience": 0}
    assert changed(spec, {"agent_config.lr": 7.0, "patience": 1})["agent_config"] == {"lr": 7.0, "clip": 0.2}
    assert earlier_rates(config) == {"agent_config.lr": [(1, 1.0), (2, 2.0)]}
    for odd in (3, [3], [{"changed": 3}], [{"changed": {"iterations": 3}}], None):
        assert original({"history": odd}, spec) == spec
        assert earlier_rates({"history": odd}) == {}


def test_a_rate_that_no_iteration_used_leaves_no_trace():
    history = [{"iteration": 0, "changed": {"agent_config.lr": {"from": 1.0, "to": 2.0}}}]
    assert earlier_rates({"history": history}) == {}


def test_change_survives_a_kill_before_the_next_checkpoint(tmp_path):
    trained(tmp_path / "run")
    with killed(after=2):
        agents.resume(tmp_path / "run", iterations=4, agent_config={"lr_heads": 0.5}, progress=False)
    again = agents.resume(tmp_path / "run", progress=False)
    assert again.iteration == 4 and again.spec.agent_config.lr_heads == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--agent.clip", "0.3"], "resume cannot change --agent.clip, only --agent.lr-angles, --agent.lr-scales, "),
        (["--agent.lr-angle", "0.3"], "unknown option --agent.lr-angle; did you mean --agent.lr-angles?"),
        (["--agent.lr-angles", "-0.3"], "agent maml: lr_angles must be finite and not negative, not -0.3"),
        (["--agent.lr-angles", "fast"], "agent_config.lr_angles: expected a number, found 'fast'"),
        (["--agent.lr-angles", "nan"], "agent_config.lr_angles is nan: a finite number is needed"),
        (["--agent.lr-angles"], "--agent.lr-angles: expected one argument"),
        (
            ["--agent.lr-heads", "0.5"],
            "its end, iteration 2: a change of agent_config.lr_heads would train nothing",
        ),
        (["--patience", "3"], "patience 3 needs validations: give validate-every"),
        (["--validate-every", "-1"], "validate-every must be at least 0, not -1"),
    ],
)
def test_refused_changes_write_nothing(tmp_path, capsys, arguments, message):
    path = tmp_path / "run"
    trained(path)
    before = contents(path)
    assert main(["resume", str(path), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert contents(path) == before


def test_refused_changes_in_python(tmp_path):
    trained(tmp_path / "run", outer="trpo")
    with pytest.raises(UsageError, match=r"cannot change agent_config\.clip: another option needs a new run"):
        agents.resume(tmp_path / "run", agent_config={"clip": 0.5})
    with pytest.raises(UsageError, match="lr_angles has no effect with outer trpo"):
        agents.resume(tmp_path / "run", agent_config={"lr_angles": 0.5})
    with pytest.raises(UsageError, match=r"did you mean 'agent_config\.lr_heads'"):
        agents.resume(tmp_path / "run", agent_config={"lr_head": 0.5})
