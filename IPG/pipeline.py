"""From reference pictures and poses to pictures, every step in order."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor

from pose2id.errors import UserError

from .models import (
    Reference,
    ReferenceFeatures,
    build_scheduler,
    decode_latents,
    decoded_pixels,
    picture_of,
    stack_references,
)
from .models.fused_attention import place_reference, project_tokens
from .networks import GeneratorNetworks, People, Picture, pictures_of
from .sampling import Sampling, denoise, finite, not_finite, picture_noise


class IPGPipeline(GeneratorNetworks):
    """Draws the person of a reference picture in given poses (Pose2ID, arXiv 2503.00938)."""

    def __call__(
        self,
        reference_images: People,
        pose_images: Sequence[Picture],
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | None = None,
    ) -> list[list[Image.Image]]:
        """`generate` with the settings most often changed: `images[reference][pose]`.

        None takes what suits the weights: 20 steps with the preset's guidance, or what a student was made for.
        """
        changed = {"steps": num_inference_steps, "guidance_scale": guidance_scale, "seed": seed}
        changed = {name: value for name, value in changed.items() if value is not None}
        return self.generate(reference_images, pose_images, replace(self.sampling, **changed))

    def generate(
        self,
        references: People,
        poses: Sequence[Picture],
        sampling: Sampling | None = None,
        noise: Tensor | None = None,
        batch_size: int = 8,
    ) -> list[list[Image.Image]]:
        """Every reference in every pose: `pictures[reference][pose]`, RGB of the preset's output size.

        A reference is a picture of a person, or a list of 1 to 8 that show the same one, all of which are seen.
        Pictures are PIL or (H, W, 3) uint8 RGB arrays; poses show OpenPose skeletons in their canonical colours. For
        the rest see `generate_from_features`.
        """
        pose_features = self.encode_pose(self.preprocess_poses(poses))
        return self.generate_from_features(references, pose_features, sampling, noise, batch_size)

    def generate_from_features(
        self,
        references: People,
        pose_features: Tensor,
        sampling: Sampling | None = None,
        noise: Tensor | None = None,
        batch_size: int = 8,
    ) -> list[list[Image.Image]]:
        """R references in P poses, given as `encode_pose` returns them: (P, C, h, w) -> `pictures[reference][pose]`.

        sampling: None is what suits the weights, `self.sampling`.
        noise: (R, P, C, h, w) to start from; None is that of `sampling.seed` and the names "0", "1", ..., see
        `named_noise`. batch_size: pictures computed at a time. The last batch is filled up, so that a picture does not
        depend, to the last bit, on how many others are asked for. `UserError` where numbers stop being finite.
        """
        drawn = self.draw(references, pose_features, sampling, noise, batch_size)
        for r, row in enumerate(drawn):
            if any(pixels is None for pixels in row):
                raise UserError(f"reference {r}: {not_finite(self.dtype)}")
        return [[picture_of(pixels, self.preset.generation) for pixels in row] for row in drawn]

    @torch.inference_mode()
    def draw(
        self,
        references: People,
        pose_features: Tensor,
        sampling: Sampling | None,
        noise: Tensor | None,
        batch_size: int,
    ) -> list[list[Tensor | None]]:
        """As `generate_from_features`, but the pixels for `picture_of`; None where numbers stopped being finite."""
        sampling, pose_features = (sampling or self.sampling).for_preset(self.preset), self._cast(pose_features)
        numbers = [[str(i) for i in range(len(items))] for items in (references, pose_features)]
        noise = self.named_noise(sampling.seed, *numbers) if noise is None else noise
        if noise.shape[:2] != (len(references), len(pose_features)):
            raise UserError(
                f"noise of shape {tuple(noise.shape)} for {len(references)} references and {len(pose_features)} poses: "
                "give one (C, h, w) for each reference and pose"
            )
        # 1. References, each encoded once: identity tokens from the ReID network, appearance from the reference UNet.
        at_once = batch_size if self.execution.together else 1
        encoded = self.encode_people([pictures_of(reference) for reference in references], at_once)
        uncond_tokens = self.encode_uncond() if sampling.guided else None
        pairs = [(r, p) for r in range(len(references)) for p in range(len(pose_features))]
        pictures: list[list[Tensor | None]] = [[] for _ in references]
        for start in range(0, len(pairs), batch_size):
            batch = pairs[start : start + batch_size]
            filled = batch + batch[-1:] * (batch_size - len(batch))  # rows of padding keep the shape
            tokens, features = zip(*(encoded[r] for r, _ in filled), strict=True)
            # 2. Denoise.
            latents = self._denoise(
                torch.stack([noise[r, p] for r, p in filled]),
                pose_features[[p for _, p in filled]],
                torch.cat(tokens),
                uncond_tokens,
                stack_references(features),
                sampling,
            )
            # 3. Decode.
            decoded = decode_latents(self._require_vae(), self._cast(latents))
            drawn = decoded_pixels(decoded.nan_to_num())
            for (r, _), pixels, whole in zip(batch, drawn, finite(latents, decoded), strict=False):
                pictures[r].append(pixels if whole else None)
        return pictures

    @torch.inference_mode()
    def denoise(
        self,
        latents: Tensor,
        pose_features: Tensor,
        tokens: Tensor,
        uncond_tokens: Tensor,
        reference_features: Reference | ReferenceFeatures,
        num_inference_steps: int = 20,
        guidance_scale: float = 3.5,
        scheduler: str = "ddim",
        guidance_interval: tuple[float, float] = (0, 1000),
        feature_interval: int = 1,
    ) -> Tensor:
        """Noise (B, C, h, w) -> latents (B, C, h, w) float32, see `sampling.denoise` and `Sampling`.

        Tokens and reference features may have batch 1.
        """
        reference = Reference(reference_features) if isinstance(reference_features, dict) else reference_features
        inputs = self._cast(pose_features), self._cast(tokens), self._cast(uncond_tokens)
        sampling = Sampling(num_inference_steps, guidance_scale, scheduler, guidance_interval, feature_interval)
        return self._denoise(latents, *inputs, reference, sampling)

    def _denoise(
        self,
        latents: Tensor,
        pose_features: Tensor,
        tokens: Tensor,
        uncond_tokens: Tensor | None,
        reference: Reference,
        sampling: Sampling,
    ) -> Tensor:
        """See `sampling.denoise`; a fused network is first given what is the same in all steps."""
        unet = self.denoising_unet
        conditions: tuple = tokens, uncond_tokens, reference
        if self.execution.fused:
            projected = (None if one is None else project_tokens(unet, one) for one in (tokens, uncond_tokens))
            conditions = *projected, place_reference(reference, len(latents))
        solver = build_scheduler(self.preset, sampling.scheduler)
        small = sampling.feature_interval == 1 and self.replayed_unet.pays(latents.shape)
        predict = self.replayed_unet if small and self.execution.replayed else unet
        return denoise(predict, solver, latents, pose_features, *conditions, sampling)

    def noise(self, seed: int, reference_name: str, pose_name: str) -> Tensor:
        """Starting latents (C, h, w) float32 of one picture, the same on every device and in every batch."""
        return picture_noise(seed, reference_name, pose_name, self.preset.latent_shape)

    def named_noise(self, seed: int, reference_names: Sequence[str], pose_names: Sequence[str]) -> Tensor:
        """`noise` of every reference in every pose: (R, P, C, h, w), what `generate` starts from."""
        noise = torch.empty(len(reference_names), len(pose_names), *self.preset.latent_shape)
        for r, reference in enumerate(reference_names):
            for p, pose in enumerate(pose_names):
                noise[r, p] = self.noise(seed, reference, pose)
        return noise
