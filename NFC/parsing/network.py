"""The parser: a small SegFormer (Xie et al., NeurIPS 2021) as `transformers` has it, and its files."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from pose2id.errors import UserError
from pose2id.files import write_text
from pose2id.pictures import picture_tensor
from pose2id.presets import default_directory
from pose2id.reading.files import one_line, require_file
from pose2id.reading.sizes import check_sizes
from pose2id.reading.text import mapping, read_json
from pose2id.settings.ranges import PIXELS, Range, check_ranges
from pose2id.weights import load_tensors, read_tensors, write_safetensors

from ..networks.blocks.parsing import PARSINGS
from ..networks.preprocessing import Preprocessing

CLASSES = PARSINGS["pascal"].classes
CONFIG, WEIGHTS = "config.json", "model.safetensors"
INITIAL = 0.06  # standard deviation of weights at first; the usual 0.02 is meant for networks several times as wide
CELL = 4  # pixels of a side of the first layer's patches, each way
REDUCTION = 8, 4, 2, 1  # of keys and values, in the last stages


@dataclass
class ParserSizes:
    """Sizes of a SegFormer: of its pictures, of each of its stages (the first has a token for 4 x 4 pixels, each next
    one for four times as many), and the width in which their maps are joined."""

    height: int = 128
    width: int = 64
    dims: list[int] = field(default_factory=lambda: [64, 128, 160])
    depths: list[int] = field(default_factory=lambda: [2, 2, 2])
    heads: list[int] = field(default_factory=lambda: [1, 2, 4])
    mlp_ratio: int = 4
    joined: int = 128

    def __post_init__(self) -> None:
        small = Range(1, 256)
        ranges = {"height": PIXELS, "width": PIXELS, "depths": small, "heads": small, "mlp_ratio": small}
        check_ranges(self, {**ranges, "dims": Range(1, 4096), "joined": Range(1, 4096)}, "sizes")
        stages = len(self.dims)
        if not len(self.depths) == len(self.heads) == stages <= len(REDUCTION) or not stages:
            raise UserError(f"sizes: dims, depths and heads need a number for each of 1 to {len(REDUCTION)} stages")
        if any(dim % heads for dim, heads in zip(self.dims, self.heads, strict=True)):
            raise UserError(f"sizes: dims {self.dims} cannot be parted among heads {self.heads}")
        step = CELL * 2 ** (stages - 1)
        if self.height % step or self.width % step:
            raise UserError(f"sizes: height and width of {stages} stages must be multiples of {step}")


def build_parser(sizes: ParserSizes) -> SegformerForSemanticSegmentation:
    """A SegFormer with random weights whose cells tell the classes of all of their pixels (see `class_scores`)."""
    stages = len(sizes.dims)
    return SegformerForSemanticSegmentation(
        SegformerConfig(
            image_size=[sizes.height, sizes.width],
            num_labels=len(CLASSES) * CELL**2,
            num_encoder_blocks=stages,
            hidden_sizes=sizes.dims,
            depths=sizes.depths,
            num_attention_heads=sizes.heads,
            sr_ratios=list(REDUCTION[-stages:]),
            patch_sizes=[2 * CELL - 1, *[3] * (stages - 1)],
            strides=[CELL, *[2] * (stages - 1)],
            mlp_ratios=[sizes.mlp_ratio] * stages,
            decoder_hidden_size=sizes.joined,
            initializer_range=INITIAL,
            drop_path_rate=0.0,
            classifier_dropout_prob=0.0,
        )
    )


def class_scores(network: SegformerForSemanticSegmentation, pictures: Tensor) -> Tensor:
    """Normalised pictures (B, 3, H, W) -> scores (B, 7, H, W) of the classes.

    SegFormer scores one cell of 4 x 4 pixels at a time, and limbs are hardly wider. So each cell has a score for each
    of its pixels (sub-pixel convolution, Shi et al., CVPR 2016; ours here): `num_labels` is 7 x 16.
    """
    return F.pixel_shuffle(network(pictures).logits, CELL)


def save_parser(network: SegformerForSemanticSegmentation, folder: Path) -> None:
    """Write what `Parser` reads, in float16."""
    write_text(folder / CONFIG, network.config.to_json_string())
    write_safetensors(network.state_dict(), folder / WEIGHTS, torch.float16)


def shipped_parser() -> Path:
    """The folder of the parser that comes with this repository."""
    return default_directory("mini") / "parser"


class Parser:
    """Called with RGB pictures of any sizes; gives the label map (h, w) uint8 of each, numbered as `CLASSES`.

    folder: what `train-parser` writes. Raises `UserError` when it is something else.
    """

    def __init__(self, folder: Path, device: str | torch.device = "cpu") -> None:
        self.network = _read_network(folder).to(device)
        height, width = self.network.config.image_size
        self.preprocessing = Preprocessing(height, width, "bilinear")

    def __call__(self, pictures: Sequence[Image.Image]) -> list[np.ndarray]:
        height, width = self.preprocessing.height, self.preprocessing.width
        pixels = torch.stack([picture_tensor(picture, height, width, "bilinear") for picture in pictures])
        maps = self.label_maps(pixels).cpu().numpy()
        sizes = [picture.size for picture in pictures]
        return [
            cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST) for labels, size in zip(maps, sizes, strict=True)
        ]

    @torch.inference_mode()
    def label_maps(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) float32 RGB in [0, 1], of the network's size -> (B, H, W) uint8.

        The class of the highest mean probability in a picture and its mirror image.
        """
        pixels = self.preprocessing.normalise(pictures.to(self.network.device))
        mirrored = class_scores(self.network, pixels.flip(3)).flip(3)
        shares = class_scores(self.network, pixels).softmax(1) + mirrored.softmax(1)
        return shares.max(1).indices.byte()  # `argmax` takes 15 times as long on a CPU


def _read_network(folder: Path) -> SegformerForSemanticSegmentation:
    """In evaluation mode; `UserError` for a config of something else, and for tensors that do not fit."""
    where = f"{folder} holds no parser"
    remedy = "name a folder that train-parser wrote, or leave out weights for the one that is shipped"
    config = mapping(read_json(folder / CONFIG, f"{where}: file", remedy), f"{where}: {CONFIG}")
    tensors = read_tensors(require_file(folder / WEIGHTS, f"{where}: file", remedy))
    check_sizes(config, len(tensors), where)
    try:
        network = SegformerForSemanticSegmentation(SegformerConfig.from_dict(config))
        height, width = network.config.image_size
        scores = class_scores(network.eval(), torch.zeros(1, 3, height, width))
        if scores.shape != (1, len(CLASSES), height, width):
            raise ValueError(f"scores of shape {tuple(scores.shape)}")
    except Exception as error:  # configs with other types lead to errors of any kind
        raise UserError(f"{where}: its config describes none ({one_line(error)}); {remedy}") from error
    load_tensors(network, tensors, folder / WEIGHTS)
    return network
