"""Plans of studies: their runs, names, words and notes, and what is refused."""

import dataclasses

import pytest

from agents.cli.sweep import TrainWords, make_request
from agents.cli.train import parse_train
from agents.study import naming
from agents.study.plan import Plan, make_plan
from agents.study.setting import setting
from qrl.common.errors import UsageError
from tests.support.studies import SMALL


def plan_of(*arguments: str) -> Plan:
    """Plan of a command line of `sweep`."""
    return make_plan(make_request(arguments), TrainWords())


def refusal(*arguments: str) -> str:
    with pytest.raises(UsageError) as refused:
        plan_of(*arguments)
    return str(refused.value)


def names(plan: Plan) -> list[str]:
    return [run.name for run in plan.runs]


def test_product_of_plug_ins_options_and_seeds():
    plan = plan_of("--models", "mlp,fourier", "--grid", "agent.inner-steps=1,2", "--seeds", "2", "--shots=0")
    assert names(plan) == [
        f"navigation-maml-{model}-inner_steps{steps}-seed{seed}"
        for model in ("mlp", "fourier")
        for steps in (1, 2)
        for seed in (0, 1)
    ]
    assert plan.notes == ()
    run = plan.runs[3]
    assert run.words == (
        *("--env", "navigation", "--agent", "maml", "--model", "mlp"),
        *("--shots=0", "--agent.inner-steps=2", "--threads", "1", "--seed", "1"),
    )
    assert (run.spec.agent_config.inner_steps, run.spec.seed, run.spec.threads) == (2, 1, 1)
    assert (run.trains, run.iterations) == (True, 60)


def test_words_give_the_planned_spec():
    plan = plan_of(
        "--env", "bandit,navigation", "--agent", "rl2", "--seeds", "3,5", "--threads", "2", "--iterations", "7"
    )
    assert [run.spec.seed for run in plan.runs] == [3, 5, 3, 5]
    for run in plan.runs:
        spec, *_ = parse_train(run.words)
        assert spec == run.spec
        assert (spec.threads, spec.iterations, spec.model) == (2, 7, "qgru")


def test_defaults_are_those_of_train():
    plan = plan_of("--env", "bandit")
    assert names(plan) == ["bandit-rl2-qgru-seed0"]
    assert plan.notes == ("note: training rl2, the default agent for bandit",)
    assert str(plan.default_out) == "studies/bandit-rl2-qgru"
    assert plan_of("--models", "mlp,fourier").default_out is None


def test_options_of_some_plug_ins_apply_to_those():
    plan = plan_of(
        "--models", "reuploading,mlp,fourier", "--model.budget", "like:reuploading", "--grid", "model.n-wires=2,3"
    )
    assert names(plan) == [
        "navigation-maml-reuploading-n_wires2-seed0",
        "navigation-maml-reuploading-n_wires3-seed0",
        "navigation-maml-mlp-seed0",
        "navigation-maml-fourier-seed0",
    ]
    assert plan.notes == (
        "note: --model.budget applies to mlp, fourier, not to reuploading",
        "note: --model.n-wires applies to reuploading, not to mlp, fourier",
    )
    assert [run.spec.options("model").get("budget") for run in plan.runs] == [None, None, *["like:reuploading"] * 2]


def test_aliases_apply_to_gymnasium_ids():
    plan = plan_of("--envs", "navigation,CartPole-v1", "--agent", "random", "--vary", "gravity=5:15")
    assert names(plan) == ["navigation-random-seed0", "CartPole-v1-random-seed0"]
    assert plan.notes == ("note: --vary applies to CartPole-v1, not to navigation",)


def test_agents_without_a_network_run_once_for_all_models():
    plan = plan_of("--agents", "maml,random", "--models", "mlp,fourier", "--policy.head", "gaussian")
    assert names(plan) == ["navigation-maml-mlp-seed0", "navigation-maml-fourier-seed0", "navigation-random-seed0"]
    assert plan.notes == ("note: --model, --policy.head: no effect on agent random",)
    random = plan.runs[2]
    assert random.words == ("--env", "navigation", "--agent", "random", "--threads", "1", "--seed", "0")
    assert (random.trains, random.iterations) == (False, 0)


