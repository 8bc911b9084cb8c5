"""Files of Stable-Baselines3 models: round trip, and no code execution on loading."""

import base64
import json
import pickle
import runpy
import shutil
import zipfile
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import safetensors.torch
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.buffers import NStepReplayBuffer
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.torch_layers import FlattenExtractor

from qrl.common.errors import UsageError
from qrl.sb3 import QuantumActorCriticPolicy, QuantumFeaturesExtractor, QuantumQPolicy, SaveBest, load, save
from qrl.sb3.saving import digest
from tests.support.random_observations import RandomObservations

SMALL = {"n_layers": 1, "n_wires": 2, "lr_heads": 0.05, "observation_scale": np.array([2.4, 2.5, 0.21, 2.5])}
CIRCUIT = {"model": "reuploading", "n_layers": 1, "n_wires": 2}
FORMAT = "qrl-sb3"


def learner(algorithm, policy="MlpPolicy", **options):
    more = {
        PPO: {"n_steps": 16, "batch_size": 8, "n_epochs": 2},
        A2C: {"n_steps": 8},
        DQN: {"learning_starts": 8, "buffer_size": 100, "batch_size": 8, "train_freq": (2, "step")},
    }[algorithm]
    kwargs = {"net_arch": [8]} if isinstance(policy, str) else SMALL
    kwargs = {"policy_kwargs": {**kwargs, **options.pop("policy_kwargs", {})}, "device": "cpu", "seed": 0}
    return algorithm(policy, "CartPole-v1", **more, **kwargs, **options)


def parameters(model):
    return {name: value.clone() for name, value in model.policy.state_dict().items()}


@pytest.mark.parametrize("algorithm", [SAC, TD3, DDPG])
@pytest.mark.parametrize("share", [False, True])
def test_actor_and_critic_with_optimisers_of_their_own(algorithm, share, tmp_path):
    """Weights, moments and SAC's entropy coefficient after loading, and after the same further updates."""
    extractor = {"features_extractor_class": QuantumFeaturesExtractor, "features_extractor_kwargs": CIRCUIT}
    options = {"net_arch": [4], "share_features_extractor": share, **extractor}
    small = {"learning_starts": 4, "buffer_size": 50, "batch_size": 4, "device": "cpu", "seed": 0}
    model = algorithm("MlpPolicy", "Pendulum-v1", policy_kwargs=options, **small)
    model.learn(10)
    save(model, tmp_path / "ours")
    loaded = load(tmp_path / "ours", gymnasium.make("Pendulum-v1"), device="cpu")
    loaded.replay_buffer = model.replay_buffer
    loaded.set_logger(model.logger)
    for updates in (0, 3):
        for each in (model, loaded) if updates else ():
            np.random.seed(0)  # the buffer's minibatches
            torch.manual_seed(0)  # the actions of SAC, the noise of TD3
            each.train(gradient_steps=updates, batch_size=4)
        found, expected = parameters(loaded), parameters(model)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        if isinstance(model, SAC):
            assert torch.equal(loaded.log_ent_coef, model.log_ent_coef) and model.log_ent_coef.item() != 0
    observation = np.zeros(3, dtype=np.float32)
    actions = [each.predict(observation, deterministic=True)[0] for each in (model, loaded)]
    np.testing.assert_array_equal(*actions)
    assert load(tmp_path / "ours", device="cpu").predict(observation)[0].shape == (1,)


def test_returns_of_several_steps_are_saved(tmp_path):
    """`n_steps` above 1 chooses Stable-Baselines3's own buffer of n-step returns."""
    options = {"learning_starts": 4, "buffer_size": 50, "batch_size": 4, "device": "cpu", "seed": 0}
    model = SAC("MlpPolicy", "Pendulum-v1", n_steps=3, policy_kwargs={"net_arch": [4]}, **options)
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model", gymnasium.make("Pendulum-v1"), device="cpu")
    assert isinstance(loaded.replay_buffer, NStepReplayBuffer)
    assert (loaded.replay_buffer.n_steps, loaded.replay_buffer.gamma) == (3, model.gamma)


