"""Part features from pictures on disk to scores, with generated pictures, NFC and keypoint prompts."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from NFC import NFC, evaluate_ranking, fuse_generated
from NFC.chain import Chain
from NFC.datasets import build_dataset, generated_paths
from NFC.datasets.synthetic import View, World
from NFC.datasets.synthetic.layouts import write_layout
from NFC.features.kinds import Layout
from NFC.features.kinds.parts import PartFeatures, part_distances
from NFC.features.of_dataset import extract_dataset
from NFC.networks.bpbreid import BPBReID, BPBReIDSizes
from NFC.scoring.scores import score
from NFC.steps import GeneratedPictures, NeighbourCentralization
from tests.nfc.networks.small_kpr import small_kpr
from tests.nfc.networks.test_bpbreid import TINY

POSES = 2
BOTH = Chain.of(GeneratedPictures(), NeighbourCentralization())


@pytest.fixture(scope="module")
def occluded(tmp_path_factory):
    """Occluded-REID of four synthetic people; the generated pictures of a person are the same for all originals."""
    root = tmp_path_factory.mktemp("occluded") / "Occluded_REID"
    write_layout("occluded_reid", root, seed=0, train_pids=0, test_pids=4, workers=1, shots=2)
    dataset, world = build_dataset("occluded_reid", root), World(1)
    for record in (*dataset.query, *dataset.gallery):
        for k, path in enumerate(generated_paths(record, POSES)):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(world.shoot(View(record.pid, k, 0)).picture).save(path)
    return dataset


def tiny_extractor(kind):
    torch.manual_seed(0)
    if kind == "bpbreid":
        return BPBReID(BPBReIDSizes(64, 32, 3, dim=16, num_classes=0, **TINY)).extractor()
    network = small_kpr(parts=3, dim=16, num_cameras=2)
    torch.nn.init.normal_(network.backbone_appearance_feature_extractor.sie_embed)
    return network.extractor()


@torch.no_grad()
def features_by_hand(extractor, records, keypoints=False):
    """Originals (N, P) with prompt, generated (N, M, P) without; nobody noted the cameras of Occluded-REID."""
    extractor.eval()

    def embed(path, prompted):
        picture = Image.open(path).convert("RGB")
        images = extractor.preprocess(picture, path) if prompted else extractor.preprocess(picture)
        return extractor(images[None], None)[0]

    originals = torch.stack([embed(r.path, keypoints) for r in records])
    generated = [torch.stack([embed(path, False) for path in generated_paths(r, POSES)]) for r in records]
    return [PartFeatures.unflatten(f, extractor.parts).normalized() for f in (originals, torch.stack(generated))]


@pytest.mark.parametrize("kind", ["bpbreid", "kpr"])
def test_evaluation_equals_the_steps_by_hand(occluded, kind):
    extractor = tiny_extractor(kind)
    query, gallery = extract_dataset(occluded, extractor, ["query", "gallery"], poses=POSES, device="cpu")
    assert query.feats.layout == Layout("parts", (4,))
    sides = []
    for records in (occluded.query, occluded.gallery):
        originals, generated = features_by_hand(extractor, records)
        fused = fuse_generated(originals, generated).normalized()
        sides.append(NFC(fused, 2, 2).normalized())
    labels = [getattr(f, name) for name in ("pids", "camids") for f in (query, gallery)]
    by_hand = evaluate_ranking(None, None, *labels, distances=part_distances(*sides))
    result = score("", query, gallery, BOTH)
    assert result.mAP == pytest.approx(by_hand.mAP, abs=1e-6)
    assert result.mAP > score("", query, gallery, Chain()).mAP
    assert result.id2 < score("", query, gallery, Chain()).id2


def test_keypoints_reach_the_original_pictures_alone(occluded, tmp_path):
    rng = np.random.default_rng(0)
    for record in (*occluded.query, *occluded.gallery):
        folder = tmp_path / record.path.parents[1].name
        folder.mkdir(exist_ok=True)
        keypoints = np.column_stack([rng.uniform(0, 64, 17), rng.uniform(0, 128, 17), np.ones(17)])
        skeletons = [{"keypoints": keypoints.tolist()}]
        (folder / f"{record.path.name}_keypoints.json").write_text(json.dumps(skeletons))
    extractor = tiny_extractor("kpr")
    plain, _ = extract_dataset(occluded, extractor, ["query"], poses=POSES, device="cpu")
    extractor.use_keypoints(tmp_path)
    prompted, _ = extract_dataset(occluded, extractor, ["query"], poses=POSES, device="cpu")
    torch.testing.assert_close(prompted.generated.flatten(), plain.generated.flatten())
    assert (prompted.feats.flatten() - plain.feats.flatten()).abs().amax(1).min() > 1e-4
    originals, _ = features_by_hand(extractor, occluded.query, keypoints=True)
    torch.testing.assert_close(prompted.feats.normalized().embeddings, originals.embeddings)