def test_variants_with_plug_ins_of_their_own_need_no_name(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(
        """
        variants = [
            { options = { agent = "maml", model = "reuploading", "model.n-wires" = 2 } },
            { options = { agent = "maml", model = "mlp" } },
            { name = "wide", options = { agent = "maml", model = "mlp", "model.hidden" = [50, 50] } },
            { options = { agent = "random" } },
        ]
        [options]
        "model.depth" = 3
        """
    )
    plan = plan_of(str(file))
    assert names(plan) == [
        "navigation-maml-reuploading-seed0",
        "navigation-maml-mlp-seed0",
        "navigation-maml-mlp-wide-seed0",
        "navigation-random-seed0",
    ]
    # The options of a variant are for its own plug-ins: no note says that others lack them.
    assert plan.notes == ("note: --model.depth applies to mlp, not to reuploading, the default model",)


def test_option_that_no_plug_in_of_its_variant_has_is_noted(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(
        """
        variants = [
            { options = { model = "mlp", "model.n-wires" = 2, "agent.clip" = 0.1 } },
            { options = { model = "reuploading" } },
        ]
        """
    )
    assert plan_of(str(file)).notes == ("note: --model.n-wires does not apply to mlp",)


def test_impossible_combinations_are_named():
    assert refusal("--agents", "rl2,maml", "--models", "gru").startswith("agent maml, model gru: ")
    assert refusal("--agent", "maml", "--model", "gru", "--env", "navigation").startswith("model 'gru'")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid", "agent.inner-stepz=1"], "agent.inner-stepz; did you mean --agent.inner-steps?"),
        (["--grid", "agent.inner-steps=1,x"], "--agent.inner-steps: expected a whole number, found 'x'"),
        (["--grid", "agent.inner-steps=1,2,1"], "grid: agent.inner-steps: 1 is given twice"),
        (["--grid", "agent.inner-steps=1", "agent.inner_steps=2"], "--grid: an option is given as two axes"),
        (["--grid", "agent.clip=0.1,0.2", "--agent.clip", "0.3"], "agent.clip is an axis of the grid and an option"),
        (["--grid", "agent.outer=ppo,trpp"], "did you mean 'trpo'?"),
        (["--grid", "seed=1,2"], "seed is no option of single runs in a study: give seeds"),
        (["--grid", "model=mlp,gru"], "model is no option of single runs in a study: give models"),
        (["--agent.inner-stepz", "1"], "unknown option --agent.inner-stepz; did you mean --agent.inner-steps?"),
        (["--iterations", "0"], "iterations must be at least 1, not 0"),
        (["--seeds", "0"], "--seeds must be at least 1, not 0"),
        (["--seeds", "3,x"], "--seeds: expected a number of seeds, such as 10, or seeds, such as 3,5,7; found '3,x'"),
        (["--seeds", "3,3"], "seeds: 3 is given twice"),
        (["--seeds", "3,-1"], "seeds must be at least 0, not -1"),
        (["--seeds", "2", "--seed", "1"], "--seed and --seeds: give one of the two"),
        (["--seeds", "100000"], "--seeds must be at most 10000, not 100000"),
        (["--seeds", "10000", "--models", "mlp,fourier"], "a study has at most 10,000 runs, not 20,000"),
        (["--seeds", "x" * 100], f"such as 3,5,7; found '{'x' * 56}..."),
        (["--seeds", f"{'1' * 100},{'1' * 100}"], "seeds must be at most"),
        (["--grid", "x" * 100], f"--grid {'x' * 57}...: expected NAME=VALUE,VALUE"),
        (["--grid", f"agent.outer={'x' * 100},{'x' * 100}"], f"grid: agent.outer: {'x' * 57}... is given twice"),
        (["--grid", f"agent.outer={'x' * 100}"], f"agent.outer {'x' * 57}...: --agent.outer: expected one of"),
        (["--jobs", "0"], "--jobs must be at least 1, not 0"),
        (["--validate-tasks", "1"], "--validate-tasks must be at least 2, not 1"),
        (["--iterations", "0"], "--iterations must be at least 1, not 0"),
        (["--patience", "2"], "--patience 2 needs validations"),
        (["--env", "cartpole", "--envs", "navigation"], "--env and --envs: give one of the two"),
        (["--agents=maml", "--agent=rl2"], "--agent and --agents: give one of the two"),
        (["--model", "mlp", "--models", "mlp,fourier"], "--model and --models: give one of the two"),
        (["--models", "mlp,mlp"], "models: mlp is given twice"),
        (["--models", "mlp,"], "--models mlp,: expected names separated by commas, such as --models mlp,fourier"),
        (["--models", "mpl"], "unknown model 'mpl'; did you mean 'mlp'?"),
        (["--jobz", "3"], "unknown option --jobz"),
    ],
)  # fmt: skip
def test_refusals(arguments, message):
    assert message in refusal(*arguments)


