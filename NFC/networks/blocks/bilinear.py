"""Bilinear pooling of two maps, whole and compact (Gao et al., CVPR 2016, by tensor sketch)."""

import numpy as np
import torch
from torch import Tensor, nn

SEEDS = {"h1": 1, "s1": 3, "h2": 5, "s2": 7}  # of NumPy's legacy generator, in the code of PABP


def bilinear(first: Tensor, second: Tensor) -> Tensor:
    """Maps (B, C, h, w) and (B, K, h, w) -> (B, C, K): the mean over the places of the products of all channels.

    With a second map of ones it is the mean of the first.
    """
    places = first.shape[2] * first.shape[3]
    return torch.einsum("bchw,bkhw->bck", first, second) / places


def signed_root(values: Tensor) -> Tensor:
    """sign(x) sqrt|x|, which bilinear CNNs take of the products; PABP does not, neither its paper nor its code."""
    return values.sign() * values.abs().sqrt()


class CompactBilinear(nn.Module):
    """Products (B, C, K) of `bilinear` -> (B, out), whose scalar products are about those of the whole ones.

    Product i, j is added to bin (h1[i] + h2[j]) mod out with the sign s1[i] s2[j]. This is the circular convolution of
    two count sketches, which others compute by a Fourier transform at every place: the same sums, here over what has
    been summed over the places before.
    """

    def __init__(self, first: int, second: int, out: int) -> None:
        super().__init__()
        self.out = out
        h1, h2 = (_drawn(out, size, SEEDS[name]) for size, name in ((first, "h1"), (second, "h2")))
        s1, s2 = (2 * _drawn(2, size, SEEDS[name]) - 1 for size, name in ((first, "s1"), (second, "s2")))
        self.tell(h1, s1, h2, s2)

    def tell(self, h1: Tensor, s1: Tensor, h2: Tensor, s2: Tensor) -> None:
        """Other tables than the authors': bins from 0 and signs, (C,) and (K,) int64."""
        bins, signs = (h1[:, None] + h2) % self.out, s1[:, None] * s2
        self.register_buffer("bins", bins.flatten(), persistent=False)
        self.register_buffer("signs", signs.flatten().float(), persistent=False)

    def forward(self, products: Tensor) -> Tensor:
        signed = products.flatten(1) * self.signs.to(products.dtype)
        return signed.new_zeros(len(signed), self.out).index_add(1, self.bins, signed)


def _drawn(below: int, size: int, seed: int) -> Tensor:
    drawn = np.random.RandomState(seed).randint(below, size=size)
    return torch.tensor(drawn.tolist(), dtype=torch.int64, device="cpu")