def test_best_model_of_an_evaluation_is_kept_in_a_safe_file(tmp_path):
    path = tmp_path / "new" / "best.safetensors"

    def best() -> EvalCallback:
        env = Monitor(gymnasium.make("CartPole-v1"))
        return EvalCallback(env, callback_on_new_best=SaveBest(path), eval_freq=16, n_eval_episodes=1, verbose=0)

    learner(PPO, QuantumActorCriticPolicy).learn(16, callback=best())
    assert load(path, device="cpu").num_timesteps == 16
    with pytest.raises(UsageError, match="a Own cannot be saved"):
        Own("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, device="cpu").learn(8, callback=best())
    with pytest.raises(UsageError, match=r"EvalCallback\(env, callback_on_new_best=SaveBest\(path\)\)"):
        learner(PPO).learn(8, callback=SaveBest(path))


def as_older(path):
    """Rewrite a file as it was before it held `n` of MultiBinary spaces and dtypes of discrete ones."""

    def change(content):
        for space in content["spaces"].values():
            if space["kind"] == "MultiBinary":
                n = space.pop("n")
                space["shape"] = n if isinstance(n, list) else [n]
            space.pop("dtype", None)

    forge(path, change)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3, dtype=np.int32),
        spaces.MultiDiscrete([3, 4]),
        spaces.MultiDiscrete([3, 4], dtype=np.int32),
        spaces.MultiBinary(4),
        spaces.MultiBinary((4,)),
        spaces.MultiBinary([2, 2]),
        spaces.Box(0, 9, (2,), np.uint32),
        spaces.Box(-1, 1, (2, 2), np.float16),
        spaces.Box(-np.inf, np.inf, (2,), np.float64),
        spaces.Box(0, 1, (2,), np.bool_),
    ],
    ids=str,
)
def test_observation_spaces_survive(space, tmp_path):
    env = RandomObservations(space)
    model = PPO(QuantumActorCriticPolicy, env, n_steps=8, batch_size=8, policy_kwargs=CIRCUIT, device="cpu", seed=0)
    save(model, tmp_path / "model")
    assert load(tmp_path / "model").observation_space == space
    assert load(tmp_path / "model", env).observation_space == space


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3, dtype=np.int32),
        spaces.MultiDiscrete([3, 4]),
        spaces.MultiBinary(4),
        spaces.Box(-1, 1, (2, 2), np.float64),
    ],
    ids=str,
)
@pytest.mark.parametrize("older", [False, True])
def test_action_spaces_survive(space, older, tmp_path):
    env = RandomObservations(spaces.MultiBinary(2), space)
    model = PPO(QuantumActorCriticPolicy, env, n_steps=8, batch_size=8, policy_kwargs=CIRCUIT, device="cpu", seed=0)
    save(model, tmp_path / "model")
    if older:
        as_older(tmp_path / "model")
        if space.dtype == np.int32:
            refused(tmp_path / "model", "spaces of env differ", env=env)
            return
    loaded = load(tmp_path / "model")
    assert loaded.action_space == space
    loaded.set_env(env)
    assert load(tmp_path / "model", env).learn(8).num_timesteps == 8


