"""KPR (Somers et al., ECCV 2024): Swin-B, body parts, and keypoint prompts that say whose parts are meant.

Names of the modules are those of the official checkpoints, but for what `translate` changes.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image
from timm.layers import PatchEmbed
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch import Tensor, nn
from torch.nn.functional import interpolate

from pose2id.errors import UserError
from pose2id.pictures import OPENCV_BILINEAR
from pose2id.weights import load_tensors, read_tensors, strip_prefix, weights_file

from .base import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, camera_rows
from .blocks.part_network import PartExtractor, PartNetwork, count_parts, stack_scales
from .blocks.prompts import CHANNELS, keypoint_file, prompt_heatmaps, read_people, swap_sides
from .blocks.swin import SoliderSwin, SwinV2, translate_solider

BACKBONE = "backbone_appearance_feature_extractor"
SIE_SCALE = 3.0  # weight of the camera embedding
FUSED = 1024  # channels after the stages are fused


class PromptedSwin(nn.Module):
    """A Swin whose tokens get those of the prompt and, with cameras, a camera embedding before the first stage."""

    def __init__(self, model: SwinV2 | SoliderSwin, num_cameras: int) -> None:
        super().__init__()
        size, dim = model.patch_embed.img_size, model.patch_embed.proj.out_channels
        self.masks_patch_embed = PatchEmbed(
            size, 4, in_chans=CHANNELS, embed_dim=dim, norm_layer=nn.LayerNorm, output_fmt="NHWC"
        )
        self.model = model
        self.parts_embed = nn.Parameter(torch.zeros(CHANNELS, 1, dim))  # in the files, not used
        self.sie_embed = nn.Parameter(torch.randn(num_cameras, 1, dim) * 0.02) if num_cameras else None
        if isinstance(model, SwinTransformerV2):
            self.norm = nn.LayerNorm(model.channels)  # in the file, not used

    def forward(self, images: Tensor, camids: Tensor | None, prompts: Tensor | None) -> list[Tensor]:
        """(B, 3, H, W) -> the four stages' maps."""
        prompts = empty_prompts(images) if prompts is None else prompts.to(images.dtype)
        if prompts.shape[2:] != images.shape[2:]:
            prompts = interpolate(prompts, images.shape[2:], mode="bilinear", align_corners=True)
        tokens = self.model.patch_embed(images) + self.masks_patch_embed(prompts)  # (B, H/4, W/4, dim)
        if self.sie_embed is not None and camids is not None:
            tokens = tokens + SIE_SCALE * camera_rows(self.sie_embed, camids)[:, :, None]
        return self.model.stage_maps(tokens)


class StageFusion(nn.Module):
    """Four maps -> one of the finest size, (B, 1024, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dim_reduce = nn.Module()
        self.dim_reduce.layers = nn.Sequential(nn.Conv2d(channels, FUSED, 1), nn.BatchNorm2d(FUSED), nn.ReLU())

    def forward(self, maps: list[Tensor]) -> Tensor:
        return self.dim_reduce.layers(stack_scales(maps))


class KPR(PartNetwork):
    """Foreground and `parts` parts, each of 512 numbers, with their visibility."""

    def __init__(
        self, swin: SwinV2 | SoliderSwin, parts: int = 5, dim: int = 512, num_classes: int = 751, num_cameras: int = 0
    ) -> None:
        """swin: `SwinV2` (256 x 128 in the official file) or `SoliderSwin` (384 x 128)."""
        super().__init__(FUSED, parts, dim, num_classes)
        self.backbone_appearance_feature_extractor = PromptedSwin(swin, num_cameras)
        self.msf = StageFusion(swin.channels)

    @staticmethod
    def unused_at_test() -> tuple[str, ...]:
        unused = ("parts_embed", "norm.", "model.norm.", "model.semantic_embed_w.3.", "model.semantic_embed_b.3.")
        return (*PartNetwork.unused_at_test(), *(f"{BACKBONE}.{name}" for name in unused))

    def feature_map(self, images: Tensor, camids: Tensor | None, prompts: Tensor | None) -> Tensor:
        """camids: (B,) from 0, only heeded with a camera embedding, which is left out without them.

        prompts: (B, 8, h, w) in [0, 1], see `NFC.networks.blocks.prompts`; None is the empty prompt.
        """
        return self.msf(self.backbone_appearance_feature_extractor(images, camids, prompts))


def empty_prompts(images: Tensor) -> Tensor:
    """The prompt that says nothing, (B, 8, H, W): everything is background. It is what generated pictures get."""
    prompts = images.new_zeros(len(images), CHANNELS, *images.shape[2:])
    prompts[:, 0] = 1
    return prompts


def translate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official names -> ours, for either backbone.

    The files hold the patch embedding twice; the one inside the Swin counts.
    """
    outer, inner = f"{BACKBONE}.patch_embed.", f"{BACKBONE}.model.patch_embed."
    doubles = {name for name in tensors if name.startswith(outer) and name.replace(outer, inner) in tensors}
    once = {name.replace(outer, inner): tensor for name, tensor in tensors.items() if name not in doubles}
    return translate_solider(once) if is_solider(tensors) else once


