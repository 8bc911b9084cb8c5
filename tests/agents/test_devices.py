"""Names of torch devices and their memory; the GPUs are simulated."""

import pytest
import torch

from agents.core.context import build, check_device
from agents.core.spec import Spec
from agents.experiment.memory import check_rollouts
from qrl.common.errors import UsageError
from qrl.common.memory import check_fits


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 2**31 if device.index == 1 else 2**33))


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1"])
def test_existing_devices_are_accepted(two_gpus, name):
    check_device(name)
    spec = Spec.default(device=name)
    assert Spec.from_json(spec.to_json()) == spec and spec.device == name


def test_a_gpu_that_does_not_exist_is_refused_with_those_that_do(two_gpus):
    with pytest.raises(UsageError, match=r"^--device cuda:2: torch finds 2 CUDA devices here: cuda:0, cuda:1$"):
        build(Spec.default(device="cuda:2"))


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:3"])
def test_without_gpus_the_remedy_is_the_cpu(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=f"^--device {name}: torch finds no CUDA device here; use cpu$"):
        build(Spec.default(device=name))


@pytest.mark.parametrize("name", ["cuda:", "cuda:01", "cuda:-1", "cuda:x", "cuda:1000", "cuda:0 ", "cpu:0"])
def test_other_names_are_refused(name):
    with pytest.raises(UsageError, match=r"^device: expected one of 'cpu', 'cuda', found "):
        Spec.default(device=name)


def test_sizes_are_compared_with_the_memory_of_the_gpu(two_gpus):
    check_fits("agent", "this", 3 * 2**30, "cuda:0")
    with pytest.raises(UsageError, match=r"^agent: this needs about 3 GiB, the GPU cuda:1 has 2; use fewer "):
        check_fits("agent", "this", 3 * 2**30, torch.device("cuda:1"))
    distribution, agent = build(Spec.default(env="navigation", agent="random"))
    with pytest.raises(UsageError, match=r"^here: collecting .* environments needs about .* the GPU cuda:1 has 2"):
        check_rollouts("here", agent, distribution, 10**6, 10, 1, "cuda:1")
