"""The two checks that every extractor with one feature a picture has to pass."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from NFC.networks import Extractor
from tests.golden.recipe import uniform
from tests.nfc.networks.official import cosine_distance, error, golden
from tests.nfc.networks.small_training import before_and_after, without_gradient

TOLERANCE = 2e-5
STEPS, LEARNING_RATE = 30, 3e-3


@torch.inference_mode()
def check_golden(extractor: Extractor, stem: str, camids: Tensor | None = None, key: str = "feat") -> None:
    """Features of the golden pictures in float32, and roughly in bfloat16."""
    images, expected = uniform(1, -1, 1, (2, 3, extractor.height, extractor.width)), golden(stem)[key]
    feats = extractor.eval()(images, camids)
    assert feats.shape == (2, extractor.feature_dim)
    assert error(feats, expected) < TOLERANCE
    with torch.autocast("cpu", torch.bfloat16):
        assert cosine_distance(extractor(images, camids), expected) < 0.02


def check_learns(network: nn.Module, uses_camids: bool = False, unused: tuple[str, ...] = ()) -> None:
    """A few steps on pictures of 64 x 32 raise the mAP among people not trained on.

    They reach every parameter but those that start with one of `unused`.
    """

    def features(images: Tensor, camids: Tensor) -> Tensor:
        return network(images, camids) if uses_camids else network(images)

    def distances(images: Tensor, camids: Tensor) -> Tensor:
        feats = normalize(features(images, camids), dim=1)
        return -feats @ feats.T

    before, after = before_and_after(
        network, lambda *given: [features(*given)], distances, (64, 32), STEPS, LEARNING_RATE
    )
    assert without_gradient(network, unused) == []
    assert after > before + 0.05, f"mAP {before:.3f} -> {after:.3f}"
