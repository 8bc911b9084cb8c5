"""Probes of torch's transforms: each compares a transform of a module with plain calls and gradients."""

import copy
import io
import pickle
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, linearize, stack_module_state, vjp, vmap
from torch.nn.utils import parametrizations, parametrize, prune
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from benchmarks.suites.cases import Case
from qrl.common.errors import UsageError

Probe = Callable[[Case], None]
"""Raises any exception if the module and the transform do not fit."""

Params = dict[str, Tensor]


def params_of(module: nn.Module) -> Params:
    """Return the parameters as values."""
    return {name: value.detach() for name, value in module.named_parameters()}


def scalar(case: Case) -> Callable[[Params, tuple[Tensor, ...]], Tensor]:
    """Return a smooth function of parameters and inputs of the module, a number."""
    return lambda params, inputs: functional_call(case.module, params, inputs).sin().sum()


def plain_gradient(case: Case, inputs: tuple[Tensor, ...]) -> Params:
    """Return the gradient by `backward` of `scalar` with respect to the parameters."""
    names, values = zip(*case.module.named_parameters(), strict=True)
    found = torch.autograd.grad(case.module(*inputs).sin().sum(), values, allow_unused=True)
    pairs = zip(names, values, found, strict=True)
    return {name: torch.zeros_like(value) if each is None else each for name, value, each in pairs}


def gradient_of_parameters(case: Case) -> None:
    inputs = case.inputs(5)
    assert_close(grad(scalar(case))(params_of(case.module), inputs), plain_gradient(case, inputs))


def vjp_of_inputs(case: Case) -> None:
    inputs = tuple(each.requires_grad_() for each in case.inputs(4))
    outputs = case.module(*inputs)
    plain = torch.autograd.grad(outputs.sum(), inputs, allow_unused=True)
    _, pull = vjp(case.module, *(each.detach() for each in inputs))
    for one, other in zip(pull(torch.ones_like(outputs)), plain, strict=True):
        assert_close(one, torch.zeros_like(one) if other is None else other)


def jvp_of_parameters(case: Case) -> None:
    inputs, params = case.inputs(4), params_of(case.module)
    _, slope = jvp(lambda p: scalar(case)(p, inputs), (params,), (params,))
    assert_close(slope, sum((plain_gradient(case, inputs)[name] * value).sum() for name, value in params.items()))


def linearized(case: Case) -> None:
    inputs, params = case.inputs(3), params_of(case.module)
    value, slope = linearize(lambda p: scalar(case)(p, inputs), params)
    assert_close(value, scalar(case)(params, inputs))
    assert_close(slope(params), jvp(lambda p: scalar(case)(p, inputs), (params,), (params,))[1])


def mapped_over_samples(case: Case) -> None:
    inputs = case.inputs(6)
    rows = vmap(lambda *each: case.module(*(x.unsqueeze(0) for x in each)).squeeze(0))(*inputs)
    assert_close(rows, case.module(*inputs))


def gradients_per_sample(case: Case) -> None:
    inputs = case.inputs(4)
    rows = tuple(each.unsqueeze(1) for each in inputs)
    by_sample = vmap(grad(scalar(case)), in_dims=(None, 0))(params_of(case.module), rows)
    for row in range(4):
        expected = plain_gradient(case, tuple(each[row : row + 1] for each in inputs))
        assert_close({name: value[row] for name, value in by_sample.items()}, expected)


def ensemble(case: Case) -> None:
    members = [copy.deepcopy(case.module) for _ in range(3)]
    for shift, member in enumerate(members):
        for value in member.parameters():
            value.data += 0.1 * shift
    stacked, buffers = stack_module_state(members)
    inputs = case.inputs(4)
    found = vmap(lambda p, b: functional_call(case.module, (p, b), inputs))(stacked, buffers)
    assert_close(found, torch.stack([member(*inputs) for member in members]))


def jacobian_by_rows_and_columns(case: Case) -> None:
    inputs, params = case.inputs(3), params_of(case.module)

    def outputs(p: Params) -> Tensor:
        return functional_call(case.module, p, inputs)

    assert_close(jacrev(outputs)(params), jacfwd(outputs)(params))


def jacobian_of_inputs(case: Case) -> None:
    inputs = case.inputs(2)
    chosen = tuple(range(len(inputs)))
    by_rows, by_columns = (way(case.module, argnums=chosen)(*inputs) for way in (jacrev, jacfwd))
    by_engine = torch.autograd.functional.jacobian(case.module, inputs, vectorize=True)
    by_engine = by_engine if isinstance(by_engine, tuple) else (by_engine,)
    assert_close(by_rows, by_columns)
    assert_close(by_rows, by_engine)


