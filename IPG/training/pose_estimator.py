"""Training of the small ViTPose on groups of synthetic pedestrians: crops, heatmaps and their squared error."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation, VitPoseImageProcessor

from NFC.datasets.synthetic.groups import Groups
from NFC.datasets.synthetic.spoiling import spoil
from pose2id.settings.ranges import PIXELS, Range, check_ranges

from ..poses.coco import COCO_NAMES, coco_from_openpose

BOX_PADDING = 1.25  # the processor's: a box is this much larger, each way, in the network's input
INITIAL = 0.06  # standard deviation of weights at first; the usual 0.02 is meant for networks six times as wide
SIGMA = 1.5  # of a joint's peak, in cells of the heatmap
OCCLUDED = 0.12  # share of pictures in training

_MIRROR = [
    COCO_NAMES.index(name.replace("left", "*").replace("right", "left").replace("*", "right")) for name in COCO_NAMES
]


@dataclass
class EstimatorSizes:
    """Sizes of a ViTPose; its heatmaps have `height / patch * upsampling` rows."""

    height: int = 160
    width: int = 80
    patch: int = 10
    dim: int = 128
    depth: int = 4
    heads: int = 4
    upsampling: int = 2

    def __post_init__(self) -> None:
        small = Range(1, 256)
        ranges = {"height": PIXELS, "width": PIXELS, "patch": small, "depth": small, "heads": small}
        check_ranges(self, {**ranges, "dim": Range(1, 16384), "upsampling": Range(1, 64)}, "sizes")


def build_vitpose(sizes: EstimatorSizes) -> tuple[VitPoseForPoseEstimation, VitPoseImageProcessor]:
    """A ViTPose with random weights, and what prepares its pictures."""
    backbone = VitPoseBackboneConfig(
        image_size=[sizes.height, sizes.width],
        patch_size=[sizes.patch, sizes.patch],
        hidden_size=sizes.dim,
        num_hidden_layers=sizes.depth,
        num_attention_heads=sizes.heads,
        out_indices=[sizes.depth],
        initializer_range=INITIAL,
    )
    labels = dict(enumerate(COCO_NAMES))
    config = VitPoseConfig(
        backbone_config=backbone,
        scale_factor=sizes.upsampling,
        initializer_range=INITIAL,
        id2label=labels,
        label2id={name: row for row, name in labels.items()},
    )
    processor = VitPoseImageProcessor(size={"height": sizes.height, "width": sizes.width})
    network = VitPoseForPoseEstimation(config)
    rows, columns = sizes.height // sizes.patch, sizes.width // sizes.patch
    with torch.no_grad():
        network.backbone.embeddings.position_embeddings[0, 1:] = waves(rows, columns, sizes.dim)
        network.head.conv.weight *= 0.1  # heatmaps are nearly empty
    return network, processor


def waves(rows: int, columns: int, dim: int) -> Tensor:
    """Sines and cosines of the row and the column of each patch, (rows * columns, dim), to start positions from.

    From zeros, as `transformers` has them, a small network takes much longer to learn where its patches are.
    """
    frequencies = 100.0 ** -torch.arange(0, 1, 4 / dim)  # (dim / 4,)
    down = torch.arange(rows)[:, None] * frequencies
    across = torch.arange(columns)[:, None] * frequencies
    down, across = (torch.cat([angle.sin(), angle.cos()], dim=1) for angle in (down, across))
    return torch.cat([down.repeat_interleave(columns, 0), across.repeat(rows, 1)], dim=1)


def mirror(pictures: Tensor, points: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Flip the `chosen` (B,) pictures (B, 3, H, W) and their (B, 17, 3) keypoints, whose sides change names."""
    flipped = points[:, _MIRROR].clone()
    flipped[..., 0] = pictures.shape[3] - 1 - flipped[..., 0]
    pictures = torch.where(chosen[:, None, None, None], pictures.flip(3), pictures)
    return pictures, torch.where(chosen[:, None, None], flipped, points)


