"""Study files of the benchmarks, their groups, and the estimates of results."""

from pathlib import Path

import numpy as np
import pytest

import agents
from agents.cli.sweep import TrainWords
from agents.core.context import build
from agents.study.file import read_request
from agents.study.plan import make_plan
from benchmarks import tuning
from benchmarks.shared import studies
from benchmarks.shared.common import RESULTS
from benchmarks.shared.estimates import bootstrapped, differences, means, single, text
from benchmarks.shared.main import TrainingOptions
from qrl.common.files import from_json

FILES = sorted(studies.STUDIES.glob("*.toml"))
CONTROLS = {env: studies.STUDIES / f"controls-{env}.toml" for env in tuning.ENVS}

needs_studies = pytest.mark.skipif(not FILES, reason="a source distribution has no studies")
pytestmark = needs_studies


@pytest.fixture(scope="module")
def runs_of():
    """First seed of each group of a study, by name without the environment."""
    plans: dict[Path, dict] = {}

    def planned(path):
        if path not in plans:
            runs = make_plan(read_request(path), TrainWords()).runs
            first = runs[0].spec.seed
            plans[path] = {run.group.removeprefix(f"{run.spec.env}-"): run for run in runs if run.spec.seed == first}
        return plans[path]

    return planned


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_study_file_names_its_folder(path):
    request = read_request(path)
    assert request.out == Path("studies", path.stem)
    assert len(request.seeds) >= 5, "below five seeds there are no intervals"
    assert len(request.names["env"]) == 1


def test_adaptation_compares_the_circuit_with_controls_of_its_size(runs_of):
    found = runs_of(studies.STUDIES / "adaptation.toml")
    assert list(found) == ["maml-reuploading", "maml-mlp", "maml-fourier", "random"]
    sizes = [build(run.spec)[1].policy.n_parameters for run in found.values() if run.trains]
    assert sizes == [64, 59, 64]
    assert len(read_request(studies.STUDIES / "adaptation.toml").seeds) == 10


def test_cases_of_trials_use_the_defaults_of_the_agent(runs_of):
    spec = runs_of(studies.STUDIES / "trials-bandit-100.toml")["rl2-qgru"].spec
    assert (spec.env, spec.agent, spec.model) == ("bandit", "rl2", "qgru")
    assert (spec.agent_config.episodes, spec.agent_config.meta_batch) == (100, 1000)
    assert (spec.eval_tasks, spec.eval_episodes) == (20_000, 1)


def test_controls_differ_from_the_reference_only_as_named(runs_of):
    found = runs_of(CONTROLS["navigation"])
    reference = found["maml-reuploading"].spec
    assert len(found) == 15
    for name, run in found.items():
        spec = run.spec
        assert name.startswith(spec.agent) and (spec.model in name or spec.agent == "random")
        iterations = 150 if name.endswith("-150") else reference.iterations
        assert (spec.seed, spec.iterations, spec.env_config) == (0, iterations, reference.env_config)
        if spec.agent in ("maml", "finetune"):
            tuned = {"inner_step_size", "extra_step_decay"} | ({"entropy_bonus"} if "explores" in name else set())
            for option, value in vars(reference.agent_config).items():
                if option in vars(spec.agent_config) and option not in tuned:
                    assert getattr(spec.agent_config, option) == value, (name, option)


@pytest.mark.parametrize("env", CONTROLS)
def test_controls_have_the_step_sizes_that_were_chosen_for_them(env, runs_of):
    """The committed result has the scores of all configurations; `later_step_factor` is an earlier name."""
    result = from_json(RESULTS / "controls.json")["results"][env]["controls"]
    found = {name.replace("-", " "): run.spec for name, run in runs_of(CONTROLS[env]).items()}
    assert found.keys() == result.keys()
    for name, spec in found.items():
        for option, value in result[name]["tuned"].items():
            assert getattr(spec.agent_config, option.replace("later_step_factor", "extra_step_decay")) == value


def test_controls_that_train_longer_are_not_tuned_again():
    assert {name for name in tuning.untuned("navigation") if "100x100" in name or "explores" in name} == {
        "maml mlp 100x100",
        "maml unentangled explores",
    }
    assert len(tuning.untuned("navigation")) == 12
    own = tuning.untuned("cartpole")["scratch mlp"]
    assert own == {"agent": "scratch", "model": "mlp", "model.budget": "like:reuploading"}


def test_the_first_of_the_best_configurations_is_chosen():
    tried = [{"a": 1.0, "score": -2.0}, {"a": 2.0, "score": -1.0}, {"a": 3.0, "score": -1.0}]
    assert tuning.best_of(tried) == {"a": 2.0}


