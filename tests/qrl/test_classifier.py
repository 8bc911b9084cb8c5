"""QuantumClassifier: scikit-learn's estimator checks, its probabilities, and learning."""

import copy
import math
import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_blobs, make_circles
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from qrl import QuantumClassifier
from qrl.common.errors import TrainingError, UsageError
from qrl.sklearn.training import ClassifierNetwork, stratified_holdout

X, Y = make_blobs(60, 3, centers=3, random_state=0)
X = StandardScaler().fit_transform(X)

STILL = {"lr_angles": 0.0, "lr_scales": 0.0, "lr_heads": 0.0}


def small(**options) -> QuantumClassifier:
    """Two wires, one layer and few epochs, enough to avoid a convergence warning."""
    return QuantumClassifier(**{"n_qubits": 2, "n_layers": 2, "max_iter": 5, "random_state": 0, **options})


def fitted(classifier: QuantumClassifier, inputs=X, targets=Y) -> QuantumClassifier:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return classifier.fit(inputs, targets)


# Without type checks: scikit-learn passes invalid input and expects its own error messages.
@pytest.mark.usefixtures("unchecked")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks([QuantumClassifier(n_qubits=2, n_layers=2, batch_size=100, max_iter=50)])
def test_scikit_learn_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(("ansatz", "n_inputs"), [("reuploading", 3), ("strongly_entangling", 3), ("unentangled", 9)])
def test_probabilities_are_the_softmax_of_a_linear_map_of_pennylanes_expectation_values(ansatz, n_inputs):
    inputs = np.random.default_rng(0).normal(size=(40, n_inputs))
    classifier = fitted(small(ansatz=ansatz), inputs, np.arange(40) % 3)
    network = classifier.network_
    expectations = network.features.to_pennylane()(torch.tensor(inputs)).detach().numpy()
    weight, bias = network.readout.weight.detach().numpy(), network.readout.bias.detach().numpy()
    powers = np.exp(expectations @ weight.T + bias)
    expected = powers / powers.sum(1, keepdims=True)
    np.testing.assert_allclose(classifier.predict_proba(inputs), expected, atol=1e-10, rtol=0)
    assert (classifier.predict(inputs) == expected.argmax(1)).all()
    assert (network.features.projection is not None) == (n_inputs > 4)  # two layers of two wires


def test_first_step_is_adam_with_group_rates():
    """One batch, one step: Adam moves each parameter by its group's rate against the gradient's sign."""
    options = {"early_stopping": False, "batch_size": 60, "n_qubits": 2, "ansatz_options": {"encoding": "projection"}}
    rates = {"angles": 0.01, "scales": 0.002, "heads": 0.05}
    before = fitted(small(**options, max_iter=1, **STILL)).network_
    named = {f"lr_{group}": rate for group, rate in rates.items()}
    after = dict(fitted(small(**options, max_iter=1, **named)).network_.named_parameters())
    twin = before.features.to_pennylane()
    logits = twin(torch.tensor(X)) @ before.readout.weight.T + before.readout.bias
    loss = (logits.logsumexp(1) - logits[torch.arange(60), torch.tensor(Y)]).mean()
    groups = dict.fromkeys(after, "angles") | {n: "heads" for n in after if n.startswith("readout")}
    groups |= {"features.scales": "scales", "features.projection.weight": "scales"}
    assert len(groups) == 5
    gradients = torch.autograd.grad(loss, list(before.parameters()))
    for (name, value), gradient in zip(before.named_parameters(), gradients, strict=True):
        clear = gradient.abs() > 1e-5
        assert clear.any()
        step = (after[name] - value)[clear]
        torch.testing.assert_close(step, -rates[groups[name]] * gradient[clear].sign(), atol=1e-4, rtol=0)


def test_loss_is_the_mean_cross_entropy():
    one = fitted(small(max_iter=1, early_stopping=False, **STILL))
    expected = -np.log(one.predict_proba(X)[np.arange(60), Y]).mean()
    assert one.loss_curve_ == [pytest.approx(expected, abs=1e-5)] and one.validation_curve_ is None


