"""Behaviour of torch that the rules of the kernel rely on; none of it is documented."""

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import jvp, vmap

from qrl.common.autograd import Rule, is_mapped_by_engine, is_plain


class Sine(Rule):
    """Sine; `seen` collects what `is_mapped_by_engine` says of the cotangents."""

    seen: list[bool] = []  # noqa: RUF012

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.sin()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, cotangent):
        Sine.seen.append(is_mapped_by_engine(cotangent))
        (x,) = ctx.saved_tensors
        return cotangent * x.cos()

    @staticmethod
    def jvp(ctx, tangent):
        (x,) = ctx.saved_tensors
        return tangent * x.cos()

    @staticmethod
    def vmap(info, in_dims, x):
        return Sine.apply(x), in_dims[0]


X = torch.tensor([0.3, 0.9, 1.4], dtype=torch.float64)


def test_a_rule_is_applied_as_torch_applies_it():
    x = X.clone().requires_grad_()
    assert torch.equal(Sine.apply(x), super(Rule, Sine).apply(x))
    (gradient,) = torch.autograd.grad(Sine.apply(x).sum(), [x])
    torch.testing.assert_close(gradient, X.cos())
    torch.testing.assert_close(vmap(Sine.apply)(X), X.sin())
    torch.testing.assert_close(vmap(torch.func.grad(Sine.apply))(X), X.cos())


def test_operations_inside_a_jvp_are_not_differentiated_again():
    """Hence a jvp of the kernel's rules is nothing but another rule."""

    def along(function):
        return lambda x: jvp(function, (x,), (torch.ones_like(x),))[1]

    torch.testing.assert_close(along(Sine.apply)(X), X.cos())
    assert torch.equal(along(along(Sine.apply))(X), torch.zeros_like(X))  # not -sin x


def test_plain_tensors_are_told_from_recorded_ones():
    assert not is_plain()
    inside = []
    with torch.no_grad():
        assert is_plain()
        vmap(lambda x: inside.append(is_plain()) or x)(X)
        jvp(lambda x: inside.append(is_plain()) or x, (X,), (X,))
        with forward_ad.dual_level():
            inside.append(is_plain())
    assert inside == [False, False, False]


@pytest.mark.parametrize("mapped", [False, True])
def test_mappings_by_the_engine_are_recognised(mapped):
    Sine.seen.clear()
    x = X.clone().requires_grad_()
    cotangents = torch.eye(3, dtype=torch.float64)
    torch.autograd.grad(Sine.apply(x), [x], cotangents if mapped else cotangents[0], is_grads_batched=mapped)
    assert Sine.seen == [mapped]