def hessian_of_parameters(case: Case) -> None:
    inputs, params = case.inputs(2), params_of(case.module)
    direction = {name: torch.ones_like(value) for name, value in params.items()}
    first = grad(lambda p: scalar(case)(p, inputs))
    _, product = jvp(first, (params,), (direction,))
    full = hessian(lambda p: scalar(case)(p, inputs))(params)
    for name, row in full.items():
        summed = sum(block.flatten(params[name].ndim).sum(-1) for block in row.values())
        assert_close(summed, product[name])
    (by_reverse,) = vjp(first, params)[1](direction)
    assert_close(by_reverse, product)


def checked_gradients(case: Case) -> None:
    inputs = tuple(each.requires_grad_() for each in case.inputs(2))
    tolerance = {"eps": case.step, "atol": max(1e-5, case.step)}
    assert torch.autograd.gradcheck(case.module, inputs, check_forward_ad=True, check_batched_grad=True, **tolerance)
    assert torch.autograd.gradgradcheck(case.module, inputs, **tolerance)


def batched_gradients(case: Case) -> None:
    outputs, value = case.module(*case.inputs(3)), next(case.module.parameters())
    basis = torch.eye(outputs.numel(), dtype=outputs.dtype).reshape(-1, *outputs.shape)
    (found,) = torch.autograd.grad(outputs, value, basis, is_grads_batched=True, retain_graph=True)
    for row, direction in zip(found, basis, strict=True):
        assert_close(row, torch.autograd.grad(outputs, value, direction, retain_graph=True)[0])


def traced(case: Case) -> None:
    module = torch.jit.trace(case.module, case.inputs(2))
    for batch in (1, 5):
        assert_close(module(*case.inputs(batch)), case.module(*case.inputs(batch)))


def deep_copy(case: Case) -> None:
    other = copy.deepcopy(case.module)
    before = case.module(*case.inputs(3))
    assert_close(other(*case.inputs(3)), before)
    for value in other.parameters():
        value.data += 0.1
    assert not torch.equal(other(*case.inputs(3)), before)
    assert_close(case.module(*case.inputs(3)), before)


def pickled(case: Case) -> None:
    case.module(*case.inputs(1))
    other = pickle.loads(pickle.dumps(case.module))
    assert_close(other(*case.inputs(3)), case.module(*case.inputs(3)))


def state_in_file(case: Case) -> None:
    file, other = io.BytesIO(), copy.deepcopy(case.module)
    torch.save(case.module.state_dict(), file)
    file.seek(0)
    for value in other.parameters():
        value.data.zero_()
    other.load_state_dict(torch.load(file, weights_only=True), strict=True, assign=True)
    assert_close(other(*case.inputs(3)), case.module(*case.inputs(3)))


def single_precision(case: Case) -> None:
    other = copy.deepcopy(case.module).float()
    found = other(*(each.float() for each in case.inputs(4)))
    assert found.dtype == torch.float32
    assert_close(found.double(), case.module(*case.inputs(4)), atol=1e-4, rtol=1e-4)
    assert_close(other.double()(*case.inputs(4)), case.module(*case.inputs(4)), atol=1e-4, rtol=1e-4)


def half_precision(case: Case) -> None:
    """Values near those of double precision or, of a circuit, a refusal that names the precision."""
    for dtype in (torch.bfloat16, torch.float16):
        module, inputs = copy.deepcopy(case.module).to(dtype), tuple(each.to(dtype) for each in case.inputs(4))
        try:
            found = module(*inputs)
        except UsageError as error:
            if "dtype must be" not in str(error):
                raise
        else:
            assert_close(found.double(), case.module(*case.inputs(4)), atol=0.2, rtol=0.2)


