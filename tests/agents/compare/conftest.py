"""Study of two groups."""

import pytest

from tests.support.compared_runs import HIGHER, POLICY, STAIRS, saved_group


@pytest.fixture
def study(tmp_path):
    saved_group(tmp_path, "a", STAIRS, model="mlp", policy={**POLICY, "n_parameters": 10})
    saved_group(tmp_path, "b", HIGHER, model="quantum", policy=POLICY, returns=(1.0, 9.0, 5.0))
    return tmp_path