@pytest.mark.parametrize(
    ("algorithm", "policy", "options"),
    [
        (PPO, QuantumActorCriticPolicy, {}),
        (A2C, QuantumActorCriticPolicy, {}),
        (DQN, QuantumQPolicy, {}),
        (DQN, QuantumQPolicy, {"model": "skolik", "n_wires": 4, "readout": "scaled", "lr_heads": 0.1}),
        (PPO, "MlpPolicy", {}),
        (DQN, "MlpPolicy", {}),
    ],
)
def test_loaded_model_equals_that_of_stable_baselines3(algorithm, policy, options, tmp_path):
    """Compare weights also after further training, which depends on optimiser moments, counters and options."""
    model = learner(algorithm, policy, policy_kwargs=options)
    model.learn(48)
    save(model, tmp_path / "ours")
    model.save(tmp_path / "theirs")
    found = []
    for name, again in {"ours": load, "theirs": algorithm.load}.items():
        loaded = again(tmp_path / name, gymnasium.make("CartPole-v1"), device="cpu")
        assert type(loaded) is algorithm and loaded.policy_class is model.policy_class
        before = parameters(loaded)
        assert before.keys() == parameters(model).keys()
        assert all(torch.equal(value, before[name]) for name, value in parameters(model).items())
        loaded.learn(32, reset_num_timesteps=False)
        found.append((loaded.num_timesteps, loaded._n_updates, parameters(loaded)))
    (*ours, weights), (*theirs, others) = found
    assert ours == theirs and ours[0] == 80
    assert all(torch.equal(value, others[name]) for name, value in weights.items())
    assert any(not torch.equal(value, before[name]) for name, value in weights.items())


@pytest.fixture(scope="module")
def model():
    trained = learner(PPO, QuantumActorCriticPolicy)
    trained.learn(16)
    return trained


@pytest.fixture
def saved(model, tmp_path):
    save(model, tmp_path / "model")
    return tmp_path / "model"


def test_predicts_without_an_environment(model, saved):
    observations = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    loaded = load(saved)
    np.testing.assert_array_equal(*(m.predict(observations, deterministic=True)[0] for m in (model, loaded)))
    assert loaded.observation_space == model.observation_space and loaded.action_space == model.action_space
    assert loaded.policy._factors == pytest.approx({"angles": 1.0, "scales": 1.0, "heads": 0.05 / 3e-4})
    assert load(saved, n_epochs=7).n_epochs == 7


def forge(path, content=lambda content: None, tensors=lambda tensors: None):
    """Change the content of a file and update its digest."""
    with safetensors.safe_open(path, "pt") as file:
        own, inner = {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()[FORMAT])  # noqa: SIM118
    tensors(own)
    text = json.dumps(content(inner) or inner)
    path.write_bytes(safetensors.torch.save(own, {FORMAT: text, "digest": digest(own, text)}))


def refused(path, match, **options):
    with pytest.raises(UsageError, match=match) as caught:
        load(path, **options)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


# --- malicious files --------------------------------------------------------------------------------------------------


