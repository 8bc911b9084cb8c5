"""Groups of runs: the configuration that they share, and labels that name what differs."""

import pytest

from agents.compare.api import compare
from agents.compare.groups import differing_options
from qrl.common.errors import UsageError
from tests.support.compared_runs import STAIRS, saved_group, saved_run, section_of


def test_runs_that_differ_only_in_their_seed_are_one_group(study):
    section = section_of(study)
    assert [(group.label, group.n_seeds, group.seeds) for group in section.groups] == [
        ("mlp", 5, (0, 1, 2, 3, 4)),
        ("quantum", 5, (0, 1, 2, 3, 4)),
    ]
    assert section.reference == "mlp" and section.differing == ("model",)


@pytest.mark.parametrize(
    ("first", "second", "labels"),
    [
        ({"options": {"inner_steps": 1}}, {"options": {"inner_steps": 2}}, ["inner-steps 1", "inner-steps 2"]),
        ({"agent": "maml"}, {"agent": "reptile"}, ["maml", "reptile"]),
        ({"agent": "maml"}, {"agent": "random", "model": ""}, ["maml, mlp", "random"]),
        ({"iteration": 3}, {"iteration": 5}, ["iterations 3", "iterations 5"]),
        ({"options": {"a": 1, "b": 1, "c": 1, "d": 1}}, {}, ["one", "two"]),
    ],
)
def test_labels_name_what_differs(tmp_path, first, second, labels):
    saved_group(tmp_path, "one", [[1.0, 2.0]], **first)
    saved_group(tmp_path, "two", [[1.0, 2.0]], **second)
    assert [group.label for group in section_of(tmp_path).groups] == labels


def test_one_configuration_is_labelled_with_agent_and_model(tmp_path):
    (group,) = section_of(saved_group(tmp_path, "one", STAIRS)).groups
    assert group.label == "maml, mlp"
    assert (group.difference, group.improvement, section_of(tmp_path).reference) == (None, None, "")


def test_seeds_that_end_early_by_their_patience_are_one_group(tmp_path):
    spec = {"spec": {"iterations": 9, "patience": 2}}
    for seed in (0, 1):
        saved_run(tmp_path / f"a{seed}", seed, [[0.0, 1.0], [0.0, 2.0 + seed]], iteration=5 + seed, config=spec)
    (group,) = section_of(tmp_path).groups
    assert group.n_seeds == 2 and group.options["iterations"] == 9


def start(path, checkpoint="last"):
    """Configuration of a run that starts from the weights of another."""
    origin = {"path": path, "checkpoint": checkpoint, "run": "a", "iteration": 3, "weights": "b"}
    return {"start_from": origin}


def test_runs_that_start_from_other_weights_are_other_groups(tmp_path):
    for name, config in (
        ("a", {}),
        ("b", start("/runs/first-seed1")),
        ("c", start("/runs/first-seed1", "best")),
        ("d", start("/runs/second")),
    ):
        saved_run(tmp_path / name, 0, [[0.0, 1.0], [0.0, 2.0]], config=config)
    # A seed that starts from another seed of one study is of the same configuration.
    saved_run(tmp_path / "e", 1, [[0.0, 1.0], [0.0, 2.0]], config=start("/runs/first-seed2"))
    section = section_of(tmp_path)
    assert [group.options.get("from") for group in section.groups] == [
        *(None, "/runs/first", "/runs/first/best", "/runs/second")
    ]
    assert [group.seeds for group in section.groups] == [(0,), (0, 1), (0,), (0,)] and section.differing == ("from",)
    assert [group.label for group in section.groups] == [
        *("from random weights", "from first", "from first/best", "from second")
    ]
    saved_run(tmp_path / "f", 0, [[0.0, 1.0], [0.0, 2.0]], config={"start_from": {"path": 3}})
    with pytest.raises(UsageError, match=r"f/config.json: start_from"):
        compare(tmp_path)


def test_a_learning_rate_that_a_resume_has_changed_is_another_configuration(tmp_path):
    history = [{"iteration": 2, "changed": {"agent_config.lr_heads": {"from": 0.1, "to": 0.5}}}]
    longer = [{"iteration": 2, "changed": {"iterations": {"from": 2, "to": 3}}}]
    for seed, kept in enumerate(([], history, longer)):
        config = {"history": kept} if kept else {}
        saved_run(tmp_path / f"{seed}", seed, [[0.0, 1.0], [0.0, 2.0]], options={"lr_heads": 0.5}, config=config)
    groups = section_of(tmp_path).groups
    assert [group.seeds for group in groups] == [(0, 2), (1,)]
    assert [group.label for group in groups] == ["lr-heads 0.5", "lr-heads 0.1 to iteration 2, then 0.5"]
    assert [group.members[0].changes for group in groups] == [
        (),
        ("resumed after iteration 2 with --agent.lr-heads 0.5 instead of 0.1",),
    ]
    assert groups[1].options["agent.lr-heads"] == "0.1 to iteration 2, then 0.5"


def test_a_rate_that_no_evaluated_iteration_used_makes_no_difference(tmp_path):
    def changed(iteration, before, after):
        return {"iteration": iteration, "changed": {"agent_config.lr_heads": {"from": before, "to": after}}}

    history = [changed(1, 0.1, 0.2), changed(2, 0.2, 0.3), changed(3, 0.3, 0.5)]
    for seed in range(2):
        config = {"history": history[: 2 + seed]}
        last = history[1 + seed]["changed"]["agent_config.lr_heads"]["to"]
        saved_run(tmp_path / f"{seed}", seed, [[0.0, 1.0], [0.0, 2.0]], options={"lr_heads": last}, config=config)
    (group,) = section_of(tmp_path).groups  # evaluated after iteration 3
    assert group.options["agent.lr-heads"] == "0.1 to iteration 1, 0.2 to iteration 2, then 0.3"


def test_labels_name_options_that_one_agent_or_model_has_twice(tmp_path):
    alone = {"model": "", "agent": "random", "returns": (), "iteration": 0}
    saved_group(tmp_path, "a", [[1.0, 2.0]], model="mlp", options={"lr": 0.1}, config=start("/runs/first-seed0"))
    saved_group(tmp_path, "b", [[1.0, 2.0]], model="fourier", options={"lr": 0.2})
    saved_group(tmp_path, "c", [[1.0, 2.0]], model_options={"depth": 7}, **alone)
    assert [group.label for group in section_of(tmp_path).groups] == [
        "maml, mlp, from first, lr 0.1",
        "maml, fourier, from random weights, lr 0.2",
        "random",
    ]


def test_an_option_that_a_group_lacks_differs():
    assert differing_options([{"a": 1, "b": 2}, {"a": 1}, {"a": 1, "c": None}]) == ["b"]
