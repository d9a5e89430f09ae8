"""The networks of the generator on one device, and what each makes of its input."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import accumulate
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from NFC.networks import Extractor
from pose2id.errors import UserError
from pose2id.pictures import picture_tensor
from pose2id.presets import Preset, default_directory, load_preset
from pose2id.processes.memory import keep_freed_memory

from .execution import execution_for
from .models import (
    IFR,
    VAE,
    DenoisingUNet,
    PoseGuider,
    ReferenceFeatures,
    ReferenceUNet,
    decode_latents,
    decoded_pixels,
    encode_pictures,
    named_parts,
    picture_of,
    project_reference,
    vae_input,
)
from .models.channels_last import set_channels_last_blocks
from .models.fused_attention import set_fused_processors
from .models.reference_attention import KERNELS, ReferenceReader, ReferenceWriter, set_reference_processors
from .models.replayed import ReplayedUNet
from .private import allow_recompiling, move
from .sampling import DEFAULTS, Sampling
from .weights.checkpoints import identity_network, load_networks, load_vae
from .weights.files import WeightFiles, find_networks

Picture = Image.Image | np.ndarray
People = Sequence[Picture | Sequence[Picture]]  # of each one picture, or several
MOST_PICTURES = 8  # of one person
# One for each of the 16 blocks, which find their reference by name, and one for each width without reference; twice
# when the batch size changes.
COMPILED_VARIANTS = 64


class GeneratorNetworks:
    """Finished networks, moved to one device and dtype; `from_pretrained` reads them from files.

    Without a picture autoencoder (`vae=None`) the calls on latents work, those on pictures do not.
    """

    def __init__(
        self,
        preset: Preset,
        extractor: Extractor,
        ifr: IFR,
        pose_guider: PoseGuider,
        reference_unet: ReferenceUNet,
        denoising_unet: DenoisingUNet,
        vae: VAE | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        sampling: Sampling = DEFAULTS,
    ) -> None:
        """sampling: what suits the networks, and is taken where a call says nothing else."""
        self.preset, self.dtype, self.sampling = preset, dtype, sampling.for_preset(preset)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if extractor.feature_dim != ifr.proj_motion.in_features:
            raise UserError(
                f"the ReID network gives {extractor.feature_dim} numbers, but the IFR takes "
                f"{ifr.proj_motion.in_features}: use the transformer_20 that belongs to this IFR"
            )
        networks = (extractor, ifr, pose_guider, reference_unet, denoising_unet)
        self.execution = replace(execution_for(self.device, dtype), fused=False, replayed=False)
        memory_format = torch.channels_last if self.execution.channels_last else torch.preserve_format
        for network in networks if vae is None else (*networks, vae):
            move(network, self.device, dtype, memory_format)
            network.eval()
        self.extractor, self.ifr, self.pose_guider = extractor, ifr, pose_guider
        self.reference_unet, self.denoising_unet, self.vae = reference_unet, denoising_unet, vae
        self.replayed_unet = ReplayedUNet(denoising_unet)

    @classmethod
    def from_pretrained(
        cls,
        directory: str | Path | None = None,
        preset: str = "sd15",
        vae: str | Path | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """Read `denoising_unet`, `reference_unet`, `pose_guider`, `IFR`, `transformer_20` (.safetensors or .pth).

        directory: None takes the preset's own place, `pretrained/` (sd15) or `pretrained/mini`. vae: a diffusers
        folder or a file; None takes one found in the directory, if any. Missing or unfitting files raise `UserError`.
        """
        return cls.from_files(find_networks(directory or default_directory(preset), vae), preset, device, dtype)

    @classmethod
    def from_files(
        cls,
        files: WeightFiles,
        preset: str,
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """Read files that were found before; `UserError` for one that does not fit the preset."""
        sizes = load_preset(preset)
        return cls(
            sizes,
            identity_network(files.networks["transformer_20"], preset, "cpu"),
            **named_parts(load_networks(files.networks, sizes)),
            vae=load_vae(files.vae, sizes) if files.vae else None,
            device=device,
            dtype=dtype,
            sampling=Sampling(**asdict(files.made_for)) if files.made_for else DEFAULTS,
        )

    def optimise(self, kernel: str = "sdpa", compiled: bool = False, fused: bool | None = None) -> Self:
        """Choose how, not what, is computed; returns itself. On a CPU also `keep_freed_memory`.

        kernel: "sdpa" or "xformers". compiled: `torch.compile` of the repeated transformer blocks of the denoising
        UNet; the first call then takes minutes, and none is replayed. fused: see `Execution`; None is what is fastest
        on the device. Weights must not change afterwards. `UserError` for an unknown kernel.
        """
        if kernel not in KERNELS:
            raise UserError(f"attention kernel '{kernel}' is unknown; choose one of: {', '.join(KERNELS)}")
        fastest = execution_for(self.device, self.dtype)
        fused = fastest.fused if fused is None else fused
        self.execution = replace(fastest, fused=fused, replayed=fastest.replayed and not compiled)
        self.replayed_unet.recordings.clear()
        for network in filter(None, (self.reference_unet, self.denoising_unet, self.vae)):
            set_channels_last_blocks(network, fused)
        set_reference_processors(self.reference_unet, ReferenceWriter, KERNELS[kernel])
        if fused:
            set_fused_processors(self.denoising_unet, KERNELS[kernel])
        else:
            set_reference_processors(self.denoising_unet, ReferenceReader, KERNELS[kernel])
        if self.device.type == "cpu":
            keep_freed_memory()
        if compiled:
            allow_recompiling(COMPILED_VARIANTS)
            self.denoising_unet.compile_repeated_blocks(fullgraph=True)
        return self

    def preprocess_poses(self, pose_images: Sequence[Picture]) -> Tensor:
        """PIL pictures or (H, W, 3) uint8 arrays, canonical colours as RGB -> (P, 3, height, width) in [0, 1]."""
        sizes = self.preset.generation
        return torch.stack([picture_tensor(as_pil(pose), sizes.height, sizes.width) for pose in pose_images])

    @torch.inference_mode()
    def encode_identity(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [-1, 1] at the ReID network's size -> identity tokens (B, T, token_dim), Eq. 5."""
        return self.ifr(self.extractor(self._cast(images)))

    def encode_uncond(self) -> Tensor:
        """Tokens (1, T, token_dim) of the unconditional branch: those of an all-zero picture."""
        return self.encode_identity(torch.zeros(1, 3, self.extractor.height, self.extractor.width))

    @torch.inference_mode()
    def encode_pose(self, poses: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1] -> pose features (B, C, H / 8, W / 8)."""
        return self.pose_guider(self._cast(poses))

    @torch.inference_mode()
    def encode_pictures(self, pictures: Sequence[Picture]) -> Tensor:
        """B reference pictures -> their scaled latents (B, C, h, w), the posterior's mean."""
        vae, sizes = self._require_vae(), self.preset.generation
        return encode_pictures(vae, self._cast(torch.stack([vae_input(as_pil(p), sizes) for p in pictures])))

    @torch.inference_mode()
    def encode_reference(self, reference_latents: Tensor, tokens: Tensor) -> ReferenceFeatures:
        """Latents (B, C, h, w) and identity tokens (B, T, token_dim) -> keys and values for the denoising UNet."""
        kept = self.reference_unet(self._cast(reference_latents), self._cast(tokens))
        return project_reference(self.denoising_unet, kept)

    @torch.inference_mode()
    def encode_people(
        self, people: Sequence[Sequence[Image.Image]], at_once: int = 1
    ) -> list[tuple[Tensor, ReferenceFeatures]]:
        """Of each person, who has n pictures: identity tokens (1, T, token_dim), and keys and values of batch n.

        The identity is the mean direction of the pictures' features, with their mean length (ours: the paper has one
        picture). at_once: pictures that go through the networks together; with 1 their bits depend on no other picture.
        """
        counts = [len(pictures) for pictures in people]
        if wrong := [count for count in counts if not 1 <= count <= MOST_PICTURES]:
            raise UserError(f"{wrong[0]} pictures of one person; give 1 to {MOST_PICTURES}")
        every = [picture for pictures in people for picture in pictures]
        own = [slice(end - count, end) for count, end in zip(counts, accumulate(counts), strict=True)]
        parts = [slice(start, start + at_once) for start in range(0, len(every), at_once)]
        features = [row for part in parts for row in self._identity_features(every[part]).split(1)]
        tokens = [self.ifr(mean_identity(torch.cat(features[rows]))) for rows in own]
        repeated = [one for one, count in zip(tokens, counts, strict=True) for _ in range(count)]
        encoded: list[ReferenceFeatures] = []
        for part in parts:
            kept = self.encode_reference(self.encode_pictures(every[part]), torch.cat(repeated[part]))
            encoded += [
                {name: (keys[i : i + 1], values[i : i + 1]) for name, (keys, values) in kept.items()}
                for i in range(len(every[part]))
            ]
        return [(one, _together(encoded[rows])) for one, rows in zip(tokens, own, strict=True)]

    def _identity_features(self, pictures: Sequence[Image.Image]) -> Tensor:
        """(n, F) of the ReID network."""
        return self.extractor(self._cast(torch.stack([self.extractor.preprocess(picture) for picture in pictures])))

    @torch.inference_mode()
    def predict(
        self,
        latents: Tensor,
        t: Tensor | int,
        tokens: Tensor,
        pose_features: Tensor,
        reference_features: ReferenceFeatures | None,
    ) -> Tensor:
        """One call of the denoising UNet: v-prediction (B, C, h, w); without reference features, the unconditional one.

        latents (B, C, h, w), timestep t, tokens (B or 1, T, token_dim), pose features (B or 1, C', h, w); reference
        features of batch B or 1.
        """
        inputs = self._cast(latents), t, self._cast(tokens), self._cast(pose_features)
        return self.denoising_unet(*inputs, reference_features)

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> list[Image.Image]:
        """Latents (B, C, h, w) -> B pictures of the preset's output size."""
        decoded = decode_latents(self._require_vae(), self._cast(latents))
        return [picture_of(pixels, self.preset.generation) for pixels in decoded_pixels(decoded)]

    def _cast(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, self.dtype)

    def _require_vae(self) -> VAE:
        if self.vae is None:
            raise UserError("no picture autoencoder: pass vae=<a diffusers folder or file>")
        return self.vae


def mean_identity(features: Tensor) -> Tensor:
    """(n, F) features of one person -> (1, F): their mean direction, with their mean length; one as it is."""
    if len(features) == 1:
        return features
    lengths = features.norm(dim=1, keepdim=True)
    return normalize((features / lengths).mean(0, keepdim=True)) * lengths.mean()


def _together(pictures: Sequence[ReferenceFeatures]) -> ReferenceFeatures:
    """Keys and values of n pictures, of batch 1 each, as those of batch n."""
    if len(pictures) == 1:
        return pictures[0]
    return {name: tuple(torch.cat([one[name][side] for one in pictures]) for side in (0, 1)) for name in pictures[0]}


def pictures_of(reference: Picture | Sequence[Picture]) -> list[Image.Image]:
    """The pictures of a person, of which there may be one."""
    several = [reference] if isinstance(reference, Image.Image | np.ndarray) else reference
    return [as_pil(picture) for picture in several]


def as_pil(picture: Picture) -> Image.Image:
    return Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
