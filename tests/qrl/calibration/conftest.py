"""No log of Aer in tests of calibrations."""

import logging

import pytest


@pytest.fixture(autouse=True)
def no_log():
    """Aer logs that a qubit's own error replaces the one of all."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)