def test_class_weights():
    """Weights are relative; two of three samples with weight one half each, or balanced by count, by hand."""
    targets = np.array([0] * 45 + [1] * 15)
    still = {
        "max_iter": 1,
        "early_stopping": False,
        "lr_angles": 0.0,
        "lr_scales": 0.0,
        "lr_heads": 0.0,
        "batch_size": 60,
    }
    losses = -np.log(fitted(small(**still), X, targets).predict_proba(X)[np.arange(60), targets])
    balanced = (losses[:45].mean() + losses[45:].mean()) / 2
    for weight, expected in (
        (None, losses.mean()),
        ("balanced", balanced),
        ({0: 1, 1: 3}, balanced),
        ({0: 10, 1: 30}, balanced),
        ({1: 0}, losses[:45].mean()),
    ):
        found = fitted(small(**still, class_weight=weight), X, targets).loss_curve_
        assert found == [pytest.approx(expected, abs=1e-5)]


def test_random_state_makes_fits_reproducible():
    first, again, other = (fitted(small(random_state=seed)) for seed in (0, 0, 1))
    assert first.loss_curve_ == again.loss_curve_ and (first.predict_proba(X) == again.predict_proba(X)).all()
    assert abs(first.predict_proba(X) - other.predict_proba(X)).max() > 0.01
    state = np.random.RandomState(3)  # the generator advances: a second fit with it differs
    one, two = fitted(small(random_state=state)).loss_curve_, fitted(small(random_state=state)).loss_curve_
    assert one != two and one == fitted(small(random_state=np.random.RandomState(3))).loss_curve_


def test_global_generators_are_not_used():
    state = np.random.get_state()[1].copy()
    fitted(small())
    assert (np.random.get_state()[1] == state).all()


def test_early_stopping_keeps_the_best_parameters_on_the_validation_samples():
    """Random labels, so that fitting them increases the validation loss."""
    inputs, targets = X, np.random.default_rng(0).integers(2, size=len(X))
    options = {"n_qubits": 3, "lr_angles": 0.1, "n_iter_no_change": 8, "max_iter": 100, "validation_fraction": 0.3}
    classifier = small(**options).fit(inputs, targets)
    curve = classifier.validation_curve_
    best = int(np.argmin(curve))
    assert classifier.n_iter_ == len(curve) == len(classifier.loss_curve_) and best < len(curve) - 1
    # From the same generator: the third number of random_state is the seed of the validation split.
    seed = np.random.RandomState(0).randint(2**31 - 1, size=3)[2]
    held_out = stratified_holdout(targets, 0.3, np.random.default_rng(seed))
    chosen = classifier.predict_proba(inputs[held_out])[np.arange(held_out.sum()), targets[held_out]]
    assert -np.log(chosen).mean() == pytest.approx(curve[best], abs=1e-5)
    # Stopping at that epoch gives the same result.
    cut = fitted(small(**options | {"max_iter": best + 1}), inputs, targets)
    assert (cut.predict_proba(X) == classifier.predict_proba(X)).all()


def test_validation_samples_are_not_trained_on():
    """Different validation inputs change the monitored loss but not the learned parameters."""
    seed = np.random.RandomState(0).randint(2**31 - 1, size=3)[2]
    held_out = stratified_holdout(Y, 0.1, np.random.default_rng(seed))
    one, other = fitted(small()), fitted(small(), np.where(held_out[:, None], X + 1, X))
    assert one.loss_curve_ == other.loss_curve_ and one.validation_curve_ != other.validation_curve_


def test_stops_after_the_given_number_of_epochs_without_improvement():
    """With a zero learning rate the loss is constant: only the first epoch is an improvement."""
    still = {**STILL, "n_iter_no_change": 3}
    for early in (True, False):
        assert small(**still, early_stopping=early, max_iter=50).fit(X, Y).n_iter_ == 4
    assert small(**still | {"lr_heads": 1e-3}, tol=10.0, max_iter=50).fit(X, Y).n_iter_ == 4
    with pytest.warns(ConvergenceWarning, match="no convergence within 3 epochs"):
        small(**still, max_iter=3).fit(X, Y)


