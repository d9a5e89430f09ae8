"""How a picture becomes the input of a network."""

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from pose2id.errors import UserError
from pose2id.pictures import RESIZE, picture_tensor
from pose2id.settings.ranges import PIXELS, Range, check_ranges

HALF = (0.5, 0.5, 0.5)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

CHANNEL_ORDERS = ("rgb", "bgr")


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the input of a network: called on a PIL picture, gives (3, height, width) float32.

    resize: Pillow's nearest, bilinear, bicubic or lanczos, or OpenCV's bilinear, `cv2_bilinear`. mean and std are
    those of values in [0, 1], in the order of the network's channels. standardise: then bring each picture by itself to
    mean 0 and deviation 1 over all of its numbers. Mistakes raise `UserError`.
    """

    height: int
    width: int
    resize: str = "lanczos"
    mean: tuple[float, float, float] = HALF
    std: tuple[float, float, float] = HALF
    channel_order: str = "rgb"
    standardise: bool = False

    def __post_init__(self) -> None:
        check_ranges(self, {"height": PIXELS, "width": PIXELS, "mean": Range(-1e6, 1e6)}, "preprocessing")
        check_ranges(self, {"std": Range(0, 1e6, above=True)}, "preprocessing")
        if self.resize not in RESIZE:
            raise UserError(f"preprocessing: unknown resize '{self.resize}'; choose one of: {', '.join(RESIZE)}")
        if self.channel_order not in CHANNEL_ORDERS:
            raise UserError(f"preprocessing: channel_order must be rgb or bgr, got '{self.channel_order}'")
        if not len(self.mean) == len(self.std) == 3:
            raise UserError(f"preprocessing: mean and std need three numbers each; got {self.mean}, {self.std}")

    def __call__(self, picture: Image.Image) -> Tensor:
        return self.normalise(picture_tensor(picture, self.height, self.width, self.resize))

    def normalise(self, pictures: Tensor) -> Tensor:
        """(..., 3, height, width) RGB in [0, 1] -> the same shape, in the network's channel order and range."""
        if self.channel_order == "bgr":
            pictures = pictures.flip(-3)
        mean, std = (torch.tensor(values, device=pictures.device)[:, None, None] for values in (self.mean, self.std))
        pictures = (pictures - mean) / std
        return standardised(pictures) if self.standardise else pictures

    def shown(self, pictures: Tensor) -> Tensor:
        """The inverse of `normalise`, cut to [0, 1]; standardised pictures come out as bright as fits."""
        if self.standardise:
            low, high = pictures.amin((-3, -2, -1), keepdim=True), pictures.amax((-3, -2, -1), keepdim=True)
            pictures = (pictures - low) / (high - low).clamp(min=1e-12)
        else:
            mean, std = (pictures.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
            pictures = pictures * std + mean
        return (pictures.flip(-3) if self.channel_order == "bgr" else pictures).clamp(0, 1)


def standardised(pictures: Tensor) -> Tensor:
    """(..., 3, H, W) -> each with mean 0 and deviation 1; one of n equal numbers is divided by 1 / sqrt(n).

    Source of that bound: TensorFlow's per_image_standardization.
    """
    centred = pictures - pictures.mean((-3, -2, -1), keepdim=True)
    deviation = centred.square().mean((-3, -2, -1), keepdim=True).sqrt()
    return centred / deviation.clamp(min=pictures.shape[-3:].numel() ** -0.5)
