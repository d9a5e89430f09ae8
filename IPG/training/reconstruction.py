"""The objective of the small picture autoencoder, and its export with latents of unit size."""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderDC
from torch import Tensor, nn

from NFC.datasets.synthetic.groups import Groups
from pose2id.files import replacing_in

EDGE_WEIGHT = 0.5
LATENT_NOISE = 0.1
SIZE_WEIGHT = 1e-3
CROP = 64  # rows of a picture that a step sees


def to_range(pictures: Tensor) -> Tensor:
    """(..., H, W, 3) uint8 -> (..., 3, H, W) float32 in [-1, 1]."""
    return pictures.movedim(-1, -3).float() / 127.5 - 1


class Reconstruction(nn.Module):
    """Squared and absolute error of pixels, and absolute error of picture gradients.

    Noise of `LATENT_NOISE` on the latents and a penalty on their size keep the latents smooth and bounded.
    """

    def __init__(self, vae: AutoencoderDC) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, batch: dict[str, Tensor], generators: list[torch.Generator]) -> tuple[Tensor, dict[str, float]]:
        pictures = batch["pictures"]
        latents = self.vae.encode(pictures).latent
        noise = torch.stack([torch.randn(latents.shape[1:], generator=g) for g in generators]).to(latents)
        decoded = self.vae.decode(latents + LATENT_NOISE * noise).sample.float()
        squared, absolute = F.mse_loss(decoded, pictures), F.l1_loss(decoded, pictures)
        edges = sum(F.l1_loss(decoded.diff(dim=d), pictures.diff(dim=d)) for d in (2, 3))
        loss = 2 * squared + absolute + EDGE_WEIGHT * edges + SIZE_WEIGHT * latents.float().square().mean()
        return loss, {"psnr": -10 * math.log10(squared.item() / 4)}


@torch.no_grad()
def normalise_latents(vae: AutoencoderDC, pictures: Tensor) -> None:
    """Give every latent channel a mean square of one by rescaling, in place, the two convolutions next to it."""
    size = torch.cat([vae.encode(part).latent for part in pictures.split(64)]).square().mean((0, 2, 3)).sqrt()
    vae.encoder.conv_out.weight /= size[:, None, None, None]
    vae.encoder.conv_out.bias /= size
    vae.decoder.conv_in.weight *= size[None, :, None, None]


def export(vae: AutoencoderDC, groups: Groups, path: Path) -> None:
    """Write a diffusers folder `vae` with normalised latents."""
    kept = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    rows = torch.linspace(0, len(groups.pictures) - 1, 512).long().numpy()
    normalise_latents(vae, to_range(torch.from_numpy(groups.pictures[rows, 1])))
    with replacing_in(path / "vae") as hidden:
        vae.save_pretrained(hidden)
    vae.load_state_dict(kept)


class Crops:
    """Batches of random crops of the pictures of groups, a generator a picture."""

    def __init__(self, groups: Groups) -> None:
        self.groups = groups

    def __call__(self, generators: list[torch.Generator]) -> dict[str, Tensor]:
        """pictures (B, 3, CROP, W) float32 in [-1, 1]."""
        return {"pictures": torch.stack([self._crop(generator) for generator in generators])}

    def _crop(self, generator: torch.Generator) -> Tensor:
        count, members, height = self.groups.pictures.shape[:3]
        limits = (count, members, (height - CROP) // 8 + 1)
        group, member, top = (torch.randint(limit, (), generator=generator).item() for limit in limits)
        return to_range(torch.from_numpy(self.groups.pictures[group, member, 8 * top : 8 * top + CROP]))
