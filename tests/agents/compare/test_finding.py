"""Finding of a comparison: no claim beyond the intervals."""

from tests.support.compared_runs import HIGHER, STAIRS, saved_group, saved_run, section_of


def test_finding_claims_no_more_than_the_intervals_allow(study, tmp_path):
    for reference in ("mlp", "quantum"):
        finding = section_of(study, reference).finding
        assert finding.startswith("quantum has the highest mean return after 1 gradient step, 4.00 [")
        assert finding.endswith("; +1.00 [+1.00, +1.00] higher than mlp")
    noisy = tmp_path / "noisy"
    saved_group(noisy, "a", STAIRS, model="a")
    saved_group(noisy, "b", [[9.0, 0.0], [0.0, 9.0], [0.0, 0.0], [9.0, 9.0], [2.0, 2.0]], model="b")
    saved_group(noisy, "c", [[each - 2 for each in row] for row in STAIRS], model="c")
    # The next best is named before the reference.
    first, next_best, reference = section_of(noisy, "c").finding.split("; ")
    assert first.startswith("b has the highest mean return")
    assert next_best.startswith("its difference from a, +1.00 [") and next_best.endswith(
        "not distinguishable from zero"
    )
    assert reference.startswith("its difference from c, +3.00 [")


def test_finding_of_groups_without_a_common_seed(tmp_path):
    saved_group(tmp_path, "a", STAIRS, model="a")
    for seed, row in enumerate(HIGHER, start=20):
        saved_run(tmp_path / f"b{seed}", seed, [[0.0, each] for each in row], model="b")
    for reference in ("a", "b"):
        assert section_of(tmp_path, reference).finding.endswith("; no common seed tells whether it differs from a")
    few = section_of([*(tmp_path / f"a-seed{seed}" for seed in range(4)), *tmp_path.glob("b*")])
    assert few.finding == "mean returns after 1 gradient step: b 4.00, a 2.50; a difference needs 5 common seeds"


def test_finding_of_one_group(tmp_path):
    up = [[[0.0, score + 20] for score in row] for row in STAIRS]
    unclear = [[[0.0, 3.0], [1.0, -2.0 + seed]] for seed in range(5)]
    for name, table in (("up", up), ("down", [[[y, x] for x, y in rows] for rows in up]), ("unclear", unclear)):
        for seed, rows in enumerate(table):
            saved_run(tmp_path / name / f"{seed}", seed, rows)
    assert section_of(tmp_path / "up").finding.startswith("maml, mlp: the mean return rises, +23.00 [+")
    assert section_of(tmp_path / "down").finding.startswith("maml, mlp: the mean return falls, −23.00 [−")
    # From (0 + 1) / 2 to (3 + 0) / 2.
    unclear = section_of(tmp_path / "unclear").finding
    assert unclear.startswith("maml, mlp: the change of the mean return, +1.0000 [−")
    assert unclear.endswith(
        "], from 0.5000 to 1.5000 after 1 gradient step, is not distinguishable from zero; 5 seeds, 2 tasks"
    )
    one = "maml, mlp: mean return 0.00 before and 21.00 after 1 gradient step; 1 seed, 2 tasks"
    assert section_of(tmp_path / "up" / "0").finding == one
    assert section_of(tmp_path / "up" / "0", at=0).finding == "maml, mlp: mean return 0.00; 1 seed, 2 tasks"
