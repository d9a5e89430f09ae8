"""Small networks that judge pairs, with random numbers."""

from pathlib import Path

import torch

from NFC.networks.files import write_network
from NFC.networks.idla import IDLA, IDLASizes


def tiny_idla() -> IDLA:
    """Its maps are (2, 3, 3)."""
    torch.manual_seed(0)
    return IDLA(IDLASizes(24, 24, channels=2, hidden=4, first=2)).eval()


def write_tiny_idla(folder: Path) -> Path:
    network, path = tiny_idla(), folder / "idla.safetensors"
    write_network(network.state_dict(), network.name, network.sizes, network.preprocessing(), path)
    return path