class Payload:
    """Create a folder when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.mkdir, (self.path,)


def test_malicious_stable_baselines3_file_is_rejected_without_executing_it(model, tmp_path):
    model.save(tmp_path / "good.zip")
    with zipfile.ZipFile(tmp_path / "good.zip") as good, zipfile.ZipFile(tmp_path / "bad.zip", "w") as bad:
        data = json.loads(good.read("data"))
        payload = base64.b64encode(pickle.dumps(Payload(tmp_path / "executed"))).decode()
        data["seed"] = {":type:": "int", ":serialized:": payload}
        for name in good.namelist():
            bad.writestr(name, json.dumps(data) if name == "data" else good.read(name))
    refused(tmp_path / "bad.zip", r"a zip file, as written by Stable-Baselines3's own save; loading it can run any")
    assert not (tmp_path / "executed").exists()
    # The premise: Stable-Baselines3's reader does execute it.
    PPO.load(tmp_path / "bad.zip", device="cpu")
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("write", [pickle.dump, torch.save])
def test_pickle_is_rejected_without_executing_it(tmp_path, write):
    with (tmp_path / "bad").open("wb") as file:
        write(Payload(tmp_path / "executed"), file)
    refused(tmp_path / "bad", r"a pickle; loading it can run any code|a zip")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"model": "EVIL"}, r"model '.*evil\.py' is code outside this library; to run it, load it with trust=True"),
        ({"model": "evil:Config"}, r"model 'evil:Config' is code outside this library"),
        ({"features_extractor_kwargs": {"model": "EVIL"}}, r"model '.*evil\.py' is code outside this library"),
        ({"features_extractor_class": "evil.Thing"}, "unknown features_extractor_class 'evil.Thing'"),
        ({"optimizer_class": "os.system"}, "unknown optimizer_class 'os.system'; choices: Adam, AdamW, RMSprop, SGD"),
        ({"activation_fn": "evil.Thing"}, "unknown activation_fn 'evil.Thing'"),
        ({"n_layer": 3}, "option 'n_layer' cannot be in a file; did you mean 'n_layers'"),
    ],
)
def test_names_in_a_file_trigger_no_import(saved, tmp_path, monkeypatch, option, message):
    evil = tmp_path / "evil.py"
    evil.write_text(f"from pathlib import Path\nPath({str(tmp_path / 'executed')!r}).mkdir()\n")
    monkeypatch.syspath_prepend(tmp_path)
    option = json.loads(json.dumps(option).replace("EVIL", str(evil)))
    forge(saved, lambda content: content["policy_options"].update(option))
    refused(saved, message)
    assert not (tmp_path / "executed").exists()


def test_custom_model_is_imported_if_the_caller_names_it(tmp_path):
    mine = tmp_path / "mine.py"
    shutil.copy(Path(__file__).parent.parent.parent / "qrl/models/reuploading.py", mine)
    model = learner(PPO, QuantumActorCriticPolicy, policy_kwargs={"model": str(mine)})
    save(model, tmp_path / "model")
    refused(tmp_path / "model", r"mine\.py' is code outside this library.* policy_kwargs=dict\(model=")
    loaded = load(tmp_path / "model", policy_kwargs={"model": str(mine)})
    assert all(torch.equal(value, parameters(loaded)[name]) for name, value in parameters(model).items())


# --- damaged and foreign files ----------------------------------------------------------------------------------------


def test_damaged_files_are_rejected(saved):
    whole = saved.read_bytes()
    for length in (0, 1, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:length])
        refused(saved, "truncated, or not written by")
    for place in np.random.default_rng(0).integers(len(whole), size=60):
        saved.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        refused(saved, "damaged|truncated|not written by qrl.sb3.save")
    saved.write_bytes(whole)
    load(saved)


def test_foreign_files_are_rejected(tmp_path):
    refused(tmp_path / "nothing", "No such file")
    refused(tmp_path, "Is a directory")
    (tmp_path / "others").write_bytes(safetensors.torch.save({"weights": torch.zeros(2)}))
    refused(tmp_path / "others", "a safetensors file that was not written by qrl.sb3.save")


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ((), [1], "expected a JSON object"),
        (("version",), 2, r"written by a newer version \(format 2; supported: up to 1\)"),
        (("version",), "1", "version must be of type int, not '1'"),
        (("algorithm",), "TRPO", "unknown algorithm 'TRPO'; .*choices: A2C, DDPG, DQN, PPO"),
        (("algorithm",), None, "algorithm must be of type str, not None"),
        (("policy",), "builtins.eval", "unknown policy 'builtins.eval'"),
        (("policy",), "DQNPolicy", "cannot be loaded"),
        (("options", "gamma"), "high", "options: gamma cannot be 'high'"),
        (("options", "n_steps"), 2.5, "options: n_steps cannot be 2.5"),
        (("options", "n_epochs"), True, "options: n_epochs cannot be True"),
        (("options", "gammma"), 0.9, "unknown option 'gammma' of PPO; did you mean 'gamma'"),
        (("options", "tensorboard_log"), "/tmp", "unknown option 'tensorboard_log' of PPO"),
        (("options", "batch_size"), -1, "cannot be loaded: AssertionError"),
        (("policy_options", "n_wires"), "many", "cannot be loaded|n_wires must be"),
        (("policy_options", "net_arch"), {"pi": "x"}, "net_arch must be a list of positive sizes"),
        (("functions",), ["learning_rate"], r"learning_rate is a function, .* load\(\.\.\., learning_rate=\.\.\.\)"),
        (("spaces", "action", "n"), 3, r"policy/action_net\.weight must be \(3, 2\) of torch\.float32, not \(2, "),
        (("spaces", "action", "kind"), "Dict", "unknown kind 'Dict'"),
        (("spaces", "action", "dtype"), "object", "unknown dtype 'object'"),
        (("spaces", "action"), {"kind": "MultiBinary", "n": "4"}, "n must be of type int, not '4'"),
        (
            ("spaces", "observation"),
            {"kind": "Discrete", "n": 2, "start": 0},
            "observation_scale must be one positive number",
        ),
        (("n_envs",), 0.5, "n_envs must be of type int, not 0.5"),
        (("counters", "policy"), 3, "counters: policy cannot be 3"),
        (("counters", "num_timesteps"), "many", "counters: num_timesteps cannot be 'many'"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_foreign_values_are_rejected(saved, where, value, message):
    def change(content):
        if not where:
            return value
        *outer, last = where
        for name in outer:
            content = content[name]
        content[last] = value
        return None

    forge(saved, change)
    refused(saved, message)


BIAS, MOMENT = "policy/value_net.bias", "optimizer/value_net.bias/exp_avg"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.update({BIAS: torch.zeros(2)}),
            r"bias must be \(1,\) of torch.float32, not \(2,\) of",
        ),
        (lambda t: t.update({BIAS: torch.zeros(1).double()}), r"not \(1,\) of torch.float64"),
        (lambda t: t.pop(BIAS), f"tensor {BIAS} is missing"),
        (lambda t: t.pop(MOMENT), f"tensor {MOMENT} is missing"),
        (lambda t: t.update({MOMENT: torch.zeros(3)}), r"exp_avg must be \(1,\)"),
        (lambda t: t.update({"policy/more": torch.zeros(3)}), "unexpected tensor policy/more"),
        (
            lambda t: t.update({"optimizer/value_net.bias/x": torch.zeros(1)}),
            "unexpected tensor .*value_net.bias/x",
        ),
        (lambda t: t.pop("space/observation/low"), "tensor space/observation/low is missing"),
        (lambda t: t.update({"space/observation/low": torch.zeros(3, 3)}), "cannot be loaded"),
    ],
)
def test_foreign_tensors_are_rejected(saved, change, message):
    forge(saved, tensors=change)
    refused(saved, message)


def test_mismatched_environments_and_options_are_rejected(saved):
    refused(saved, "the spaces of env differ from those of the model: Observation spaces do not", env="Acrobot-v1")
    refused(saved, "unknown option 'n_epoch' of PPO; did you mean 'n_epochs'", n_epoch=3)


# --- unsupported content ----------------------------------------------------------------------------------------------


def test_functions_must_be_passed_again(tmp_path):
    model = learner(PPO, learning_rate=lambda left: 0.1 * left, clip_range=lambda left: 0.3)
    save(model, tmp_path / "model")
    refused(tmp_path / "model", "learning_rate is a function")
    loaded = load(tmp_path / "model", learning_rate=lambda left: 0.2 * left, clip_range=0.1)
    assert loaded.lr_schedule(0.5) == pytest.approx(0.1) and loaded.clip_range(1.0) == pytest.approx(0.1)


class Own(PPO):
    pass


class Foreign(FlattenExtractor):
    pass


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Own("MlpPolicy", "CartPole-v1", device="cpu"),
            "a Own cannot be saved; supported: PPO, A2C, DQN, SAC, TD3, DDPG",
        ),
        (lambda: PPO("MlpPolicy", "FrozenLake-v1", device="cpu"), None),
        (
            lambda: learner(PPO, policy_kwargs={"features_extractor_class": Foreign}),
            "features_extractor_class=.*Foreign",
        ),
        (
            lambda: learner(PPO, policy_kwargs={"activation_fn": torch.nn.Hardtanh}),
            "activation_fn=.*Hardtanh",
        ),
    ],
)
def test_unsupported_content_raises_and_leaves_no_file(make, message, tmp_path):
    model = make()
    if message is None:
        save(model, tmp_path / "model")
        assert load(tmp_path / "model").observation_space == model.observation_space
        return
    with pytest.raises(UsageError, match=message):
        save(model, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


CIRCUIT_FILE = """
from qrl import Circuit, Gate, Input, Observable, Weight

