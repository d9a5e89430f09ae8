"""The Siamese LSTM (Varior et al., ECCV 2016): an LSTM reads the stripes of a picture from top to bottom.

The paper gives it rows of hand-made features. Here a small CNN sees each stripe, as lectures retell it. Sizes, and that
the feature is made of the hidden states of all stripes, are ours; there is no public code.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from pose2id.errors import UserError

from .base import IMAGENET_MEAN, IMAGENET_STD, Extractor, Preprocessing
from .blocks.pair_network import JudgesPairs, PairSizes
from .files import build_from_file
from .looks import Look, MapLook
from .reid_network import Branch, Inputs, Pairs

READOUTS = ("all", "last")


@dataclass(frozen=True)
class SiameseLSTMSizes(PairSizes):
    """dim: numbers a stripe; hidden: those of the LSTM; embedding: those of the feature.

    readout: the hidden states of "all" stripes side by side, or the "last" one. recurrent: false reads the stripes as
    they are, side by side, without an LSTM; a control.
    """

    height: int = 128
    width: int = 64
    stripes: int = 8
    dim: int = 64
    hidden: int = 64
    embedding: int = 128
    readout: str = "all"
    recurrent: bool = True


class SiameseLSTM(JudgesPairs):
    """(B, 3, H, W) -> (B, embedding) of unit length, compared by Euclidean distance; no stripe sees its neighbours.

    Pictures whose height the stripes do not divide are made a little higher.
    """

    name = "siamese_lstm"
    Sizes = SiameseLSTMSizes

    def __init__(self, sizes: SiameseLSTMSizes) -> None:
        super().__init__(sizes)
        if sizes.readout not in READOUTS:
            raise UserError(f"{self.name}: readout must be all or last, got '{sizes.readout}'")
        if not 1 <= sizes.stripes <= sizes.height:
            raise UserError(f"{self.name}: {sizes.stripes} stripes cannot be cut from {sizes.height} rows")
        self.feature_dim = sizes.embedding
        self.stripe_cnn = nn.Sequential(_convolved(3, 32, 2), _convolved(32, 64, 2), _convolved(64, sizes.dim, 1))
        self.lstm = nn.LSTM(sizes.dim, sizes.hidden, batch_first=True) if sizes.recurrent else None
        numbers = sizes.hidden if sizes.recurrent else sizes.dim
        self.fc = nn.Linear(numbers * (sizes.stripes if sizes.readout == "all" else 1), sizes.embedding)

    def preprocessing(self) -> Preprocessing:
        return Preprocessing(self._height, self.sizes.width, "bilinear", IMAGENET_MEAN, IMAGENET_STD)

    @property
    def _height(self) -> int:
        """The least one from the wanted height on that the stripes divide."""
        return -(-self.sizes.height // self.sizes.stripes) * self.sizes.stripes

    def stripe_vectors(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, stripes, dim), from top to bottom, by one CNN for all; it pads within a stripe."""
        rows = -(-pictures.shape[2] // self.sizes.stripes)
        if pictures.shape[2] % self.sizes.stripes:
            pictures = interpolate(pictures, (rows * self.sizes.stripes, pictures.shape[3]), mode="bilinear")
        cut = pictures.unflatten(2, (self.sizes.stripes, rows)).transpose(1, 2)  # (B, stripes, 3, rows, W)
        return self.stripe_cnn(cut.flatten(0, 1)).mean((2, 3)).unflatten(0, cut.shape[:2])

    def read(self, stripes: Tensor) -> Tensor:
        """(B, stripes, dim) -> what is read from top to bottom, (B, stripes, hidden); itself without an LSTM."""
        if self.lstm is None:
            return stripes
        with torch.autocast(stripes.device.type, enabled=False):
            return self.lstm(stripes.float())[0]

    def embed(self, stripes: Tensor) -> Tensor:
        """(B, stripes, dim) -> (B, embedding) of unit length."""
        states = self.read(stripes)
        return normalize(self.fc(states.flatten(1) if self.sizes.readout == "all" else states[:, -1]))

    def explain(self, inputs: Inputs) -> list[Look]:
        """How much each stripe says: the length of its vector, and of what has been read when it is reached."""
        stripes = self.stripe_vectors(inputs.pictures)
        maps = torch.cat([stripes, self.read(stripes)]).norm(dim=2)[..., None]
        return [MapLook("Length of the stripes' vectors", maps, ["of the CNN", "as read so far"])]

    def branches(self, inputs: Inputs) -> list[Branch]:
        rows, features = self.of_pairs(inputs), self(inputs.pictures)
        distances = (features[rows[:, 0]] - features[rows[:, 1]]).norm(dim=1)
        return [Branch(features, pairs=Pairs(rows, distances))]

    def forward(self, pictures: Tensor) -> Tensor:
        return self.embed(self.stripe_vectors(pictures))


def _convolved(channels: int, out: int, pooled: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, out, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(pooled, ceil_mode=True))


NETWORK = SiameseLSTM


def build(weights: str | Path | None, preset: str) -> Extractor:
    return build_from_file(SiameseLSTM, weights, preset)