def test_equal_runs_are_refused():
    one = refusal("--grid", "model.n-wires=4,04")
    assert "would be the same run: drop one of the two" in one


def test_variants_with_the_same_options_are_refused(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text("variants = [{name = 'a', options = {'agent.clip' = 0.2}}, {name = 'b'}]")  # 0.2 is the default
    assert refusal(str(file)).endswith(
        "a-seed0 and navigation-maml-reuploading-b-seed0 would be the same run: "
        "variants 'a' and 'b' have the same options there: drop one of the two"
    )


def test_names():
    spec, *_ = parse_train(["--env", "CartPole-v1", "--model", "mlp", "--agent", "maml"])
    point = [
        setting("agent.lr-heads", 0.01, ""),
        setting("agent.outer", "trpo", ""),
        setting("model.budget", "like:a", ""),
    ]
    assert naming.stem(spec, "my wide", point) == "CartPole-v1-maml-mlp-my_wide-lr_heads0.01-outer_trpo-budget_like_a"
    alike = [setting("agent.rate", 1, ""), setting("model.rate", -2, "")]
    assert naming.stem(spec, "", alike) == "CartPole-v1-maml-mlp-agent_rate1-model_rate-2"
    assert naming.stem(spec, "", [], with_model=False) == "CartPole-v1-maml"
    long = [naming.stem(spec, "v" * 200 + end, []) for end in ("a", "b")]
    assert [len(each) for each in long] == [120, 120]
    assert long[0] != long[1]
    assert naming.seeded("a", 3) == "a-seed3"


def test_names_of_two_plug_ins_do_not_collide(tmp_path, monkeypatch):
    source = "from qrl.models.mlp import *\nfrom qrl.models.mlp import Config, build\n"
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    assert "another run has the same name, navigation-maml-net-seed0" in refusal("--models", "a/net.py,b/net.py")
    plan = plan_of("--models", "a/net.py", *SMALL)
    assert plan.runs[0].words[4:6] == ("--model", str(tmp_path / "a" / "net.py"))


def test_code_of_this_process_only_is_refused():
    import qrl
    from qrl.models import MODELS

    qrl.register_model("only_here", MODELS.load("mlp"))
    try:
        message = refusal("--model", "only_here")
    finally:
        MODELS.unregister("only_here")
    assert message == "model 'only_here' is registered in this process only, a sweep has others: name its file"


def test_plans_do_not_depend_on_where_defaults_come_from():
    (default,), (named,) = (
        plan_of().runs,
        plan_of("--env", "navigation", "--agent", "maml", "--model", "reuploading").runs,
    )
    assert default == named
    assert dataclasses.replace(default.spec, threads=0) == parse_train([])[0]
