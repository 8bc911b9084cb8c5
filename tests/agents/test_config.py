"""The spec of a run: JSON round trip and one-line errors for wrong values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from agents.core.plain import from_plain, to_plain
from agents.core.registry import REGISTRIES
from agents.core.spec import Spec, default_config
from agents.runs.folder import RunFolder
from agents.runs.saved_spec import read_spec
from qrl.common.checks import check_count, shown
from qrl.common.errors import UsageError


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1


@dataclass(frozen=True)
class Config:
    size: int = 3
    rate: float = 0.5
    on: bool = True
    name: str = "x"
    head: Literal["dice", "first-order", 2] = "dice"
    limits: tuple[float, float] = (0.0, 1.0)
    widths: tuple[int, ...] = (64, 64)
    numbers: list[int] = field(default_factory=list)
    limit: float | None = None
    table: dict[str, float] = field(default_factory=dict)
    where: Path = Path("a")
    noted: Annotated[int, "unit"] = 1
    inner: Inner = Inner()
    derived: int = field(default=0, init=False)

    def __post_init__(self):
        if self.size < 0:
            raise ValueError(f"size must not be negative, is {self.size}")
        if self.size == 13:
            raise UsageError("thirteen is unlucky")


class Toy:
    """A toy plug-in."""

    Config = Config

    @staticmethod
    def defaults(env_name):
        return Config(name=env_name)

    @staticmethod
    def build(config):
        return config


@pytest.fixture
def toys():
    for registry in REGISTRIES.values():
        registry.register("toy", Toy)
    yield {"env": "toy", "agent": "toy", "model": "toy"}
    for registry in REGISTRIES.values():
        registry.unregister("toy")


def test_values_round_trip_through_json():
    config = Config(
        size=4,
        rate=1 / 3,
        on=False,
        head=2,
        widths=(1, 2, 3),
        numbers=[1],
        limit=2.0,
        table={"a": 1.0},
        inner=Inner(0.2),
    )
    assert from_plain(Config, json.loads(json.dumps(to_plain(config))), "config") == config
    assert from_plain(Config, {}, "config") == Config()
    assert "derived" not in to_plain(config)


def test_integers_are_accepted_as_floats_and_keep_their_type():
    assert type(from_plain(Config, {"rate": 2}, "config").rate) is float


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"sise": 3}, "config: unknown option 'sise'; did you mean 'size'? (choices: "),
        ({"derived": 3}, "config: unknown option 'derived'; "),
        ({"size": "3"}, "config.size: expected a whole number, found '3'"),
        ({"size": 3.0}, "config.size: expected a whole number, found 3.0"),
        ({"size": True}, "config.size: expected a whole number, found True"),
        ({"size": None}, "config.size: expected a whole number, found None"),
        ({"size": -1}, "config: size must not be negative, is -1"),
        ({"size": 13}, "thirteen is unlucky"),
        ({"rate": "fast"}, "config.rate: expected a number, found 'fast'"),
        ({"rate": False}, "config.rate: expected a number, found False"),
        ({"rate": float("nan")}, "config.rate is nan: a finite number is needed"),
        ({"inner": {"rate": float("inf")}}, "config.inner.rate is inf: a finite number is needed"),
        ({"inner": {"rat": 1}}, "config.inner: unknown option 'rat'; did you mean 'rate'? (choices: rate)"),
        ({"inner": 3}, "config.inner: expected an object of options, found 3"),
        ({"on": 1}, "config.on: expected true or false, found 1"),
        ({"name": 1}, "config.name: expected a string, found 1"),
        ({"where": 1}, "config.where: expected a path, found 1"),
        ({"head": "dise"}, "config.head: expected one of 'dice', 'first-order', 2, found 'dise'; did you mean 'dice'?"),
        ({"head": 2.0}, "config.head: expected one of 'dice', 'first-order', 2, found 2.0"),
        ({"limits": [1.0]}, "config.limits: expected 2 values, found 1"),
        ({"limits": 1.0}, "config.limits: expected a list, found 1.0"),
        ({"widths": [1, "a"]}, "config.widths[1]: expected a whole number, found 'a'"),
        ({"numbers": [1.5]}, "config.numbers[0]: expected a whole number, found 1.5"),
        ({"limit": "high"}, "config.limit: expected a number, found 'high'"),
        ({"table": {"a": "b"}}, "config.table.a: expected a number, found 'b'"),
        ({"table": 3}, "config.table: expected an object, found 3"),
        ({"noted": "x"}, "config.noted: expected a whole number, found 'x'"),
        ([], "config: expected an object of options, found []"),
        (
            {"name": ["long"] * 100},
            "config.name: expected a string, found ['long', 'long', 'long', 'long', 'long', 'long', 'long', ...",
        ),
    ],
)
def test_wrong_values_raise_one_line_errors(data, message):
    with pytest.raises(UsageError) as caught:
        from_plain(Config, data, "config")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_missing_values_are_reported():
    @dataclass(frozen=True)
    class Needs:
        size: int

    with pytest.raises(UsageError, match=r"^config: size is missing$"):
        from_plain(Needs, {}, "config")
    with pytest.raises(UsageError, match="every field of Config needs a default; size has none"):
        default_config(type("P", (), {"Config": Needs, "build": print}), "toy")


def test_values_not_representable_in_json():
    @dataclass(frozen=True)
    class Odd:
        thing: Any = object

    with pytest.raises(UsageError, match="a configuration cannot hold a type"):
        to_plain(Odd())


def test_spec_round_trips_through_a_run_folder(toys, tmp_path):
    spec = Spec.default(**toys, seed=7, iterations=3, agent_config=Config(size=9, widths=(1,)))
    plain = spec.to_json()
    assert isinstance(plain, Mapping)
    run = RunFolder.create(tmp_path / "run", {"spec": plain})
    assert Spec.from_json(RunFolder.open(run.path).config["spec"]) == spec
    assert Spec.from_json(read_spec(run.path)) == spec
    assert Spec.from_json(read_spec(run.path / "config.json")) == spec
    (tmp_path / "bare.json").write_text(json.dumps(plain))
    assert Spec.from_json(read_spec(tmp_path / "bare.json")) == spec


def test_defaults_may_depend_on_the_environment(toys):
    assert Spec.default(**toys).agent_config == Config(name="toy")
    assert Spec.from_json({**toys, "env": "navigation"}).model_config == Config(name="navigation")
    assert Spec.from_json({**toys, "model_config": {"size": 4}}).model_config == Config(size=4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iteratons": 3}, "configuration: unknown option 'iteratons'; did you mean 'iterations'? (choices: "),
        ({"iterations": 0}, "iterations must be at least 1, not 0"),
        ({"iterations": -5}, "iterations must be at least 1, not -5"),
        ({"iterations": 1.5}, "configuration.iterations: expected a whole number, found 1.5"),
        ({"checkpoint_every": 0}, "checkpoint-every must be at least 1, not 0"),
        ({"eval_tasks": 0}, "eval-tasks must be at least 2, not 0"),
        ({"eval_steps": 0}, "eval-steps must be at least 1, not 0"),
        ({"eval_episodes": -1}, "eval-episodes must be at least 1, not -1"),
        ({"threads": -1}, "threads must be at least 0, not -1"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"seed": 2**63}, f"seed must be at most {2**63 - 1}, not {2**63}"),
        ({"device": "gpu"}, "configuration.device: expected one of 'cpu', 'cuda', found 'gpu'; did you mean 'cpu'?"),
        ({"env": "tooy"}, "unknown env 'tooy'; did you mean 'toy'? (choices: "),
        ({"env": 3}, "configuration.env: expected a name, found 3"),
        ({"env_config": {"size": "x"}}, "configuration.env_config.size: expected a whole number, found 'x'"),
        ({"agent_config": {"rate": float("nan")}}, "configuration.agent_config.rate is nan: a finite number is needed"),
        ({"policy": {"nonsense": 1}}, "configuration.policy: unknown option 'nonsense'; "),
    ],
)
def test_invalid_specs(toys, change, message):
    with pytest.raises(UsageError) as caught:
        Spec.from_json({**toys, **change})
    assert str(caught.value).startswith(message)


def test_specs_built_in_python_are_checked(toys):
    with pytest.raises(UsageError, match=r"^agent_config\.inner\.rate is nan: a finite number is needed$"):
        Spec.default(**toys, agent_config=Config(inner=Inner(rate=float("nan"))))
    with pytest.raises(UsageError, match=r"unknown option 'sed'; did you mean 'seed'\?"):
        Spec.default(**toys, sed=3)
    with pytest.raises(UsageError, match="expected a JSON object"):
        Spec.from_json([1])


@pytest.mark.parametrize("text", ["[1]", '{"spec": [1]}'])
def test_file_without_a_configuration(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match="not the configuration of a run"):
        read_spec(tmp_path)


@pytest.mark.parametrize("value", [True, 1.0, "1"])
def test_counts_must_be_integers(value):
    with pytest.raises(UsageError, match="n must be a whole number"):
        check_count("n", value)


def test_arrays_are_shown_on_one_line():
    assert shown(np.zeros((2, 1))) == "array([[0.], [0.]])"
