"""Train the small VAE of the mini preset on groups of synthetic pedestrians.

python scripts/train_vae.py --groups runs/groups [--preset mini] [key=value ...]
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

from IPG.models import build_vae
from IPG.presets import load_preset
from IPG.training.loop import Loop, LoopConfig
from NFC.config import load_config
from NFC.datasets.synthetic.groups import Groups, read_groups
from NFC.errors import run_command

KL_WEIGHT = 2e-5
EDGE_WEIGHT = 1.0


def to_range(pictures: Tensor) -> Tensor:
    """(..., H, W, 3) uint8 -> (..., 3, H, W) float32 in [-1, 1]."""
    return pictures.movedim(-1, -3).float() / 127.5 - 1


class Reconstruction(nn.Module):
    """L1 on pixels and on picture gradients, and a small KL term."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        pictures = batch["pictures"]
        posterior = self.vae.encode(pictures).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator).to(pictures.device)
        decoded = self.vae.decode(posterior.mean + posterior.std * noise).sample.float()
        pixels = F.l1_loss(decoded, pictures)
        edges = sum(F.l1_loss(decoded.diff(dim=d), pictures.diff(dim=d)) for d in (2, 3))
        kl = posterior.kl().float().mean()
        return pixels + EDGE_WEIGHT * edges + KL_WEIGHT * kl, {"l1": pixels.item(), "kl": kl.item()}


@torch.no_grad()
def normalise_latents(vae: AutoencoderKL, pictures: Tensor) -> None:
    """Make every latent channel zero-mean and unit-variance, exactly, by changing the two 1x1 convolutions in place."""
    latents = torch.cat([vae.encode(part).latent_dist.mean for part in pictures.split(64)])
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    channels = len(mean)
    encode, decode = vae.quant_conv, vae.post_quant_conv
    decode.bias += (decode.weight[:, :, 0, 0] * mean).sum(1)
    decode.weight *= std[None, :, None, None]
    encode.weight[:channels] /= std[:, None, None, None]
    encode.bias[:channels] = (encode.bias[:channels] - mean) / std
    encode.bias[channels:] -= 2 * std.log()  # the log-variances


def export(vae: AutoencoderKL, groups: Groups, path: Path) -> None:
    """Write a diffusers folder `vae` with normalised latents."""
    kept = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    rows = torch.linspace(0, len(groups.pictures) - 1, 512).long().numpy()
    normalise_latents(vae, to_range(torch.from_numpy(groups.pictures[rows, 1])))
    vae.save_pretrained(path / "vae")
    vae.load_state_dict(kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=Path, default=Path("runs/groups"))
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--config", default="configs/train/vae.yaml")
    parser.add_argument("overrides", nargs="*", help="key=value")
    args = parser.parse_args()
    config = load_config(LoopConfig, args.config, args.overrides)
    groups = read_groups(args.groups)
    torch.manual_seed(config.seed)
    vae = build_vae(load_preset(args.preset))

    def batches(generator: torch.Generator) -> dict[str, Tensor]:
        group = torch.randint(len(groups.pictures), (config.batch_size,), generator=generator).numpy()
        member = torch.randint(groups.pictures.shape[1], (config.batch_size,), generator=generator).numpy()
        return {"pictures": to_range(torch.from_numpy(groups.pictures[group, member]))}

    Loop(Reconstruction(vae), batches, lambda path: export(vae, groups, path), config).run()


if __name__ == "__main__":
    run_command(main)
