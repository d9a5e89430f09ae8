"""What every extractor offers: a network, its preprocessing record, and whether it wants to know the camera."""

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from pose2id.errors import UserError
from pose2id.pictures import RESIZE, picture_tensor
from pose2id.weights import name_list

HALF = (0.5, 0.5, 0.5)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

CHANNEL_ORDERS = ("rgb", "bgr")


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the input of a network: called on a PIL picture, gives (3, height, width) float32.

    resize: Pillow's nearest, bilinear, bicubic or lanczos, or OpenCV's bilinear, `cv2_bilinear`. mean and std are
    those of values in [0, 1], in the order of the network's channels. Mistakes raise `UserError`.
    """

    height: int
    width: int
    resize: str = "lanczos"
    mean: tuple[float, float, float] = HALF
    std: tuple[float, float, float] = HALF
    channel_order: str = "rgb"

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise UserError(f"preprocessing: height and width must be positive, got {self.height} and {self.width}")
        if self.resize not in RESIZE:
            raise UserError(f"preprocessing: unknown resize '{self.resize}'; choose one of: {', '.join(RESIZE)}")
        if self.channel_order not in CHANNEL_ORDERS:
            raise UserError(f"preprocessing: channel_order must be rgb or bgr, got '{self.channel_order}'")
        if not len(self.mean) == len(self.std) == 3 or min(self.std) <= 0:
            raise UserError(f"preprocessing: mean and std need three numbers, std above 0; got {self.mean}, {self.std}")

    def __call__(self, picture: Image.Image) -> Tensor:
        pixels = picture_tensor(picture, self.height, self.width, self.resize)
        if self.channel_order == "bgr":
            pixels = pixels.flip(0)
        return (pixels - torch.tensor(self.mean)[:, None, None]) / torch.tensor(self.std)[:, None, None]


class Extractor(nn.Module):
    """A ReID network with its preprocessing record; features of `feature_dim` numbers.

    Where `uses_camids`, original pictures come with their zero-based camera ids; generated pictures, which no camera
    took, come without. `program` is the file of a network that is more than its tensors (ONNX, exported).
    """

    program: Path | None = None

    def __init__(
        self, network: nn.Module, feature_dim: int, preprocessing: Preprocessing, uses_camids: bool = False
    ) -> None:
        super().__init__()
        self.network = network
        self.feature_dim = feature_dim
        self.preprocessing = preprocessing
        self.uses_camids = uses_camids

    @property
    def height(self) -> int:
        return self.preprocessing.height

    @property
    def width(self) -> int:
        return self.preprocessing.width

    def preprocess(self, picture: Image.Image) -> Tensor:
        """Any PIL picture -> (3, height, width) float32, as the network wants it."""
        return self.preprocessing(picture)

    def forward(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """(B, 3, height, width) preprocessed and, where `uses_camids`, camids (B,) int64 -> (B, feature_dim)."""
        return self.network(images, camids) if self.uses_camids else self.network(images)


@torch.no_grad()
def measured_extractor(network: nn.Module, preprocessing: Preprocessing) -> Extractor:
    """An extractor whose `feature_dim` is what the network gives for one black picture.

    An output other than (1, feature_dim) raises `UserError`.
    """
    feats = network.eval()(preprocessing(Image.new("RGB", (1, 1)))[None])
    if not isinstance(feats, Tensor) or feats.ndim != 2 or len(feats) != 1:
        shape = tuple(feats.shape) if isinstance(feats, Tensor) else type(feats).__name__
        raise UserError(f"the network has to turn (B, 3, H, W) into features (B, d), but gave {shape} for one picture")
    return Extractor(network, feats.shape[1], preprocessing)


def camera_rows(table: Tensor, camids: Tensor) -> Tensor:
    """Rows `camids` (B,) of an embedding table of cameras (C, ...); a camera it does not have raises `UserError`."""
    if camids.min() < 0 or camids.max() >= len(table):
        seen = sorted(camids.unique().tolist())
        raise UserError(
            f"cameras {name_list(map(str, seen))} (counted from 0), but the weights know {len(table)} cameras: "
            "use weights for this data set, or of a network without a camera embedding"
        )
    return table[camids]
