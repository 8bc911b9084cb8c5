"""QuantumClassifier: a quantum circuit with a softmax layer as a scikit-learn classifier."""

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from qrl.common.caller import warn_caller
from qrl.common.checks import shown
from qrl.common.errors import TrainingError, UsageError, wrap_errors
from qrl.common.optimisers import adam
from qrl.common.options import check_known, option_names
from qrl.layer import QuantumLayer
from qrl.models import MODELS
from qrl.policies.features import LEARNING_RATE_GROUPS, build_features
from qrl.policies.frame import Frame
from qrl.sklearn.training import ClassifierNetwork, stratified_holdout, train_epoch

MODEL_OPTIONS = {"n_wires": "n_qubits", "n_layers": "n_layers", "initial_scale": "initial_scale"}
"""Model options that are parameters of the classifier, by their names there."""


class QuantumClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Softmax classifier softmax(W phi(x) + b); phi(x) are the expectation values of a variational quantum circuit.

    Training is Adam on the cross-entropy, in minibatches and single precision. Prediction uses double precision, so
    that the result for a sample does not depend on the other samples of the batch. Inputs enter as angles and should be
    standardised, as for any neural network: `make_pipeline(StandardScaler(), QuantumClassifier())`. Inputs that exceed
    the capacity of layers and wires are first mapped by a trainable matrix to one feature per wire.

    Args:
        n_qubits: wires [qubits]; None: the ansatz's default.
        n_layers: encoding layers [layers]; None: the ansatz's default.
        ansatz: the name of a quantum model of `qrl/models`, or of a file with one.
        ansatz_options: further options of the ansatz's `Config`, such as `{"observables": "both"}`.
        initial_scale: initial input scales [rad per unit of input], the initial frequencies; None: the ansatz's
            default, which is 1 for agents.
        lr_angles: Adam's learning rate of angles [rad per step].
        lr_scales: Adam's learning rate of input scales and of the matrix before the circuit [per step].
        lr_heads: Adam's learning rate of W and b [per step].
        batch_size: minibatch size [samples].
        max_iter: maximum number of passes over the samples [epochs].
        early_stopping: whether to hold out samples, stop by their cross-entropy and keep the parameters that were best
            on them; if False, training stops by the cross-entropy of the training samples.
        validation_fraction: fraction of each class that is held out, at least one sample of every class that has two.
        n_iter_no_change: patience, epochs without improvement before training stops [epochs].
        tol: smallest decrease of the mean cross-entropy that counts as an improvement [nat].
        class_weight: weights of classes in the loss, by label, 1 if not listed; "balanced": inversely proportional to
            class frequencies.
        random_state: an int makes fits reproducible, as everywhere in scikit-learn.
        verbose: whether to show a progress bar.

    A fitted classifier has `classes_`, `n_features_in_`, `n_iter_` [epochs], `loss_curve_` (mean cross-entropy of each
    epoch's minibatches [nat]), `validation_curve_` (cross-entropy of the held-out samples after each epoch [nat]; None
    without held-out samples) and `network_`, a torch module whose `features` are a `qrl.QuantumLayer` and whose
    `readout` holds W and b.

    `fit` raises UsageError, a ValueError, for a parameter out of range, for an unknown ansatz and for a single class;
    it raises TrainingError if the loss is not finite. It warns (ConvergenceWarning) if `max_iter` ends the training.
    """

    classes_: Shaped[np.ndarray, " class"]
    n_features_in_: int
    n_iter_: int
    loss_curve_: list[float]
    validation_curve_: list[float] | None
    network_: ClassifierNetwork

    def __init__(
        self,
        n_qubits: int | None = 6,
        n_layers: int | None = 3,
        *,
        ansatz: str = "reuploading",
        ansatz_options: Mapping[str, Any] | None = None,
        initial_scale: float | None = 0.25,
        lr_angles: float = 0.1,
        lr_scales: float = 0.003,
        lr_heads: float = 0.1,
        batch_size: int = 64,
        max_iter: int = 500,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 20,
        tol: float = 1e-4,
        class_weight: Mapping[Any, float | int] | Literal["balanced"] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.n_qubits = n_qubits
        self.n_layers = n_layers
        self.ansatz = ansatz
        self.ansatz_options = ansatz_options
        self.initial_scale = initial_scale
        self.lr_angles = lr_angles
        self.lr_scales = lr_scales
        self.lr_heads = lr_heads
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.class_weight = class_weight
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: object, y: object) -> "QuantumClassifier":
        """Fit to samples X [sample, input] with classes y [sample]; an earlier fit is discarded."""
        self._check_parameters()
        samples, labels = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(labels)
        self.classes_, class_indices = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise UsageError(
                f"classifier: at least two classes are needed, found one class, {self.classes_.tolist()[0]!r}"
            )
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=3)
        initial, order = (torch.Generator().manual_seed(int(seed)) for seed in seeds[:2])
        is_held_out = np.zeros(len(labels), dtype=bool)
        if self.early_stopping:
            is_held_out = stratified_holdout(class_indices, self.validation_fraction, np.random.default_rng(seeds[2]))
        inputs, targets, held_out = torch.tensor(samples), torch.tensor(class_indices), torch.tensor(is_held_out)
        features = self._features(Frame(samples.shape[1], len(self.classes_)), initial)
        network = ClassifierNetwork(features, len(self.classes_), initial)
        weights = torch.tensor(self._class_weights(labels, class_indices), dtype=inputs.dtype)

        def loss(rows: Tensor) -> Tensor:
            each = cross_entropy(network(inputs[rows]), targets[rows], weight=weights, reduction="none")
            return each.mean()

        self._train(network, loss, (~held_out).nonzero()[:, 0], held_out.nonzero()[:, 0], order)
        if not all(bool(value.isfinite().all()) for value in network.parameters()):
            raise TrainingError("classifier: weights diverged; standardise the inputs or lower the learning rates")
        self.network_ = network.double()
        return self

    def predict_proba(self, X: object) -> Float[np.ndarray, "sample class"]:
        """Return probabilities [sample, class], classes in the order of `classes_`."""
        check_is_fitted(self)
        samples = validate_data(self, X, reset=False, dtype=np.float64)
        with torch.no_grad():
            return self.network_(torch.tensor(samples)).softmax(-1).numpy()

    def predict(self, X: object) -> Shaped[np.ndarray, " sample"]:
        """Return the most probable class of each sample [sample]."""
        probabilities = self.predict_proba(X)  # raises if not fitted
        return self.classes_[probabilities.argmax(-1)]

    def _check_parameters(self) -> None:
        """Raise UsageError for parameters out of range."""

        def check(name: str, kind: type, valid: Callable[[Any], bool], wanted: str) -> None:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, kind) or not valid(value):
                raise UsageError(f"classifier: {name} must be {wanted}, not {shown(value)}")

        for name in ("batch_size", "max_iter", "n_iter_no_change"):
            check(name, Integral, lambda value: value >= 1, "a whole number of at least 1")
        for name in ("n_qubits", "n_layers"):
            if getattr(self, name) is not None:
                check(name, Integral, lambda value: value >= 1, "None or a whole number of at least 1")
        for name in (*(f"lr_{group}" for group in LEARNING_RATE_GROUPS), "tol"):
            check(name, Real, lambda value: 0 <= value < math.inf, "finite and not negative")
        if self.initial_scale is not None:
            check("initial_scale", Real, math.isfinite, "None or a finite number")
        check("validation_fraction", Real, lambda value: 0 < value < 1, "between 0 and 1")
        check("ansatz", str, bool, "the name of a quantum model or a file with one")
        if not isinstance(self.ansatz_options, Mapping | None):
            raise UsageError(f"classifier: ansatz_options must be a dict or None, not {self.ansatz_options!r}")

    def _features(self, frame: Frame, generator: torch.Generator) -> QuantumLayer:
        """Build the circuit as in a policy.

        Raises UsageError for a model without a circuit, and for invalid options.
        """
        options = dict(self.ansatz_options or {})
        config = MODELS.load(self.ansatz).Config
        known = option_names(config)
        for option, name in MODEL_OPTIONS.items():
            if option in options:
                raise UsageError(f"classifier: set {option!r} by the parameter {name}, not in ansatz_options")
            if (value := getattr(self, name)) is not None:
                if option not in known:
                    raise UsageError(
                        f"classifier: model {self.ansatz!r} has no option {option}; set {name}=None, or choose a "
                        "quantum model that has it"
                    )
                # Options of a model must be Python numbers, not NumPy's.
                options[option] = int(value) if isinstance(value, Integral) else float(value)
        check_known(options, known, "classifier: no option", f" of model {self.ansatz!r}")
        with wrap_errors(f"model {self.ansatz!r}"):
            features = build_features(self.ansatz, config(**options), frame, generator, memory=False)
        if not isinstance(features, QuantumLayer):
            raise UsageError(f"classifier: {self.ansatz!r} is a classical model; it has no circuit")
        return features

    def _class_weights(
        self, y: Shaped[np.ndarray, " sample"], class_indices: Int[np.ndarray, " sample"]
    ) -> Float[np.ndarray, " class"]:
        """Return the weight of each class in the loss [class], with mean 1 over samples.

        Raises UsageError for invalid weights.
        """
        try:
            weights = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        except (ValueError, TypeError) as error:
            raise UsageError(f"classifier: class_weight: {error}") from error
        mean = weights[class_indices].mean()
        if not (np.isfinite(weights).all() and weights.min() >= 0 and mean > 0):
            raise UsageError(f"classifier: class_weight must be finite and not negative, not {self.class_weight!r}")
        return weights / mean

    def _train(
        self,
        network: ClassifierNetwork,
        loss: Callable[[Tensor], Tensor],
        training: Int[Tensor, " sample"],
        held_out: Int[Tensor, " held_out"],
        generator: torch.Generator,
    ) -> None:
        """Run Adam on the loss of the `training` rows until the monitored loss stops falling.

        Sets the loss curves and `n_iter_`.
        """
        rates = {name: float(getattr(self, f"lr_{group}")) for name, group in network.groups.items()}
        optimiser = adam(dict(network.named_parameters()), rates)
        self.loss_curve_, self.validation_curve_ = [], [] if len(held_out) else None
        lowest, best = math.inf, network.state_dict()
        reference, waited = math.inf, 0
        with tqdm(total=self.max_iter, desc="fit", unit="epoch", disable=not self.verbose) as bar:
            while len(self.loss_curve_) < self.max_iter and waited < self.n_iter_no_change:
                self.loss_curve_.append(train_epoch(optimiser, loss, training, self.batch_size, generator))
                value = self.loss_curve_[-1]
                if self.validation_curve_ is not None:
                    with torch.no_grad():
                        value = float(loss(held_out))
                    self.validation_curve_.append(value)
                    if value < lowest:
                        lowest, best = value, {name: each.clone() for name, each in network.state_dict().items()}
                waited = 0 if value < reference - self.tol else waited + 1
                reference = reference if waited else value
                bar.set_postfix(loss=f"{value:.4f}", refresh=False)
                bar.update()
        self.n_iter_ = len(self.loss_curve_)
        network.load_state_dict(best)
        if waited < self.n_iter_no_change:
            text = f"classifier: no convergence within {self.max_iter} epochs; increase max_iter"
            warn_caller(text, ConvergenceWarning)
