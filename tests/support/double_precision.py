"""Double precision: tensors, seeded random numbers, and second derivatives computed in two ways."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.func import grad, vmap

Params = dict[str, Tensor]
STEP = 1e-5


def f64(*values: float) -> Tensor:
    """Tensor of these numbers."""
    return torch.tensor(values, dtype=torch.float64)


def seeded(seed: int = 0) -> torch.Generator:
    """Generator with this seed."""
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int) -> Tensor:
    """Standard normal numbers for a seed."""
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def hessian_products(loss: Callable[[Params], Tensor], params: Params) -> Iterator[tuple[Tensor, Tensor]]:
    """Hessian-vector products for each parameter: by differentiating twice, and by finite differences.

    Under vmap over one task, the code path of MAML.
    """
    direction = {name: normal(*p.shape, seed=i) for i, (name, p) in enumerate(params.items())}

    def slope(p: Params) -> Tensor:
        return torch.stack([(g * direction[name]).sum() for name, g in grad(loss)(p).items()]).sum()

    product = vmap(grad(slope))({name: p[None] for name, p in params.items()})
    ahead, behind = (grad(loss)({n: p + sign * STEP * direction[n] for n, p in params.items()}) for sign in (1, -1))
    for name in params:
        yield product[name][0], (ahead[name] - behind[name]) / (2 * STEP)
