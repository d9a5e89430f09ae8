"""Centralized features as files of their own, to take elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose2id.files import replacing

from ..chain import Chain
from ..features.feature_set import FeatureSet
from ..scoring.protocol import Protocol
from ..steps import SPLITS


def save_centralized(folder: Path, query: FeatureSet, gallery: FeatureSet, chain: Chain, protocol: Protocol) -> Path:
    """Write `query.npz` and `gallery.npz` with centralized features, see `write_centralized`.

    Where the protocol has trials, they lie in `trial1/`, `trial2/` and so on. What looks at both sets, query expansion
    and matchers, is not in them. `NFC.features.imported` reads them. Returns the folder.
    """
    for number, trial in enumerate(protocol.split(query, gallery), start=1):
        place = folder / f"trial{number}" if protocol.trials else folder
        for split, raw in zip(SPLITS, trial, strict=True):
            write_centralized(place / f"{split}.npz", chain.centralize(raw, split))
    return folder


def write_centralized(path: Path, features: FeatureSet) -> Path:
    """Write `feats` (N, d) float32 and, where there are labels, `pids` and `camids` (N,) int64; returns the path.

    Features of another kind than vectors lie flat, with an entry of the kind's name that holds its sizes.
    """
    layout = features.feats.layout
    arrays = {"feats": features.feats.flatten(), "pids": features.pids, "camids": features.camids}
    if layout.sizes:
        arrays[layout.kind] = torch.tensor(layout.sizes)
    with replacing(path) as partial, partial.open("wb") as file:
        held: dict[str, Any] = {name: tensor.cpu().numpy() for name, tensor in arrays.items() if tensor is not None}
        np.savez(file, **held)
    return path
