"""Option --ray without Ray: its forms, and errors before anything is written."""

import importlib.util

import pytest

import agents
from agents.cli.main import main
from agents.cli.sweep import make_request
from agents.study import on_ray
from agents.study.on_ray import check_address
from qrl.common import importing
from qrl.common.errors import UsageError


@pytest.fixture(autouse=True)
def installed(monkeypatch, tmp_path):
    monkeypatch.setattr(on_ray, "check_installed", lambda option, package: None)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ([], False),
        (["--ray"], True),
        (["--ray", "--jobs", "3"], True),
        (["--ray", "10.0.0.1:6379", "--seeds", "2"], "10.0.0.1:6379"),
        (["--ray=auto"], "auto"),
    ],
)
def test_address_is_optional(words, value):
    request = make_request(words)
    assert request.ray == value
    assert request.jobs == (3 if "3" in words else None)


@pytest.mark.parametrize("address", ["auto", "10.0.0.1:6379", "head-node.cluster:6379", "[::1]:6379"])
def test_addresses(address):
    assert check_address(address) == address


@pytest.mark.parametrize(
    "address", ["", "10.0.0.1", "ray://10.0.0.1:6379", "study.toml", "local", "a:b", ":1", "a:0", "a:99999", "a:\u0663"]
)
def test_what_is_no_address(address, capsys, tmp_path):
    assert main(["sweep", f"--ray={address}", "--seeds", "2"]) == 2
    error = capsys.readouterr().err
    assert f"error: --ray {address!r}: expected HOST:PORT of the head of a cluster, auto " in error
    assert error.count("\n") == 1 and not list(tmp_path.iterdir())


def test_without_ray(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(on_ray, "check_installed", importing.check_installed)
    monkeypatch.setattr(importing.importlib.util, "find_spec", lambda name: None)
    assert main(["sweep", "--ray", "--seeds", "2"]) == 2
    assert "error: --ray: ray is not installed: pip install 'qrl-meta[ray]'\n" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_named_ray_is_no_package(monkeypatch, tmp_path):
    (tmp_path / "rays").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.util.find_spec("rays") is not None
    with pytest.raises(UsageError, match="rays is not installed"):
        importing.check_installed("--ray", "rays")


def test_a_single_run_takes_no_ray(capsys):
    assert main(["train", "--ray"]) == 2
    assert "error: --ray distributes the runs of several seeds: add --seeds" in capsys.readouterr().err


@pytest.mark.parametrize("value", [None, 3])
def test_other_types(value, unchecked):
    with pytest.raises(UsageError, match=r"^ray: expected True or an address, such as 'auto', found"):
        agents.sweep(ray=value)


def test_a_study_file_has_no_ray(tmp_path, capsys):
    (tmp_path / "study.toml").write_text("[options]\nray = true\n")
    assert main(["sweep", "study.toml"]) == 2
    assert "ray is no option of single runs in a study: give --ray" in capsys.readouterr().err