def test_quick_check_trains_the_study_into_the_ignored_folder(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(studies, "run_command", lambda words: asked.append(words) or 3)
    monkeypatch.setattr(studies, "RUNS", tmp_path)
    for quick in (True, False):
        with pytest.raises(SystemExit, match="3"):
            studies.train("few_shot", TrainingOptions(seeds=2, jobs=1, quick=quick), ("--iterations", "2"))
    file = str(studies.STUDIES / "few_shot.toml")
    shared = ["--seeds", "2", "--jobs", "1"]
    assert asked == [
        ["sweep", file, "--out", str(tmp_path / "few_shot-quick"), *shared, "--iterations", "2"],
        ["sweep", file, "--out", str(studies.ROOT / "studies" / "few_shot"), *shared],
    ]


def test_intervals_of_single_numbers_are_students():
    # Mean 3, standard deviation 1.581139, five numbers: t(0.975, 4) = 2.776445 times 1.581139 / sqrt(5).
    found = single([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found["mean"] == 3 and found["high"] - 3 == pytest.approx(1.963243, rel=1e-6)
    assert found["low"] == pytest.approx(3 - 1.963243, rel=1e-6)
    assert single([5.0]) == {"mean": 5.0, "low": None, "high": None}
    assert single([1.0, 2.0, 3.0, 4.0])["low"] is None, "too few seeds"


def test_differences_are_paired_by_seed_and_task():
    """Seeds and tasks differ widely but the two by 1 everywhere: the paired interval is narrow."""
    seeds, tasks = np.arange(6.0)[:, None, None] * 10, np.arange(4.0)[None, :, None] * 100
    reference = seeds + tasks + np.zeros(2)
    noise = np.array([0.01, 0.0, -0.01, 0.0, 0.01, -0.01])[:, None, None]
    found = differences(reference + 1 + noise * [0, 1], reference)
    assert found[0] == {"mean": pytest.approx(1.0), "low": pytest.approx(1.0), "high": pytest.approx(1.0)}
    assert found[1]["mean"] == pytest.approx(1.0, abs=0.01) and found[1]["high"] - found[1]["low"] < 0.1
    assert means(reference)[0]["high"] - means(reference)[0]["low"] > 10


def test_bootstrap_is_over_the_rows():
    values = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    first, second = bootstrapped(values)
    assert first["mean"] == 1 and first["low"] == 0 and first["high"] == 2
    assert second == {"mean": 1.0, "low": 1.0, "high": 1.0}


def test_intervals_are_shown_with_their_ends():
    assert text({"mean": 1.25, "low": 1.0, "high": 1.5}, 2) == "1.25 [1.00, 1.50]"
    assert text({"mean": 1.25, "low": None, "high": None}) == "1.2"


def test_groups_hold_the_returns_and_the_cost_of_their_seeds(monkeypatch, tmp_path):
    sizes = {"agent_config": {"meta_batch": 2, "episodes": 2}, "eval_tasks": 3, "eval_steps": 1, "eval_episodes": 2}
    for seed in (0, 1):
        name = tmp_path / "small-quick" / f"navigation-maml-mlp-wide-seed{seed}"
        run = agents.train(name, model="mlp", seed=seed, iterations=1, progress=False, **sizes)
    agents.train(tmp_path / "small-quick" / "navigation-random-seed0", agent="random", eval_tasks=3, progress=False)
    monkeypatch.setattr(studies, "run_command", lambda words: 0)
    monkeypatch.setattr(studies, "RUNS", tmp_path)
    groups = studies.train("small", TrainingOptions(seeds=2, quick=True))
    assert list(groups) == ["maml mlp wide", "random"]
    wide = groups["maml mlp wide"]
    saved = [from_json(each.path / "evaluation.json") for each in wide.runs]
    assert studies.returns(wide).shape == (2, 3, 2)
    assert studies.returns(wide)[1, 2].tolist() == saved[1]["per_task"][2]
    last = studies.seed_rows(wide)[1]
    assert (last["seed"], last["n_policy_parameters"]) == (1, run.agent.policy.n_parameters)
    assert last["env_steps"] == run.folder.metrics.rows()[-1]["env_steps"] > 0
    assert last["evaluation"]["mean"] == saved[1]["mean"] and "per_task" not in last["evaluation"]
    assert (last["spec"]["iterations"], last["training_seconds"] > 0) == (1, True)
    assert studies.seed_rows(groups["random"])[0]["env_steps"] == 0

    again = studies.evaluated_again(wide, lambda run: run.evaluate(tasks=2, episodes=3))
    assert [each.curve.n_tasks for each in again.runs] == [2, 2]
    assert [each.path for each in again.runs] == [each.path for each in wide.runs]
