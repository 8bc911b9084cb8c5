"""tensorcircuit-ng, on its torch backend and compiled by jax."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.library_steps.step import Results, Step, angle, torch_step
from qrl.layer import QuantumLayer


def tensorcircuit_torch_step(ours: QuantumLayer, inputs: Tensor) -> Step:
    import tensorcircuit as tc

    outputs = torch.func.vmap(tensorcircuit_outputs(tc, ours), in_dims=(0, None, None))

    def forward(x: Tensor) -> Tensor:
        with tc.runtime_backend("pytorch"):
            return outputs(x, ours.weights, ours.scales)

    return torch_step(forward, ours, inputs)


def tensorcircuit_jax_step(ours: QuantumLayer, inputs: Tensor) -> Step:
    import jax
    import tensorcircuit as tc

    outputs = jax.vmap(tensorcircuit_outputs(tc, ours), in_axes=(0, None, None))

    def loss(weights: Any, scales: Any, x: Any) -> Any:
        values = outputs(x, weights, scales)
        return (values**2).mean(), values

    gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    arguments = [jax.numpy.asarray(tensor.detach().numpy()) for tensor in (ours.weights, ours.scales, inputs)]

    def step() -> Results:
        with tc.runtime_backend("jax"):
            (_, values), gradients = jax.block_until_ready(gradient(*arguments))
        return values, *gradients

    return step


def tensorcircuit_outputs(tc: ModuleType, ours: QuantumLayer) -> Callable[[Any, Any, Any], Any]:
    """Return the outputs of one sample as a function of inputs, weights and scales, on the active backend."""
    n_wires = ours.circuit.n_wires
    bits = np.arange(2**n_wires)[:, None] >> np.arange(n_wires)[::-1] & 1

    def outputs(x: Any, weights: Any, scales: Any) -> Any:
        circuit = tc.Circuit(n_wires)
        for gate in ours.circuit.gates:
            if gate.name == "CZ":
                circuit.cz(*gate.wires)
            else:
                getattr(circuit, gate.name.lower())(*gate.wires, theta=angle(gate, x, weights, scales))
        state = circuit.state()
        probabilities = tc.backend.real(state * tc.backend.conj(state))
        return probabilities @ tc.backend.convert_to_tensor((1 - 2 * bits).astype(np.float32))

    return outputs