def test_validation_split_is_stratified():
    numbers = np.array([0] * 50 + [1] * 15 + [2] * 2 + [3])
    part = stratified_holdout(numbers, 0.1, np.random.default_rng(0))
    assert [int(part[numbers == k].sum()) for k in range(4)] == [5, 2, 1, 0]  # 1.5 is rounded to the even 2
    almost_all = stratified_holdout(numbers, 0.99, np.random.default_rng(0))
    assert [int(almost_all[numbers == k].sum()) for k in range(4)] == [49, 14, 1, 0]
    assert (part != stratified_holdout(numbers, 0.1, np.random.default_rng(1))).any()


def test_learns_a_nonlinear_boundary():
    inputs, targets = make_circles(200, noise=0.05, factor=0.4, random_state=0)
    train, test = slice(0, 120), slice(120, 200)
    linear = LogisticRegression().fit(inputs[train], targets[train]).score(inputs[test], targets[test])
    circuit = fitted(QuantumClassifier(2, 2, random_state=0, max_iter=60), inputs[train], targets[train])
    assert linear < 0.65 and circuit.score(inputs[test], targets[test]) > 0.9


def test_classes_may_be_strings():
    names = np.array(["setosa", "virginica", "versicolor"])[Y]
    classifier = small(max_iter=60, lr_heads=0.1)
    fitted(classifier, X, names)
    assert classifier.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert set(classifier.predict(X)) <= set(names) and classifier.score(X, names) > 0.8


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_pipeline_and_grid_search():
    pipeline = make_pipeline(StandardScaler(), small(n_qubits=1))
    grid = {"quantumclassifier__lr_heads": [0.0, 0.1], "quantumclassifier__n_qubits": [np.int64(2)]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X * 7 + 3, Y)
    assert search.best_params_ == {"quantumclassifier__lr_heads": 0.1, "quantumclassifier__n_qubits": 2}
    assert search.best_estimator_[-1].network_.features.circuit.n_wires == 2


def test_predictions_do_not_depend_on_the_batch():
    classifier = fitted(small(n_qubits=3))
    whole = classifier.predict_proba(X)
    single = np.concatenate([classifier.predict_proba(row[None]) for row in X])
    np.testing.assert_allclose(single, whole, atol=1e-12, rtol=0)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(classifier.predict_proba(X[order]), whole[order], atol=1e-12, rtol=0)


def test_refitting_starts_from_scratch():
    classifier = fitted(small(), X[:, :2] * 5, (Y == 0).astype(int))
    again = fitted(classifier)
    assert again is classifier and classifier.n_features_in_ == 3 and classifier.classes_.tolist() == [0, 1, 2]
    assert (classifier.predict_proba(X) == fitted(small()).predict_proba(X)).all()


def test_copies_predict_the_same():
    """By pickle, as in the processes of a grid search, and by another fit with the same parameters."""
    classifier = fitted(small())
    for other in (pickle.loads(pickle.dumps(classifier)), copy.deepcopy(classifier), fitted(clone(classifier))):
        assert (other.predict_proba(X) == classifier.predict_proba(X)).all()
        assert other.network_.features.program is classifier.network_.features.program


PENNYLANE = """
import pennylane as qml
from qrl import pennylane_model

def circuit(inputs, weights):
    qml.RY(inputs[0], 0); qml.RX(weights[0], 0)
    return qml.expval(qml.Z(0)), qml.expval(qml.X(0))

Config, build = pennylane_model(circuit, n_inputs=1, n_weights=1)
"""


def test_custom_circuit_from_a_file(tmp_path):
    (tmp_path / "mine.py").write_text(PENNYLANE)
    mine = str(tmp_path / "mine.py")
    classifier = fitted(small(ansatz=mine, n_qubits=None, n_layers=None))
    assert classifier.network_.features.circuit.n_wires == 1
    with pytest.raises(UsageError, match=r"has no option n_wires; set n_qubits=None"):
        small(ansatz=mine).fit(X, Y)


