"""Skip the kernel's tests where it was not built or does not run."""

import pytest

from qrl.simulator.native.library import Library, find


@pytest.fixture(autouse=True)
def kernel_runs():
    if not isinstance(find(), Library):
        pytest.skip(str(find()))
