"""Small networks that judge pairs, with random numbers."""

from pathlib import Path

import torch

from NFC.networks.files import write_network
from NFC.networks.idla import IDLA, IDLASizes
from tests.golden.recipe import fill


def tiny_idla() -> IDLA:
    """Its maps are (2, 3, 3)."""
    network = IDLA(IDLASizes(24, 24, channels=2, hidden=32, first=2)).eval()
    with torch.no_grad():
        fill(network, "tiny")
        network.summary_a.bias.fill_(0.5)  # no rectified number is always 0
        network.summary_b.bias.fill_(0.5)
        network.across_a.bias.fill_(0.5)
        network.across_b.bias.fill_(0.5)
    return network


def write_tiny_idla(folder: Path) -> Path:
    network, path = tiny_idla(), folder / "idla.safetensors"
    write_network(network.state_dict(), network.name, network.sizes, network.preprocessing(), path)
    return path