def crop(pictures: Tensor, centre: Tensor, zoom: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Crops of (B, 3, H, W) as the processor makes them of a box: (B, 3, *size), black outside of the picture.

    centre: (B, 2) of the box, x, y in pixels; zoom: (B,), 1 for a box of the picture's height. The box is as wide as
    `size` asks for. Returns the crops, and (B, 2, 2) [[x0, y0], [width, height]] of what they show in pixels.
    """
    height, width = pictures.shape[2:]
    shown = BOX_PADDING * height / zoom[:, None] * torch.tensor([size[1] / size[0], 1.0])
    corner = centre - shown / 2
    # Pixel k of the crop is at corner + shown * k / (size - 1): end points on end points.
    scale = shown / torch.tensor([width - 1.0, height - 1.0])
    shift = 2 * (corner + shown / 2) / torch.tensor([width - 1.0, height - 1.0]) - 1
    theta = torch.zeros(len(pictures), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale[:, 0], scale[:, 1], shift
    grid = F.affine_grid(theta, [len(pictures), 3, *size], align_corners=True)
    return F.grid_sample(pictures, grid, align_corners=True), torch.stack([corner, shown], dim=1)


def heatmaps(points: Tensor, shown: Tensor, size: tuple[int, int]) -> Tensor:
    """Targets (B, J, *size): a peak of height 1 at each (B, J, 3) joint, nothing for a joint of confidence 0.

    `shown` as `crop` returns it; the crop's end points are the heatmap's end points.
    """
    cells = torch.tensor([size[1] - 1.0, size[0] - 1.0])
    x, y = ((points[..., :2] - shown[:, None, 0]) / shown[:, None, 1] * cells).unbind(-1)  # (B, J)
    across = torch.exp(-((torch.arange(size[1]) - x[..., None]) ** 2) / (2 * SIGMA**2))
    down = torch.exp(-((torch.arange(size[0]) - y[..., None]) ** 2) / (2 * SIGMA**2))
    return (points[..., 2:] * down)[..., :, None] * across[..., None, :]


class HeatmapLoss(nn.Module):
    """Squared error of the heatmaps, summed over each and averaged over pictures and joints."""

    def __init__(self, network: VitPoseForPoseEstimation) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: dict[str, Tensor], generators: list[torch.Generator]) -> tuple[Tensor, dict[str, float]]:
        heatmaps = self.network(batch["pictures"]).heatmaps.float()
        return (heatmaps - batch["heatmaps"]).square().sum((2, 3)).mean(), {}


class PoseSampler:
    """Batches of `pictures` (B, 3, H, W), normalised, and `heatmaps` (B, 17, h, w) from groups, augmented.

    All of a batch comes from its first generator.
    """

    def __init__(
        self, groups: Groups, processor: VitPoseImageProcessor, heatmap_size: tuple[int, int], batch_size: int
    ) -> None:
        self.groups, self.batch_size, self.heatmap_size = groups, batch_size, heatmap_size
        self.size = processor.size["height"], processor.size["width"]
        self.mean, self.std = (torch.tensor(v)[:, None, None] for v in (processor.image_mean, processor.image_std))

    def __call__(self, generators: list[torch.Generator]) -> dict[str, Tensor]:
        rng = np.random.default_rng(torch.randint(2**62, (1,), generator=generators[0]).item())
        rows, members = self.groups.draw(self.batch_size, OCCLUDED, rng)
        pictures = torch.from_numpy(self.groups.pictures[rows, members]).movedim(-1, 1).float() / 255
        points = coco_from_openpose(self.groups.keypoints[rows, members])
        points = torch.from_numpy(points - np.float32([0.5, 0.5, 0]))  # pixel centres at whole numbers
        pictures, points = mirror(pictures, points, torch.from_numpy(rng.random(self.batch_size) < 0.5))
        pictures, _ = spoil(pictures, rng)
        height, width = pictures.shape[2:]
        zoom = torch.from_numpy(np.exp(rng.uniform(-0.1, 0.15, self.batch_size))).float()
        shift = torch.from_numpy(rng.uniform(-0.04, 0.04, (self.batch_size, 2)) * height).float()
        crops, shown = crop(pictures, torch.tensor([width / 2, height / 2]) + shift, zoom, self.size)
        return {
            "pictures": (crops - self.mean) / self.std,
            "heatmaps": heatmaps(points, shown, self.heatmap_size),
        }
