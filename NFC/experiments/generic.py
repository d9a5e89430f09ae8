"""The generic network of the synthetic world: the shipped pose estimator, which was never told who is who.

It stands where the paper's Table 5 has an ImageNet ViT: trained for another task on other people, its features hold
what a person does and wears, and nothing has taught them which of the two to compare.
"""

from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d
from transformers import VitPoseForPoseEstimation

from pose2id.weights.vitpose import read_vitpose

from ..networks import Preprocessing


class TokenMap(nn.Module):
    """The last tokens of a ViTPose as a coarse map, the mean of every 2 x 2 patches."""

    def __init__(self, estimator: VitPoseForPoseEstimation) -> None:
        super().__init__()
        self.backbone = estimator.backbone
        sizes = estimator.config.backbone_config
        self.patches = [whole // patch for whole, patch in zip(sizes.image_size, sizes.patch_size, strict=True)]

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, d), d = channels * patches / 4."""
        tokens = self.backbone(images).feature_maps[-1]  # (B, patches, channels)
        return avg_pool2d(tokens.mT.unflatten(-1, self.patches), 2).flatten(1)


def pose_estimator(weights: Path) -> tuple[nn.Module, Preprocessing]:
    """The network in the file `weights`, beside which `save_pretrained` put its configs; `UserError` without them."""
    estimator, processor = read_vitpose(weights)
    mean, std = tuple(processor.image_mean), tuple(processor.image_std)
    size = processor.size
    return TokenMap(estimator), Preprocessing(size["height"], size["width"], "bilinear", mean, std)