circuit = Circuit(
    n_wires=2,
    gates=(*(Gate("RX", (i,), Input(feature=i, scale=i)) for i in range(2)), Gate("RY", (0,), Weight(0))),
    observables=(Observable.of("Z0"), Observable.of("Z1")),
)
"""


@pytest.mark.parametrize("is_extractor", [False, True])
def test_a_circuit_given_as_an_object_is_saved_by_the_name_of_a_file(is_extractor, tmp_path):
    (tmp_path / "my_circuit.py").write_text(CIRCUIT_FILE)
    given = {"model": runpy.run_path(str(tmp_path / "my_circuit.py"))["circuit"]}
    extractor = {"features_extractor_class": QuantumFeaturesExtractor, "features_extractor_kwargs": given}
    env = RandomObservations(spaces.Box(-1, 1, (2,)))
    policy, options = ("MlpPolicy", extractor) if is_extractor else (QuantumActorCriticPolicy, given)
    model = PPO(policy, env, n_steps=8, batch_size=8, policy_kwargs=options, device="cpu", seed=0)
    model.learn(8)
    path = tmp_path / "model"
    where = r'\["features_extractor_kwargs"\]' if is_extractor else ""
    with pytest.raises(UsageError, match=rf'Circuit .*model\.policy_kwargs{where}\["model"\] = "my_circuit') as caught:
        save(model, path)
    assert len(str(caught.value)) < 200
    (options["features_extractor_kwargs"] if is_extractor else options)["model"] = str(tmp_path / "my_circuit.py")
    save(model, path)
    found, expected = parameters(load(path, trust=True, device="cpu")), parameters(model)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_safe_file_is_not_named_as_a_zip_file(model, tmp_path):
    for write in (SaveBest, lambda path: save(model, path)):
        with pytest.raises(UsageError, match=r"best\.ZIP: a zip file is .*; name this one best\.safetensors"):
            write(str(tmp_path / "best.ZIP"))
    assert list(tmp_path.iterdir()) == []


def test_files_are_written_atomically(model, saved, monkeypatch):
    before = saved.read_bytes()
    with pytest.raises(UsageError, match="No such file"):
        save(model, saved.parent / "missing" / "model")
    monkeypatch.setattr(
        "qrl.common.files.os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(UsageError, match="No space left"):
        save(model, saved)
    assert saved.read_bytes() == before and [each.name for each in saved.parent.iterdir()] == ["model"]


def test_file_whose_first_byte_is_that_of_a_pickle(tmp_path):
    """A safetensors file begins with the length of its header, whose first byte may be anything."""
    model = learner(PPO, QuantumActorCriticPolicy)
    save(model, tmp_path / "model")
    data = (tmp_path / "model").read_bytes()
    size = int.from_bytes(data[:8], "little")
    padding = (0x80 - size) % 256
    padded = (size + padding).to_bytes(8, "little") + data[8 : 8 + size] + b" " * padding + data[8 + size :]
    assert padded.startswith(b"\x80")
    (tmp_path / "padded").write_bytes(padded)
    assert load(tmp_path / "padded", device="cpu").num_timesteps == model.num_timesteps