def autocast(case: Case) -> None:
    module = copy.deepcopy(case.module).float()
    inputs = tuple(each.float() for each in case.inputs(4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = module(*inputs)
        found.float().sum().backward()
    assert_close(found.double(), case.module(*case.inputs(4)), atol=0.1, rtol=0.1)


def parameters_as_a_vector(case: Case) -> None:
    other = copy.deepcopy(case.module)
    vector = nn.utils.parameters_to_vector(other.parameters())
    nn.utils.vector_to_parameters(2 * vector, other.parameters())
    doubled = {name: 2 * value for name, value in params_of(case.module).items()}
    assert_close(other(*case.inputs(3)), functional_call(case.module, doubled, case.inputs(3)))


class Doubled(nn.Module):
    """Parametrisation by twice a parameter."""

    def forward(self, value: Tensor) -> Tensor:
        return 2 * value


def owners(module: nn.Module) -> list[tuple[nn.Module, str, Tensor]]:
    """Return each parameter with the module that owns it."""
    return [(owner, name, p) for owner in module.modules() for name, p in owner.named_parameters(recurse=False)]


def parametrised(case: Case) -> None:
    other, inputs = copy.deepcopy(case.module), case.inputs(3)
    for owner, name, _ in owners(other):
        parametrize.register_parametrization(owner, name, Doubled())
    doubled = {name: 2 * value for name, value in params_of(case.module).items()}
    found = other(*inputs)
    assert_close(found, functional_call(case.module, doubled, inputs))
    found.sum().backward()
    with torch.no_grad():
        assert_close(other(*inputs), found)


def weight_and_spectral_norm(case: Case) -> None:
    for change in (parametrizations.weight_norm, parametrizations.spectral_norm):
        other = copy.deepcopy(case.module)
        for owner, name, value in owners(other):
            if bool((value != 0).all()) and value.ndim > (change is parametrizations.spectral_norm):
                change(owner, name)
        found = other(*case.inputs(3))
        assert found.isfinite().all()
        if change is parametrizations.weight_norm:
            assert_close(found, case.module(*case.inputs(3)))
        found.sum().backward()


def pruned(case: Case) -> None:
    other, inputs = copy.deepcopy(case.module), case.inputs(3)
    halves = {}
    for owner, name, value in owners(other):
        if value.numel() > 1:
            prune.l1_unstructured(owner, name, amount=0.5)
            halves[id(owner), name] = getattr(owner, name)
    found = other(*inputs)
    for owner, name, _ in owners(other):
        if name.endswith("_orig"):
            prune.remove(owner, name.removesuffix("_orig"))
    assert halves and not torch.equal(found, case.module(*inputs))
    assert_close(other(*inputs), found)


def checkpointed(case: Case) -> None:
    inputs = tuple(each.requires_grad_() for each in case.inputs(4))
    values = list(case.module.parameters())
    found = torch.autograd.grad(
        checkpoint(case.module, *inputs, use_reentrant=False).sin().sum(), values, allow_unused=True
    )
    expected = plain_gradient(case, inputs).values()
    for one, other in zip(found, expected, strict=True):
        assert_close(torch.zeros_like(other) if one is None else one, other)


def without_gradients(case: Case) -> None:
    expected = case.module(*case.inputs(4)).detach()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert_close(case.module(*case.inputs(4)), expected)
    assert case.module(*case.inputs(4)).requires_grad


def averaged(case: Case) -> None:
    from torch.optim.swa_utils import AveragedModel

    average = AveragedModel(case.module)
    average.update_parameters(case.module)
    assert_close(average(*case.inputs(3)), case.module(*case.inputs(3)))


def no_samples(case: Case) -> None:
    outputs = case.module(*case.inputs(0))
    assert outputs.shape == (0, case.module(*case.inputs(1)).shape[1])
    outputs.sum().backward()


PROBES: dict[str, Probe] = {
    "func.grad, functional_call": gradient_of_parameters,
    "func.vjp": vjp_of_inputs,
    "func.jvp": jvp_of_parameters,
    "func.linearize": linearized,
    "func.vmap over samples": mapped_over_samples,
    "func.vmap of func.grad": gradients_per_sample,
    "func.stack_module_state": ensemble,
    "func.jacrev, func.jacfwd of parameters": jacobian_by_rows_and_columns,
    "func.jacrev, func.jacfwd, autograd jacobian of inputs": jacobian_of_inputs,
    "func.hessian, products": hessian_of_parameters,
    "gradcheck, gradgradcheck": checked_gradients,
    "autograd is_grads_batched": batched_gradients,
    "jit.trace": traced,
    "deepcopy": deep_copy,
    "pickle": pickled,
    "state_dict in a file": state_in_file,
    "float": single_precision,
    "bfloat16, half": half_precision,
    "autocast": autocast,
    "parameters_to_vector": parameters_as_a_vector,
    "parametrize": parametrised,
    "weight_norm, spectral_norm": weight_and_spectral_norm,
    "prune": pruned,
    "checkpoint": checkpointed,
    "no_grad, inference_mode": without_gradients,
    "AveragedModel": averaged,
    "batch of 0": no_samples,
}
