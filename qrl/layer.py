"""QuantumLayer: a variational quantum circuit as an `nn.Module`, from inputs to expectation values."""

import math
from collections.abc import Callable
from typing import ClassVar, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from qrl.backends.backend import Executor
from qrl.backends.inputs import layer_inputs
from qrl.circuits.circuit import Circuit
from qrl.common.autocast import in_own_precision
from qrl.common.errors import UsageError, suggest
from qrl.common.options import build_config
from qrl.models import MODELS
from qrl.noise.model import NOISELESS, Noise
from qrl.simulator.program import Bound, compile_circuit

Encoding = Literal["cycle", "projection"]
Initialisation = Literal["uniform", "small-angle"]


@runtime_checkable
class CircuitModel(Protocol):
    """Protocol for a model file whose features come from one circuit."""

    @property
    def circuit(self) -> Callable[..., Circuit]:
        """`circuit(config, n_inputs)`: the circuit for this number of inputs."""


class QuantumLayer(nn.Module):
    """Variational quantum circuit: [batch, n_inputs] -> [batch, n_observables], its expectation values.

    A single sample, [n_inputs], gives [n_observables].

    `model` is a `Circuit` or the name of a quantum model (`reuploading`, ...); the model's options (`observables`, ...)
    are further keyword arguments. Inputs may be wider than the number of wires. With `encoding="cycle"` the circuit's
    feature k enters wherever the model puts it, layer after layer, until all features are used. With
    `encoding="projection"` a trainable matrix without bias first maps the inputs to one feature per wire.

    Parameters: `weights` [n_weights] in rad; `scales` [n_scales] in rad per unit of input, initially `initial_scale`;
    `projection`, if requested. `initialisation` of the weights: "uniform" U[0, pi) (Jerbi et al. 2021, Parametrized
    quantum policies for reinforcement learning); "small-angle" N(0, 1/(4 S (D + 2))) with S the largest number of wires
    in an observable and D the number of moments (Zhang et al. 2022, Escaping from the barren plateau via Gaussian
    initializations).

    Raises UsageError for an unknown model or option, for more inputs than the circuit can encode, and for more wires
    than fit into this machine's memory.
    """

    broadcasts: ClassVar[bool] = True

    def __init__(
        self,
        model: str | Circuit,
        n_wires: int | None = None,
        n_layers: int | None = None,
        *,
        n_inputs: int | None = None,
        encoding: Encoding = "cycle",
        initialisation: Initialisation = "uniform",
        initial_scale: float = 1.0,
        generator: torch.Generator | None = None,
        **options: object,
    ) -> None:
        super().__init__()
        if encoding not in ("cycle", "projection"):
            raise UsageError(f"layer: unknown encoding {encoding!r}{suggest(encoding, ('cycle', 'projection'))}")
        if isinstance(model, str):
            module = MODELS.load(model)
            if not isinstance(module, CircuitModel):
                raise UsageError(f"layer: {model!r} is a classical model; it has no circuit")
            sizes = {"n_wires": n_wires, "n_layers": n_layers}
            given = {name: size for name, size in sizes.items() if size is not None}
            config = build_config(module.Config, options | given, "layer: no option", f" of model {model!r}")
            n_inputs = config.n_wires if n_inputs is None else n_inputs
            model = module.circuit(config, config.n_wires if encoding == "projection" else n_inputs)
        elif n_layers is not None or n_wires not in (None, model.n_wires) or options:
            raise UsageError("layer: n_wires, n_layers and model options need a model's name, not a Circuit")
        if not isinstance(model, Circuit):
            raise UsageError(f"layer: expected the name of a model or a Circuit, not {model!r}")
        if not math.isfinite(initial_scale):
            raise UsageError(f"layer: initial_scale must be finite, not {initial_scale}")
        self.circuit = model
        self.n_inputs = model.n_inputs if n_inputs is None else n_inputs
        if encoding == "cycle" and self.n_inputs != model.n_inputs:
            raise UsageError(
                f"layer: the circuit takes {model.n_inputs} inputs, not {self.n_inputs}; "
                "encoding='projection' maps any number"
            )
        self.program: Executor = compile_circuit(model)
        self.weights = nn.Parameter(initial_weights(model, initialisation, generator))
        self.scales = nn.Parameter(torch.full((model.n_scales,), float(initial_scale)))
        self.projection: nn.Linear | None = None
        if encoding == "projection":
            # Not initialised by torch, which would draw from its global generator.
            self.projection = nn.utils.skip_init(nn.Linear, self.n_inputs, model.n_inputs, bias=False)
            bound = 1 / math.sqrt(self.n_inputs)
            nn.init.uniform_(self.projection.weight, -bound, bound, generator=generator)

    @property
    def n_features(self) -> int:
        return self.circuit.n_observables

    @property
    def n_circuits(self) -> int:
        """Number of circuits: one."""
        return 1

    @property
    def n_projected(self) -> int:
        """Number of inputs that the projection maps to the wires; 0 without a projection."""
        return 0 if self.projection is None else self.n_inputs

    @property
    def n_projection_weights(self) -> int:
        """Number of entries of the projection's matrix."""
        return 0 if self.projection is None else self.projection.weight.numel()

    @property
    def groups(self) -> dict[str, str]:
        """Learning-rate group of each parameter."""
        projection = {} if self.projection is None else {"projection.weight": "scales"}
        return {"weights": "angles", "scales": "scales"} | projection

    @in_own_precision
    def bind(self) -> Bound:
        """Compute everything that depends only on the parameters; see `qrl.simulator.program.Program.bind`."""
        bound = self.program.bind(self.weights, self.scales)
        return bound if self.projection is None else bound | {"projection": self.projection.weight}

    @in_own_precision
    def run(
        self, bound: Bound, inputs: Float[Tensor, "*tasks batch input"]
    ) -> Float[Tensor, "*tasks batch observable"]:
        """Return expectation values for bound parameters. Raises UsageError for inputs of the wrong width."""
        inputs = layer_inputs(inputs, self.n_inputs, self.weights.dtype)
        return self.program.run(bound, inputs @ bound["projection"].mT if "projection" in bound else inputs)

    def forward(self, inputs: Float[Tensor, "*batch input"]) -> Float[Tensor, "*batch observable"]:
        """Return expectation values of samples, with any leading axes or, for a single sample, none.

        Under `torch.autocast` a layer stays in the precision of its parameters: circuits do not run in half precision.
        Raises UsageError for inputs that are no tensor or of the wrong width.
        """
        inputs = layer_inputs(inputs, self.n_inputs, self.weights.dtype)
        values = self.run(self.bind(), inputs.unsqueeze(0) if inputs.ndim == 1 else inputs.flatten(0, -2))
        return values.reshape(*inputs.shape[:-1], values.shape[-1])

    def to_pennylane(
        self,
        device: object = "default.qubit",
        diff_method: str = "best",
        noise: Noise = NOISELESS,
    ) -> nn.Module:
        """Return a module that evaluates this layer on a PennyLane device under `noise`; the parameters are shared.

        `device`: a name or a device; `diff_method`: one of `qrl.backends.pennylane.DIFF_METHODS`, by default the best
        that the device supports. Only backprop has second derivatives; with other methods, asking for them raises
        UsageError. Raises UsageError for an unknown method, and for one that the device does not support.
        """
        from qrl.backends.pennylane import PennyLaneLayer  # PennyLane takes over a second to import

        return PennyLaneLayer(self, device, diff_method, noise)

    def extra_repr(self) -> str:
        specs = self.circuit.specs()
        return ", ".join(
            f"{key}={specs[key]}" for key in ("n_wires", "n_inputs", "n_weights", "n_scales", "n_observables")
        )


def initial_weights(circuit: Circuit, initialisation: str, generator: torch.Generator | None) -> Tensor:
    """Draw initial angles [weight]; see `QuantumLayer`."""
    if initialisation == "uniform":
        return math.pi * torch.rand(circuit.n_weights, generator=generator)
    if initialisation == "small-angle":
        support = max((len(word.factors) for o in circuit.observables for word in o.words), default=1)
        deviation = 1 / math.sqrt(4 * max(support, 1) * (len(circuit.moments) + 2))
        return deviation * torch.randn(circuit.n_weights, generator=generator)
    raise UsageError(
        f"layer: unknown initialisation {initialisation!r}{suggest(initialisation, ('uniform', 'small-angle'))}"
    )
