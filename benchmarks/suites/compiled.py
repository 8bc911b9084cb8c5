"""Probes of torch.compile and torch.export: whole graphs, batches of changing size, and gradients."""

import torch
from torch.export import Dim, export
from torch.testing import assert_close

from benchmarks.suites.cases import Case
from benchmarks.suites.probes import Probe, plain_gradient

BATCHES = (2, 5, 3)
"""Numbers of samples of consecutive calls."""


def _compiled(backend: str) -> Probe:
    def probe(case: Case) -> None:
        torch._dynamo.reset()
        module = torch.compile(case.module, backend=backend, fullgraph=True, dynamic=True)
        for batch in BATCHES:
            inputs = case.inputs(batch)
            found = module(*inputs)
            assert_close(found, case.module(*inputs))
            values = dict(case.module.named_parameters())
            by_graph = torch.autograd.grad(found.sin().sum(), list(values.values()), allow_unused=True)
            for expected, one in zip(plain_gradient(case, inputs).values(), by_graph, strict=True):
                assert_close(torch.zeros_like(expected) if one is None else one, expected)

    return probe


def exported(case: Case) -> None:
    """Export with a dynamic number of samples."""
    batch = Dim("batch", min=1, max=1024)
    program = export(case.module, case.inputs(3), dynamic_shapes=tuple({0: batch} for _ in case.widths))
    for size in BATCHES:
        assert_close(program.module()(*case.inputs(size)), case.module(*case.inputs(size)))


COMPILED: dict[str, Probe] = {
    "compile, aot_eager": _compiled("aot_eager"),
    "compile, inductor": _compiled("inductor"),
    "export": exported,
}
