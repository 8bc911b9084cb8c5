"""All probes of torch's transforms on all models."""

import warnings
from collections.abc import Mapping

from benchmarks.suites.cases import cases
from benchmarks.suites.probes import Probe


def run_probes(probes: Mapping[str, Probe], *, small: bool = False) -> tuple[int, dict[str, str]]:
    """Return the number of probes, and the failures with their messages, by model and transform.

    `small`: models have small circuits.
    """
    n_probes, failures = 0, {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of tracing and of deprecated functions
        for case in cases(small=small):
            for name, probe in probes.items():
                n_probes += 1
                try:
                    probe(case)
                except Exception as error:  # a transform that does not fit may raise anything
                    message = " ".join(str(error).split())[:300]
                    failures[f"{case.name}: {name}"] = f"{type(error).__name__}: {message}"
                case.module.zero_grad(set_to_none=True)
    return n_probes, failures
