"""Tests of other libraries that cannot pass with our parts, and why: they test what these parts do not claim to be."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from benchmarks.suites.runs import Outcome

REASONS: dict[str, str] = {
    # -- Stable-Baselines3 ---------------------------------------------------------------------------------------------
    "tests.test_dict_env::test_consistency*": "compares the actions of MlpPolicy with those of MultiInputPolicy, "
    "which remains a perceptron",
    "tests.test_train_eval_mode::*": "gives the policy a features extractor with batch normalisation and looks at its "
    "statistics; our policies are features extractors themselves and refuse another",
    "tests.test_run::test_ppo_warnings": "expects advice to use a CPU, which Stable-Baselines3 gives by the name of "
    "its own class, ActorCriticPolicy",
    "tests.test_save_load::test_save_load_no_target_params": "expects a warning about files of versions before 2.4, "
    "whose optimiser has one parameter group; ours have one for each learning rate",
    "tests.test_identity::test_discrete*": "asks for a mean reward after 1200 steps with options chosen for a "
    "perceptron",
    # -- Gymnasium -----------------------------------------------------------------------------------------------------
    "*::test_call_*sync_vector_env*": "reads the attribute gravity of CartPoleEnv; of ours it is a task parameter",
    "tests.vector.test_vector_wrapper::test_vector_env_wrapper_attributes": "reads gravity of CartPoleEnv",
    "tests.test_core::test_get_set_wrapper_attr": "reads and sets gravity of CartPoleEnv",
    "*::test_step_sync_vector_env*": "expects Discrete observations of FrozenLake; ours are one-hot, for policies",
    "*::test_vector_wrapper_equivalence*RescaleObservation*": "names CartPoleEnv's bounds of observations, of which "
    "two are infinite; all of ours are finite",
    "*.test_env_spec::test_full_integration": "asserts the class CartPoleEnv",
    "*.test_env_spec::test_env_spec_pprint": "compares a printed specification, which names the entry point",
    "*.test_make::test_no_arguments": "asserts the class CartPoleEnv",
    "*.test_make::test_max_episode_steps": "asserts the wrapper TimeLimit; our families truncate themselves",
    "*.test_make_vec::test_make_vec_wrappers": "asserts the wrapper TimeLimit; our families truncate themselves",
    "*.test_make::test_make_with_render_mode": "asserts that CartPoleEnv accepts any render mode; ours refuse others",
    "tests.wrappers.vector.test_human_rendering::test_render_modes": "asserts that CartPoleVectorEnv accepts a render "
    "mode that it does not have; ours refuse it",
    "*.test_make::test_make_human_rendering": "asserts that CartPoleEnv opens a window itself; ours does by a wrapper",
    "*.test_make_vec::test_make_vec_env_id": "asserts the class CartPoleVectorEnv",
    "*.test_make_vec::test_make_vec_vectorization_mode": "asserts the class CartPoleVectorEnv",
    "*.test_make_vec::test_make_vec_with_spec*": "gives the option sutton_barto_reward of CartPoleEnv",
}
"""Reason for each pattern of names of tests."""

ONLY_WITH: dict[str, str] = {
    "tests.test_train_eval_mode::*": "a quantum policy has the extractor QuantumFeaturesExtractor",
    "tests.test_identity::test_discrete*": "Mean reward below threshold",
    "*::test_call_*sync_vector_env*": "no attribute 'gravity'",
    "*.test_make_vec::test_make_vec_with_spec*": "unknown option 'sutton_barto_reward'",
}
"""Part of the message that a failure of these tests must have; another failure of the same tests is ours."""


def reason(test: str, outcome: Outcome) -> str | None:
    """Return why a failure is not ours, or None if it is."""
    for pattern, why in REASONS.items():
        if fnmatchcase(test, pattern) and ONLY_WITH.get(pattern, "") in outcome.message:
            return why
    return None


def split(failures: Mapping[str, Outcome]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the tests whose failure is not ours, by reason, and the failures that are ours, with their messages."""
    others: dict[str, list[str]] = {}
    ours: dict[str, str] = {}
    for test, outcome in failures.items():
        why = reason(test, outcome)
        if why is None:
            ours[test] = f"{outcome.status}: {outcome.message}"
        else:
            others.setdefault(why, []).append(test)
    return others, ours
