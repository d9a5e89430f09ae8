"""What every extractor offers: a network, its preprocessing, and what it wants to know besides the picture."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from pose2id.errors import UserError
from pose2id.weights import name_list

from ..features.kinds.base import Features
from ..features.kinds.layout import Layout
from .preprocessing import HALF, IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from .reading import PictureReader, Sample

__all__ = ["HALF", "IMAGENET_MEAN", "IMAGENET_STD", "NO_CAMERA", "Extractor", "Preprocessing", "measured_extractor"]

NO_CAMERA = -1  # the camid of a picture that no camera took, such as a generated one


class Extractor(nn.Module):
    """A ReID network with its preprocessing; features of `feature_dim` numbers, laid out as `layout` says.

    `inputs` names what it wants to know: always "pictures"; "camids", zero-based, of which generated pictures have
    none; "keypoints", KPR's prompts; "points" of a body; "parsing", label maps; "heights", where pictures keep their
    proportions, `own_size`. `program` is the file of a network that is more than its tensors (ONNX, exported);
    `keypoints` the folder of keypoint files in use, `generated_keypoints` the file of the poses of generated pictures.
    """

    layout: Layout = Layout()
    program: Path | None = None
    keypoints: Path | None = None
    generated_keypoints: Path | None = None
    own_size: bool = False

    def __init__(
        self, network: nn.Module, feature_dim: int, preprocessing: Preprocessing, uses_camids: bool = False
    ) -> None:
        """network: called with (pictures), or (pictures, camids) where `uses_camids`."""
        super().__init__()
        self.network = network
        self.feature_dim = feature_dim
        self.preprocessing = preprocessing
        self.inputs: tuple[str, ...] = ("pictures", "camids") if uses_camids else ("pictures",)

    @property
    def uses_camids(self) -> bool:
        return "camids" in self.inputs

    @property
    def height(self) -> int:
        return self.preprocessing.height

    @property
    def width(self) -> int:
        return self.preprocessing.width

    def preprocess(self, picture: Image.Image, path: str | Path | None = None) -> Tensor:
        """Any PIL picture -> (3, height, width) float32, as the network wants it; path: of its file, if it has one."""
        return self.preprocessing(picture)

    def sample(self, picture: Image.Image, path: str | Path | None = None) -> dict[str, Tensor]:
        """What the network is given of one picture, by name of the input; all but the camera.

        path: the file of an original picture; None for a generated one. Stacked over pictures, and with camids (B,)
        added, these are the arguments of `forward`.
        """
        return {"pictures": self.preprocess(picture)}

    def reader(self) -> Callable[[Image.Image, Path | None], Sample]:
        """What computes `sample`: a `PictureReader`, which other processes can be sent, or else the method itself.

        The latter is so for subclasses with a `sample` or `preprocess` of their own that leave this as it is.
        """
        own = (type(self).sample, type(self).preprocess, type(self.preprocessing))
        if own == (Extractor.sample, Extractor.preprocess, Preprocessing):
            return PictureReader(self.preprocessing)
        return self.sample

    def mirror(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The arguments of `forward` for the mirror images of a batch's pictures."""
        return batch | {"pictures": batch["pictures"].flip(-1)}

    def forward(self, pictures: Tensor, camids: Tensor | None = None, keypoints: Tensor | None = None) -> Tensor:
        """Features (B, feature_dim).

        pictures: (B, 3, height, width) preprocessed; camids: (B,) int64, `NO_CAMERA` for none; keypoints: as `sample`
        gives them. What is not among `inputs` is not looked at.
        """
        feats = self.network(pictures, camids) if self.uses_camids else self.network(pictures)
        return feats.flatten() if isinstance(feats, Features) else feats

    def use_infrared(self, camids: Collection[int]) -> None:
        """Say which cameras of the data set are infrared; most networks do not care."""

    def use_own_size(self) -> None:
        """Show the network every picture in its own proportions; `UserError` where it takes one size alone."""
        raise UserError("the network takes pictures of one size; leave out own_size, or use dsr")

    def use_keypoints(self, folder: str | Path) -> None:
        """Prompt the original pictures with the keypoint files in `folder`; `UserError` where the network cannot."""
        raise UserError("the network takes no keypoints; leave them out, or use kpr")

    def use_generated_keypoints(self, place: str | Path) -> None:
        """Take the keypoints of generated pictures from those of their poses; `UserError` where it cannot."""
        raise UserError("the network takes no keypoints of generated pictures; leave out generated_keypoints")

    def use_parsing(self, place: str | Path, *_: object) -> None:
        """Show the network the label maps in the folder `place`; `UserError` where it takes none."""
        raise UserError("the network takes no label maps at test; leave out parsing, or use spreid or foreground")

    def parsing_state(self, pictures: Sequence[Path]) -> str:
        """What tells label maps of the pictures from others; "" where there are none."""
        return ""


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
    """Rows `camids` (B,) of an embedding table of cameras (C, ...), zeros for `NO_CAMERA`.

    A camera that the table does not have raises `UserError`.
    """
    if camids.min() < NO_CAMERA or camids.max() >= len(table):
        seen = sorted(camids.unique().tolist())
        raise UserError(
            f"cameras {name_list(map(str, seen))} (counted from 0), but the weights know {len(table)} cameras: "
            "use weights for this data set, or of a network without a camera embedding"
        )
    rows = table[camids.clamp(min=0)]
    return rows * (camids >= 0).to(rows.dtype).view(-1, *[1] * (rows.ndim - 1))
