"""The number of trainable parameters: where a user looks for it, it is the same."""

import json

import agents

SMALL = {"iterations": 1, "threads": 1, "eval_tasks": 2, "eval_steps": 1, "eval_episodes": 2}


def test_the_number_of_parameters_is_shown_and_saved(tmp_path, capsys):
    """Weights, scales, read-out and head: 28 + 24 + (2 * 4 + 2) + 2."""
    options = {"env_config": {"horizon": 3}, "agent_config": {"meta_batch": 2, "episodes": 2}}
    run = agents.train(tmp_path / "run", env="navigation", agent="maml", model="reuploading", **options, **SMALL)
    assert run.n_parameters == 28 + 24 + (2 * 4 + 2) + 2
    assert capsys.readouterr().out.startswith("policy: 64 parameters (28 angles, 24 scales, 12 heads); 4 wires, ")
    for name in ("config.json", "evaluation.json"):
        assert json.loads((tmp_path / "run" / name).read_text())["policy"]["n_parameters"] == 64