def test_default_sizes_of_the_ansatz():
    circuit = fitted(small(ansatz="jerbi", n_qubits=None, n_layers=None)).network_.features.circuit
    assert circuit.n_wires == 4 and sum(gate.name == "CZ" for gate in circuit.gates) == 4 * 5


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_qubits": 0}, "classifier: n_qubits must be None or a whole number of at least 1, not 0"),
        ({"n_qubits": 60}, "60 wires do not fit into this machine's memory"),
        ({"n_layers": 2.0}, "classifier: n_layers must be None or a whole number of at least 1, not 2.0"),
        ({"batch_size": True}, "classifier: batch_size must be a whole number of at least 1, not True"),
        ({"max_iter": 0}, "max_iter must be"),
        ({"n_iter_no_change": "ten"}, "n_iter_no_change must be a whole number of at least 1, not 'ten'"),
        ({"lr_angles": -0.1}, "lr_angles must be finite and not negative, not -0.1"),
        ({"lr_scales": math.nan}, "lr_scales must be finite"),
        ({"lr_heads": None}, "lr_heads must be finite"),
        ({"tol": math.inf}, "tol must be finite"),
        ({"validation_fraction": 1.0}, "validation_fraction must be between 0 and 1, not 1.0"),
        ({"ansatz": "reuplaoding"}, "did you mean 'reuploading'"),
        ({"ansatz": 3}, "ansatz must be the name of a quantum model or a file with one, not 3"),
        ({"ansatz": "mlp"}, "'mlp' has no option n_wires; set n_qubits=None, or choose a quantum model"),
        ({"ansatz": "mlp", "n_qubits": None, "n_layers": None, "initial_scale": None}, "'mlp' is a classical model"),
        ({"ansatz": "qgru"}, "'qgru' has a memory"),
        ({"ansatz_options": {"observable": "both"}}, "did you mean 'observables'"),
        ({"ansatz_options": ["both"]}, "ansatz_options must be a dict or None"),
        ({"ansatz_options": {"observables": "some"}}, "unknown observables 'some'"),
        ({"ansatz_options": {"observables": ["both"]}}, "model 'reuploading': AttributeError"),
        ({"ansatz_options": {"n_wires": 3}}, "set 'n_wires' by the parameter n_qubits, not in ansatz_options"),
        ({"initial_scale": math.inf}, "initial_scale must be None or a finite number, not inf"),
        ({"class_weight": "equal"}, "class_weight"),
        ({"class_weight": {0: -1}}, "class_weight must be finite and not negative"),
        ({"class_weight": {0: 0, 1: 0, 2: 0}}, "class_weight must be"),
        ({"random_state": "seed"}, "cannot be used to seed"),
    ],
)
def test_invalid_parameters_are_rejected(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        small(**options).fit(X, Y)
    assert "\n" not in str(caught.value)


def test_unusable_samples_are_rejected():
    with pytest.raises(UsageError, match="at least two classes are needed, found one class, 1"):
        small().fit(X, np.ones(len(X), dtype=int))
    with pytest.raises(UsageError, match="no class has two samples, so none can be held out; use early_stopping=False"):
        small().fit(X[:3], [0, 1, 2])
    assert fitted(small(early_stopping=False), X[:3], [0, 1, 2]).n_iter_ == 5
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf)"):
        fitted(small(initial_scale=3e38))


@pytest.mark.parametrize(("rate", "message"), [(1e38, "an update is not finite"), (1e300, "an update is not finite")])
def test_absurd_learning_rates_and_sizes(rate, message):
    with pytest.raises(TrainingError, match=f"^classifier: {message}"):
        fitted(small(lr_angles=rate, lr_scales=rate, lr_heads=rate))
    with pytest.raises(UsageError, match=r"n_qubits|n_wires"):
        fitted(small(n_qubits=10**5000))
    assert fitted(small(batch_size=2**63 - 1)).n_iter_ == 5


def test_verbose_shows_progress(capsys):
    fitted(small())
    assert capsys.readouterr().err == ""
    fitted(small(verbose=True))
    assert "5/5" in capsys.readouterr().err


def test_runs_on_other_backends():
    from qrl.backends.backend import Backend, run_on

    classifier = fitted(small())
    exact = classifier.predict_proba(X)
    run_on(classifier.network_, Backend(shots=100_000), torch.Generator().manual_seed(0))
    found = classifier.predict_proba(X)
    assert 0 < abs(found - exact).max() < 0.05
    assert isinstance(classifier.network_, ClassifierNetwork)
