"""From reference pictures and poses to pictures, every step in order."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from NFC.networks import Extractor, build_extractor
from pose2id.errors import UserError
from pose2id.memory import keep_freed_memory
from pose2id.pictures import picture_tensor
from pose2id.presets import Preset, default_directory, load_preset
from pose2id.weights import find_weights, load_module

from .checkpoints import find_vae, load_vae
from .models import (
    BUILDERS,
    IFR,
    VAE,
    DenoisingUNet,
    PoseGuider,
    ReferenceFeatures,
    ReferenceUNet,
    build_scheduler,
    decode_latents,
    encode_pictures,
    project_reference,
    stack_references,
)
from .models.feature_cache import FeatureCache
from .models.reference_attention import KERNELS, ReferenceReader, ReferenceWriter, set_reference_processors

Picture = Image.Image | np.ndarray
# One for each of the 16 blocks, which find their reference by name, and one for each width without reference; twice
# when the batch size changes.
COMPILED_VARIANTS = 64


class IPGPipeline:
    """Draws the person of a reference picture in given poses.

    Built of finished networks, which it moves to one device and dtype; `from_pretrained` reads them from files.
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
    ) -> None:
        self.preset, self.dtype = preset, dtype
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if extractor.feature_dim != ifr.proj_motion.in_features:
            raise UserError(
                f"the ReID network gives {extractor.feature_dim} numbers, but the IFR takes "
                f"{ifr.proj_motion.in_features}: use the transformer_20 that belongs to this IFR"
            )
        networks = (extractor, ifr, pose_guider, reference_unet, denoising_unet)
        # Convolutions in half precision are faster channels-last, those in float32 are slower.
        memory_format = torch.preserve_format if dtype == torch.float32 else torch.channels_last
        for network in networks if vae is None else (*networks, vae):
            # diffusers' own `to` warns of an empty list
            nn.Module.to(network, self.device, dtype, memory_format=memory_format)
            network.eval()
        self.extractor, self.ifr, self.pose_guider = extractor, ifr, pose_guider
        self.reference_unet, self.denoising_unet, self.vae = reference_unet, denoising_unet, vae

    @classmethod
    def from_pretrained(
        cls,
        directory: str | Path | None = None,
        preset: str = "sd15",
        vae: str | Path | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> "IPGPipeline":
        """Read `denoising_unet`, `reference_unet`, `pose_guider`, `IFR`, `transformer_20` (.safetensors or .pth).

        directory: None takes the preset's own place, `pretrained/` (sd15) or `pretrained/mini`. vae: a diffusers
        folder or a file; None takes one found in the directory, if any. Missing or unfitting files raise `UserError`.
        """
        directory = Path(directory or default_directory(preset))
        if not directory.is_dir():
            raise UserError(f"weights directory {directory} does not exist: name the one that holds the checkpoints")
        sizes = load_preset(preset)
        vae = vae or find_vae(directory)
        files = {stem: find_weights(directory, stem) for stem in (*BUILDERS, "transformer_20")}
        networks = {
            stem.lower(): load_module(lambda build=build: build(sizes), files[stem]) for stem, build in BUILDERS.items()
        }
        return cls(
            sizes,
            build_extractor("transreid", files["transformer_20"], preset, device="cpu"),
            **networks,
            vae=load_vae(vae, sizes) if vae else None,
            device=device,
            dtype=dtype,
        )

    def optimise(self, kernel: str = "sdpa", compile: bool = False) -> "IPGPipeline":
        """Choose how, not what, is computed; returns itself.

        kernel: "sdpa" or "xformers". compile: `torch.compile` of the repeated transformer blocks of the denoising UNet;
        the first call then takes minutes. On a CPU also `keep_freed_memory`. Raises `UserError` for an unknown kernel.
        """
        if kernel not in KERNELS:
            raise UserError(f"attention kernel '{kernel}' is unknown; choose one of: {', '.join(KERNELS)}")
        set_reference_processors(self.reference_unet, ReferenceWriter, KERNELS[kernel])
        set_reference_processors(self.denoising_unet, ReferenceReader, KERNELS[kernel])
        if self.device.type == "cpu":
            keep_freed_memory()
        if compile:
            limits = torch._dynamo.config
            limits.recompile_limit = max(limits.recompile_limit, COMPILED_VARIANTS)
            self.denoising_unet.compile_repeated_blocks(fullgraph=True)
        return self

    @torch.inference_mode()
    def __call__(
        self,
        reference_images: Sequence[Picture],
        pose_images: Sequence[Picture] | None,
        num_inference_steps: int = 20,
        guidance_scale: float | None = None,
        seed: int = 12580,
        reference_names: Sequence[str] | None = None,
        pose_names: Sequence[str] | None = None,
        batch_size: int = 8,
        pose_features: Tensor | None = None,
        scheduler: str = "ddim",
        guidance_interval: tuple[float, float] = (0, 1000),
        feature_interval: int = 1,
        noise: Tensor | None = None,
    ) -> list[list[Image.Image]]:
        """Every reference in every pose: `images[reference][pose]`, RGB pictures of the preset's output size.

        Pictures are PIL or (H, W, 3) uint8 RGB arrays; poses show OpenPose skeletons in their canonical colours.
        The noise of a picture depends on (seed, reference name, pose name) only; names default to "0", "1", ...
        batch_size: pictures computed at a time. The last batch is filled up, so that a picture does not depend, to the
        last bit, on how many others are asked for.
        pose_features (P, C, h, w), as `encode_pose` returns them, stand in for pose_images. guidance_scale: None takes
        the preset's (sd15: 3.5); <= 1 means no guidance, the conditional prediction alone.
        scheduler, guidance_interval, feature_interval: see `denoise`. noise (R, P, C, h, w) stands in for that of seed
        and names.
        """
        # 1. Poses and references, each encoded once: identity tokens from the ReID network, appearance from the
        #    reference UNet.
        guidance_scale = self.preset.generation.guidance_scale if guidance_scale is None else guidance_scale
        if pose_features is None:
            pose_features = self.encode_pose(self.preprocess_poses(pose_images))
        references = [_as_pil(reference) for reference in reference_images]
        reference_names = _names(reference_names, len(references), "reference")
        pose_names = _names(pose_names, len(pose_features), "pose")
        encoded = [self._encode_one(reference) for reference in references]
        uncond_tokens = self.encode_uncond()

        pairs = [(r, p) for r in range(len(references)) for p in range(len(pose_features))]
        images: list[list[Image.Image]] = [[] for _ in references]
        for start in range(0, len(pairs), batch_size):
            batch = pairs[start : start + batch_size]
            filled = batch + batch[-1:] * (batch_size - len(batch))  # rows of padding keep the shape
            tokens, features = zip(*(encoded[r] for r, _ in filled), strict=True)
            # 2. Noise, one generator a picture.
            latents = torch.stack(
                [
                    self.noise(seed, reference_names[r], pose_names[p]) if noise is None else noise[r, p]
                    for r, p in filled
                ]
            )
            # 3. Denoise.
            latents = self.denoise(
                latents,
                pose_features[[p for _, p in filled]],
                torch.cat(tokens),
                uncond_tokens,
                stack_references(features),
                num_inference_steps,
                guidance_scale,
                scheduler,
                guidance_interval,
                feature_interval,
            )
            # 4. Decode.
            for (r, _), image in zip(batch, self.decode(latents), strict=False):
                images[r].append(image)
        return images

    def _encode_one(self, reference: Image.Image) -> tuple[Tensor, ReferenceFeatures]:
        """Tokens and reference features of one picture, alone, so that no other picture has a say in their bits."""
        tokens = self.encode_identity(self.extractor.preprocess(reference)[None])
        return tokens, self.encode_reference(self.encode_pictures([reference]), tokens)

    def preprocess_poses(self, pose_images: Sequence[Picture]) -> Tensor:
        """PIL pictures or (H, W, 3) uint8 arrays, canonical colours as RGB -> (P, 3, height, width) in [0, 1]."""
        sizes = self.preset.generation
        return torch.stack([picture_tensor(_as_pil(pose), sizes.height, sizes.width) for pose in pose_images])

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
        pixels = torch.stack([picture_tensor(_as_pil(p), sizes.height, sizes.width) for p in pictures]) * 2 - 1
        return encode_pictures(vae, self._cast(pixels))

    @torch.inference_mode()
    def encode_reference(self, reference_latents: Tensor, tokens: Tensor) -> ReferenceFeatures:
        """Latents (B, C, h, w) and identity tokens (B, T, token_dim) -> keys and values for the denoising UNet."""
        kept = self.reference_unet(self._cast(reference_latents), self._cast(tokens))
        return project_reference(self.denoising_unet, kept)

    @torch.inference_mode()
    def predict(
        self,
        latents: Tensor,
        t: Tensor | int,
        tokens: Tensor,
        pose_features: Tensor,
        reference_features: ReferenceFeatures | None,
        cache: FeatureCache | None = None,
    ) -> Tensor:
        """One call of the denoising UNet: v-prediction (B, C, h, w); without reference features, the unconditional one.

        latents (B, C, h, w), timestep t, tokens (B or 1, T, token_dim), pose features (B or 1, C', h, w); reference
        features of batch B or 1. cache: calls the UNet in its stead.
        """
        inputs = self._cast(latents), t, self._cast(tokens), self._cast(pose_features)
        return (cache or self.denoising_unet)(*inputs, reference_features)

    @torch.inference_mode()
    def denoise(
        self,
        latents: Tensor,
        pose_features: Tensor,
        tokens: Tensor,
        uncond_tokens: Tensor,
        reference_features: ReferenceFeatures,
        num_inference_steps: int = 20,
        guidance_scale: float = 3.5,
        scheduler: str = "ddim",
        guidance_interval: tuple[float, float] = (0, 1000),
        feature_interval: int = 1,
    ) -> Tensor:
        """Noise (B, C, h, w) -> latents (B, C, h, w) float32, with classifier-free guidance (Eq. 4).

        The unconditional half sees the pose, but neither identity nor reference. Tokens and reference features may
        have batch 1. scheduler: one of `models.SCHEDULERS`. guidance_interval: timesteps (least, most) at which
        guidance is given; elsewhere the conditional prediction stands alone, at half the cost. feature_interval: in how
        many steps the UNet's deep features are computed once.
        """
        solver = build_scheduler(self.preset, scheduler)
        solver.set_timesteps(num_inference_steps, device=self.device)
        latents = latents.to(self.device, torch.float32) * solver.init_noise_sigma
        least, most = guidance_interval
        caches = [
            FeatureCache(self.denoising_unet, feature_interval) if feature_interval > 1 else None for _ in range(2)
        ]
        for t in solver.timesteps:
            scaled = solver.scale_model_input(latents, t)
            prediction = self.predict(scaled, t, tokens, pose_features, reference_features, caches[0]).float()
            if guidance_scale > 1 and least <= t <= most:
                uncond = self.predict(scaled, t, uncond_tokens, pose_features, None, caches[1]).float()
                prediction = uncond + guidance_scale * (prediction - uncond)
            latents = solver.step(prediction, t, latents).prev_sample
        return latents

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> list[Image.Image]:
        """Latents (B, C, h, w) -> B pictures of the preset's output size."""
        vae, sizes = self._require_vae(), self.preset.generation
        decoded = decode_latents(vae, self._cast(latents)).float()
        pixels = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        size = sizes.output_width, sizes.output_height
        return [Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC) for picture in pixels]

    def noise(self, seed: int, reference_name: str, pose_name: str) -> Tensor:
        """Starting latents (C, h, w) float32 of one picture, the same on every device and in every batch."""
        digest = hashlib.sha256(f"{seed}\n{reference_name}\n{pose_name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
        return torch.randn(self.preset.latent_shape, generator=generator)

    def _cast(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, self.dtype)

    def _require_vae(self) -> VAE:
        if self.vae is None:
            raise UserError("no picture autoencoder: pass vae=<a diffusers folder or file>")
        return self.vae


def _as_pil(picture: Picture) -> Image.Image:
    return Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture


def _names(names: Sequence[str] | None, count: int, kind: str) -> Sequence[str]:
    names = [str(i) for i in range(count)] if names is None else names
    if len(names) != count:
        raise UserError(f"{len(names)} {kind} names for {count} {kind} pictures: give one name each")
    return names
