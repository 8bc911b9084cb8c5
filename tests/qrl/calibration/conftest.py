"""Silence Aer's log in tests of calibrations."""

import logging

import pytest


@pytest.fixture(autouse=True)
def no_log():
    """Aer logs that a qubit-specific error replaces the default one."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)
