"""What several tests of networks need."""

import pytest

from tests.nfc.networks.small_kpr import read_small


@pytest.fixture
def small(monkeypatch):
    """See `read_small`."""
    return read_small(monkeypatch)
