"""Joint state of a quantum memory and registers, measured one after another.

States are complex and unnormalised, [..., batch, rest, memory, register]: amplitudes of the memory, of the register
that has arrived, and of registers that are still to come (`rest`; 1 if there are none, or if they are independent).

An outcome is a pair (memory outcome, register outcome). Projectors keep the memory's basis states of an outcome, so
that a measured wire stays in the state that was found. The probability of an outcome given the past is the ratio of the
squared norms after and before; states are only ever multiplied by constants, because the gradient of a normalised state
is singular where the probability of the outcome goes to 0.
"""

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from qrl.circuits.registers import Registers


def arrive(
    registers: Registers,
    position: int,
    delivered: Complex[Tensor, "*batch delivered"],
    stored: Complex[Tensor, "*batch stored"],
    n_basis: int,
) -> Complex[Tensor, "*batch rest memory register"]:
    """Return the joint state at the arrival of a register.

    Args:
        registers: space that the registers come from.
        position: number of the register in its episode, from 0; with register 0 the memory is in |0...0>.
        delivered: amplitudes that come with this register, register 0 most significant.
        stored: flat state that `collapse` returned after the last register, padded at the end; unused at position 0.
        n_basis: dimension of the memory.
    """
    d = registers.dim
    n_rest = d ** (registers.n_registers - 1 - position) if registers.entangled else 1
    if position == 0:
        pending = delivered.unflatten(-1, (d, n_rest)).mT.unsqueeze(-2)
        empty = torch.eye(n_basis, 1, dtype=delivered.dtype, device=delivered.device)
        return pending * empty
    if registers.entangled:
        return stored[..., : d * n_rest * n_basis].unflatten(-1, (d, n_rest, n_basis)).movedim(-3, -1)
    return (stored[..., :n_basis].unsqueeze(-1) * delivered.unsqueeze(-2)).unsqueeze(-3)


def evolve(
    unitary: Complex[Tensor, "*tasks state state"], state: Complex[Tensor, "*tasks batch rest memory register"]
) -> Complex[Tensor, "*tasks batch rest memory register"]:
    """Apply a unitary on memory and register."""
    shape = state.shape
    rows = state.reshape(*shape[:-4], shape[-4] * shape[-3], shape[-2] * shape[-1])
    return (rows @ unitary.mT).reshape(shape)


def outcome_weights(
    state: Complex[Tensor, "*batch rest memory register"], projectors: Float[Tensor, "outcome memory"]
) -> Float[Tensor, "*batch outcomes"]:
    """Return the squared norm of every branch; outcome k of the memory and r of the register have index k * d + r.

    `projectors` has a 1 where a basis state of the memory belongs to an outcome, and 0 elsewhere.
    """
    parts = torch.view_as_real(state).square().sum(-1).sum(-3)
    return (projectors @ parts).flatten(-2)


def collapse(
    state: Complex[Tensor, "*batch rest memory register"],
    outcome: Int[Tensor, "*batch"],
    projectors: Float[Tensor, "outcome memory"],
) -> Complex[Tensor, "*batch rest memory"]:
    """Return the branch of an outcome, without the register, whose wires are known.

    The branch is divided by its norm as a constant, so that long histories do not underflow.
    """
    n_register = state.shape[-1]
    index = (outcome % n_register)[..., None, None, None].expand(*state.shape[:-1], 1)
    branch = state.gather(-1, index).squeeze(-1) * projectors[outcome // n_register].unsqueeze(-2)
    norm = torch.view_as_real(branch.detach()).square().sum((-3, -2, -1)).sqrt()
    return branch / norm.clamp_min(torch.finfo(norm.dtype).tiny)[..., None, None]


def apply_paulis(
    memory: Complex[Tensor, "*batch rest memory"],
    flips: Int[Tensor, "*batch"],
    phases: Int[Tensor, "*batch"],
) -> Complex[Tensor, "*batch rest memory"]:
    """Apply Z on the wires whose bits are set in `phases`, then X on those in `flips`, up to a global phase.

    Wire 0 is the most significant bit of both.
    """
    basis = torch.arange(memory.shape[-1], device=memory.device)
    signs = 1 - 2 * parity(basis & phases.unsqueeze(-1))
    turned = memory * signs.unsqueeze(-2)
    source = (basis ^ flips.unsqueeze(-1)).unsqueeze(-2)
    return turned.gather(-1, source.expand(memory.shape))


def parity(bits: Int[Tensor, "*batch"]) -> Int[Tensor, "*batch"]:
    """Return the number of set bits modulo 2, of integers below 2**16."""
    for shift in (8, 4, 2, 1):
        bits = bits ^ (bits >> shift)
    return bits & 1