def is_solider(tensors: Mapping[str, Tensor]) -> bool:
    return any(".w_msa." in name for name in tensors)


class KPRExtractor(PartExtractor):
    """KPR; with `use_keypoints`, `preprocess` adds the prompt of each original picture as 8 more channels."""

    uses_paths = True
    keypoints: Path | None = None

    def use_keypoints(self, folder: str | Path) -> None:
        """Prompt the original pictures with the keypoint files in `folder`; generated ones get the empty prompt."""
        if not Path(folder).is_dir():
            raise UserError(f"keypoint folder {folder} does not exist: check the path")
        self.keypoints = Path(folder)

    def preprocess(self, picture: Image.Image, path: str | Path | None = None) -> Tensor:
        """(3, H, W), or (11, H, W) with keypoints: those of the file that belongs to the picture at `path`.

        A picture without a path, as generated ones come, has no prompt.
        """
        pixels = super().preprocess(picture)
        if self.keypoints is None or path is None:
            return pixels
        file = keypoint_file(self.keypoints, Path(path))
        source = picture.height, picture.width
        people = read_people(file, source) if file else []
        return torch.cat([pixels, prompt_heatmaps(people, source, pixels.shape[1:])])

    def mirror(self, images: Tensor) -> Tensor:
        """The mirror images of preprocessed pictures (B, 3 or 11, H, W): left limbs become right ones."""
        colours, prompts = images.flip(-1).split([3, images.shape[1] - 3], dim=1)
        return torch.cat([colours, swap_sides(prompts)], dim=1) if prompts.shape[1] else colours

    def forward(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """(B, 3, H, W), or (B, 11, H, W) with prompts -> (B, parts * dim + parts)."""
        prompts = images[:, 3:] if images.shape[1] > 3 else None
        return self.network(images[:, :3], camids if self.uses_camids else None, prompts).flatten()


def build(weights: str | Path | None, preset: str) -> KPRExtractor:
    """KPR of the variant in the file: ImageNet (Swin v2) or SOLIDER, with or without cameras, any number of parts."""
    path = weights_file(weights, preset, "kpr")
    return from_tensors(strip_prefix(read_tensors(path)), path)


def from_tensors(tensors: Mapping[str, Tensor], path: str | Path) -> KPRExtractor:
    """KPR with `tensors`, named as in the official file, which came from `path`."""
    parts, cameras = count_parts(tensors, path, "KPR"), len(tensors.get(f"{BACKBONE}.sie_embed", ()))
    if is_solider(tensors):
        semantic = any(".semantic_embed_w." in name for name in tensors)
        swin, preprocessing = SoliderSwin(384, 128, semantic=semantic), Preprocessing(384, 128, OPENCV_BILINEAR)
    else:
        swin = SwinV2(256, 128)
        preprocessing = Preprocessing(256, 128, OPENCV_BILINEAR, IMAGENET_MEAN, IMAGENET_STD)
    try:
        translated = translate(tensors)
    except (RuntimeError, ValueError) as error:  # a matrix that cannot be cut into thirds or quarters
        raise UserError(f"{path} does not fit: a tensor of its Swin has an odd shape; use a file of KPR") from error
    network = KPR(swin, parts, num_classes=0, num_cameras=cameras)
    load_tensors(network, translated, path, network.unused_at_test())
    return KPRExtractor(network, preprocessing, uses_camids=cameras > 0)
