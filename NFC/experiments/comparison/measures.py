"""What networks of a comparison learnt besides identities, against the truth of pictures of people they never saw."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from pose2id.errors import UserError
from pose2id.pictures import read_picture

from ...networks import Extractor, build_extractor
from ...networks.body.bodies import Bodies
from ...networks.body.heat_maps import heat_maps
from ...networks.body.inputs import BodyInputs
from ...networks.body.label_maps import DRAWN_CLASSES, label_folder
from ...networks.body.points import to_coco
from ...networks.body.sources import keypoint_source
from ...report.table import ResultTable, Row
from .bodies import ORDINARY
from .scoring import Bench

MOST = 256  # pictures of the gallery
CAPTION = (
    "Of people that were not trained on. error: squared, of heat maps, in shares of that of empty ones; points: found "
    "within a tenth of the height; mask: its mean, of 2, on people and elsewhere; own part: the attention of a proxy "
    "there; its pixels: the share of the picture that the part has, which attention without an aim would give."
)
NEAR = 0.1  # of the height: a point is found that is not farther off


class Truth(NamedTuple):
    """pictures: (B, 3, H, W) preprocessed; points: (B, 18, 3) in their pixels; labels: (B, H, W) int64, Pascal's."""

    pictures: Tensor
    points: Tensor
    labels: Tensor


def measure(wanted: Mapping[str, Sequence[str]], bench: Bench) -> ResultTable | None:
    """A row for each network that the measures `wanted` (name -> networks) ask for, a mean over the seeds."""
    rows = []
    for name, networks in wanted.items():
        if name not in MEASURES:
            raise UserError(f"unknown measure '{name}'; choose one of: {', '.join(MEASURES)}")
        for network in networks:
            trained = [bench.workshop.network(network, seed) for seed in bench.workshop.comparison.seeds]
            extractors = [build_extractor(*source, "cpu") for source in trained]
            shown = truth(bench, extractors[0])  # all are shown the same
            with torch.inference_mode():
                seeds = [MEASURES[name](extractor, shown) for extractor in extractors]
            values = {key: np.array([found[key] for found in seeds]) for key in seeds[0]}
            means, spreads = ({key: float(of(value)) for key, value in values.items()} for of in (np.mean, np.std))
            rows.append(Row(network, means, spreads))
    metrics = list(dict.fromkeys(key for row in rows for key in row.values))
    return ResultTable("What was learnt besides identities", rows, metrics, caption=CAPTION) if rows else None


def truth(bench: Bench, extractor: Extractor) -> Truth:
    """Of the first `MOST` pictures of the gallery, as the extractor is shown them."""
    dataset, size = bench.dataset, (extractor.height, extractor.width)
    places = bench.workshop.body_places(bench.data, ORDINARY, dataset, "exact", "exact")
    bodies = Bodies(keypoint_source(places["keypoints"]), labels=label_folder(places["parsing"], DRAWN_CLASSES))
    pictures, points, labels = [], [], []
    for record in dataset.gallery[:MOST]:
        picture = read_picture(record.path)
        shown = picture.height, picture.width
        pictures.append(extractor.preprocess(picture, record.path))
        points.append(bodies.points(record.path, shown, size))
        labels.append(torch.from_numpy(bodies.label_map(record.path, shown, size, BodyInputs(("parsing",)))))
    return Truth(torch.stack(pictures), torch.stack(points), torch.stack(labels).long())


def heat_map_measures(extractor: Extractor, shown: Truth) -> Mapping[str, float]:
    """Of RBNet: error of its heat maps by that of empty ones, points within `NEAR`, means of the mask, of 2."""
    network = extractor.network
    mask, maps = network.masks(network.backbone.maps(shown.pictures))
    stride = shown.pictures.shape[2] / maps.shape[2]
    points = to_coco(shown.points)
    targets = heat_maps(points, (maps.shape[2], maps.shape[3]), stride, network.sizes.heat_deviation)
    known = targets.flatten(2).amax(2) > 0
    place = maps.flatten(2).argmax(2)
    found = torch.stack([place % maps.shape[3], place // maps.shape[3]], dim=2) * stride
    near = (found - points[..., :2]).norm(dim=2) <= NEAR * shown.pictures.shape[2]
    whole = interpolate(mask, shown.pictures.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    person = shown.labels > 0
    return {
        "error": float((maps - targets)[known].square().sum() / targets[known].square().sum()),
        "points": float(near[known].float().mean()),
        "mask, person": float(whole[person].mean()) / 2,
        "mask, rest": float(whole[~person].mean()) / 2,
    }


def attention_measures(extractor: Extractor, shown: Truth) -> Mapping[str, float]:
    """Of SAP taught by label maps: a proxy's attention on its own part, and the share of pixels that this part has."""
    network = extractor.network
    logits = network.see(shown.pictures).proxy_logits[-1]
    patch = network.base.patch_embed.proj.kernel_size[0]
    own = (shown.labels[:, None] == torch.arange(1, 1 + network.sizes.parts)[:, None, None]).float()
    shares = avg_pool2d(own, patch, network.sizes.stride).flatten(2)  # (B, parts, N)
    seen = shares.sum(2) > 0
    attention = logits.softmax(-1)[:, network.first_part :]
    on_part, at_random = (attention * shares).sum(2), shares.mean(2)
    return {
        "own part": float(on_part[seen].mean()),
        "its pixels": float(at_random[seen].mean()),
    }


MEASURES: Mapping[str, Callable[[Extractor, Truth], Mapping[str, float]]] = {
    "heat_maps": heat_map_measures,
    "attention": attention_measures,
}
