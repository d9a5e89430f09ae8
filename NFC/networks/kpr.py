"""KPR (Somers et al., ECCV 2024): Swin-B, body parts, and keypoint prompts that say whose parts are meant.

Names of the modules are those of the official checkpoints, but for what `from_official` changes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from pose2id.errors import UserError
from pose2id.pictures import OPENCV_BILINEAR

from .base import HALF, IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from .blocks.kpr_names import BACKBONE, from_official, is_solider, to_official
from .blocks.part_network import PartExtractor, PartNetwork, count_parts
from .blocks.prompted_swin import FUSED, PromptedSwin, StageFusion
from .blocks.prompts import CHANNELS, NAMES, keypoint_file, prompt_heatmaps, read_people, swap_sides
from .blocks.swin import SoliderSwin, SwinV2
from .files import build_from_file, build_from_tensors
from .looks import Look, MapLook
from .reading import PictureReader, Sample
from .reid_network import Inputs


@dataclass(frozen=True)
class KPRSizes:
    """backbone: "swin_v2" (pretrained_windows is its own) or "solider" (`semantic`: with SOLIDER's semantic control).

    dim: of an embedding; swin_dim: of the Swin's first stage; depths, heads: of its stages.
    """

    backbone: str = "swin_v2"
    height: int = 256
    width: int = 128
    parts: int = 5
    dim: int = 512
    swin_dim: int = 128
    depths: list[int] = field(default_factory=lambda: [2, 2, 18, 2])
    heads: list[int] = field(default_factory=lambda: [4, 8, 16, 32])
    window: int = 16
    pretrained_windows: list[int] = field(default_factory=lambda: [12, 12, 12, 6])
    semantic: bool = True
    num_cameras: int = 0
    num_classes: int = 751

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise UserError(f"unknown backbone '{self.backbone}' of kpr; choose one of: {', '.join(BACKBONES)}")


def _swin_v2(s: KPRSizes) -> SwinV2:
    return SwinV2(s.height, s.width, s.swin_dim, s.depths, s.heads, s.window, s.pretrained_windows)


def _solider(s: KPRSizes) -> SoliderSwin:
    return SoliderSwin(s.height, s.width, s.swin_dim, s.depths, s.heads, s.window, s.semantic)


BACKBONES: dict[str, Callable[[KPRSizes], SwinV2 | SoliderSwin]] = {"swin_v2": _swin_v2, "solider": _solider}


class KPR(PartNetwork):
    """Foreground and `parts` parts, each of `dim` numbers, with their visibility."""

    name = "kpr"
    Sizes = KPRSizes
    optional = (*PartNetwork.optional, "pretrained_windows")
    learns_cameras = True

    def __init__(self, sizes: KPRSizes) -> None:
        super().__init__(sizes, FUSED)
        swin = BACKBONES[sizes.backbone](sizes)
        self.backbone_appearance_feature_extractor = PromptedSwin(swin, sizes.num_cameras)
        self.msf = StageFusion(swin.channels)

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> KPRSizes:
        """ImageNet (Swin v2) or SOLIDER, with or without cameras and semantic control, any number of parts."""
        parts = count_parts(tensors, path, "KPR")
        cameras = len(tensors.get(f"{BACKBONE}.sie_embed", ()))
        if not is_solider(tensors):
            return KPRSizes(parts=parts, num_cameras=cameras, num_classes=0)
        semantic = any(".semantic_embed_w." in name for name in tensors)
        return KPRSizes("solider", 384, 128, parts, window=7, semantic=semantic, num_cameras=cameras, num_classes=0)

    from_official, to_official = staticmethod(from_official), staticmethod(to_official)

    def preprocessing(self) -> Preprocessing:
        norm = (IMAGENET_MEAN, IMAGENET_STD) if self.sizes.backbone == "swin_v2" else (HALF, HALF)
        return Preprocessing(self.sizes.height, self.sizes.width, OPENCV_BILINEAR, *norm)

    def extractor(self, preprocessing: Preprocessing | None = None) -> "KPRExtractor":
        return KPRExtractor(self, preprocessing or self.preprocessing(), uses_camids=self.sizes.num_cameras > 0)

    def unused_at_test(self) -> tuple[str, ...]:
        return *super().unused_at_test(), *self._never_used()

    def unused_in_training(self) -> tuple[str, ...]:
        return *super().unused_in_training(), *self._never_used()

    def of_one_data_set(self) -> tuple[str, ...]:
        return *super().of_one_data_set(), *self._never_used(), f"{BACKBONE}.sie_embed"

    def _never_used(self) -> tuple[str, ...]:
        """Prefixes of what is in the official files and reaches no output."""
        names = ("parts_embed", "norm.", "model.norm.", "model.semantic_embed_w.3.", "model.semantic_embed_b.3.")
        return tuple(f"{BACKBONE}.{name}" for name in names)

    def from_imagenet(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """timm's Swin v2 of the same size and windows; what is not of the Swin starts at random."""
        own = {name: t for name, t in self.state_dict().items() if not name.startswith(f"{BACKBONE}.model.")}
        return own | {f"{BACKBONE}.model.{name}": t for name, t in tensors.items() if not name.startswith("head.")}

    def feature_map(self, pictures: Tensor, camids: Tensor | None, keypoints: Tensor | None) -> Tensor:
        """camids: (B,) from 0, only heeded with a camera embedding, which is left out without them.

        keypoints: prompts (B, 8, h, w) in [0, 1], see `NFC.networks.blocks.prompts`; None is the empty prompt.
        """
        return self.msf(self.backbone_appearance_feature_extractor(pictures, camids, keypoints))

    def explain(self, inputs: Inputs) -> list[Look]:
        """As any network of parts, and the prompt where there is one."""
        looks = super().explain(inputs)
        return looks if inputs.keypoints is None else [*looks, MapLook("Prompt", inputs.keypoints[0], NAMES, full=1.0)]


@dataclass(frozen=True)
class PromptReader(PictureReader):
    """With a folder of keypoint files, original pictures come with their prompts."""

    folder: Path | None = None

    def __call__(self, picture: Image.Image, path: str | Path | None = None) -> Sample:
        pictures = self.preprocessing(picture)
        if self.folder is None or path is None:
            return {"pictures": pictures}
        file = keypoint_file(self.folder, Path(path))
        source = picture.height, picture.width
        people = read_people(file, source) if file else []
        return {"pictures": pictures, "keypoints": prompt_heatmaps(people, source, pictures.shape[1:])}


class KPRExtractor(PartExtractor):
    """KPR; with `use_keypoints`, original pictures come with a prompt."""

    def __init__(self, network: KPR, preprocessing: Preprocessing, uses_camids: bool = False) -> None:
        super().__init__(network, preprocessing, uses_camids)
        self.inputs = (*self.inputs, "keypoints")

    def use_keypoints(self, folder: str | Path) -> None:
        """Prompt the original pictures with the keypoint files in `folder`; generated ones get the empty prompt."""
        if not Path(folder).is_dir():
            raise UserError(f"keypoint folder {folder} does not exist: check the path")
        self.keypoints = Path(folder)

    def reader(self) -> "PromptReader":
        return PromptReader(self.preprocessing, self.keypoints)

    def sample(self, picture: Image.Image, path: str | Path | None = None) -> Sample:
        """The picture and, with keypoints, its prompt (8, H, W), empty for one without a path or a generated one."""
        return self.reader()(picture, path)

    def preprocess(self, picture: Image.Image, path: str | Path | None = None) -> Tensor:
        """(3, H, W), or (11, H, W) with keypoints: those of the file that belongs to the picture at `path`."""
        return torch.cat(list(self.sample(picture, path).values()))

    def mirror(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The mirror images: left limbs of the prompts become right ones."""
        mirrored = super().mirror(batch)
        if "keypoints" in batch:
            mirrored["keypoints"] = swap_sides(batch["keypoints"].flip(-1))
        return mirrored

    def forward(self, pictures: Tensor, camids: Tensor | None = None, keypoints: Tensor | None = None) -> Tensor:
        """As `PartExtractor.forward`; pictures may also be (B, 11, H, W), as `preprocess` gives them with prompts."""
        if pictures.shape[1] == 3 + CHANNELS:
            pictures, keypoints = pictures.split([3, CHANNELS], dim=1)
        return super().forward(pictures, camids, keypoints)


NETWORK = KPR


def build(weights: str | Path | None, preset: str) -> KPRExtractor:
    """KPR of the variant in the file."""
    return build_from_file(KPR, weights, preset)


def from_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> KPRExtractor:
    """KPR with `tensors`, named as in the official file, which came from `path`."""
    return build_from_tensors(KPR, tensors, path)
