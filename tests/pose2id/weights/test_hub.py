"""A hub that cannot be reached is one line at once."""

import time

import pytest

from NFC.networks import build_extractor
from pose2id.errors import UserError
from pose2id.weights import hub


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    hub.hub_reachable.cache_clear()
    yield
    hub.hub_reachable.cache_clear()


@pytest.mark.parametrize("name", ["transformers:nope", "timm:vit_large_patch14_dinov2"])
def test_names_that_are_not_here(name):
    started = time.monotonic()
    with pytest.raises(UserError, match="the hub cannot be reached"):
        build_extractor(name, device="cpu")
    assert time.monotonic() - started < 20


def test_odd_names_are_in_no_cache():
    assert not hub.in_cache("a/b/c/d", "config.json") and not hub.in_cache("", "config.json")
