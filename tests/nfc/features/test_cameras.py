"""Data sets whose cameras nobody noted: their networks see no camera, and nothing is excluded."""

import pytest
import torch

from NFC.datasets import build_dataset
from NFC.datasets.synthetic.layouts import write_layout
from NFC.features.of_dataset import extract_dataset
from NFC.networks.base import NO_CAMERA, Preprocessing
from NFC.scoring.protocol import Protocol
from NFC.training.augmentation import AugmentationConfig
from NFC.training.batches import Batches
from NFC.training.data import DataConfig, read_training_set
from NFC.training.network import NetworkConfig, build_network
from pose2id.errors import UserError
from tests.nfc.toy import MeanColour, write_market
from tests.nfc.training.test_validation import network


class Cameras(MeanColour):
    """Notes the cameras it is told."""

    def __init__(self):
        super().__init__()
        self.inputs, self.told = ("pictures", "camids"), []

    def forward(self, pictures, camids=None, keypoints=None):
        self.told.append(camids)
        return super().forward(pictures)


@pytest.fixture(scope="module", params=["occluded_reid", "p_dukemtmc", "custom"])
def dataset(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param) / "set"
    write_layout(request.param, root, seed=3, train_pids=0, test_pids=2, workers=1)
    return build_dataset(request.param, root)


def test_networks_are_told_of_no_camera_once(dataset, caplog):
    extractor = Cameras()
    query, gallery = extract_dataset(dataset, extractor, device="cpu")
    assert set(torch.cat(extractor.told).tolist()) == {NO_CAMERA}
    assert caplog.text.count("nobody noted the cameras") == 1
    assert not Protocol.of(dataset).exclude(query.pids, query.camids, gallery.pids, gallery.camids).any()


def test_a_picture_in_query_and_gallery_has_one_feature(tmp_path):
    """With a camera embedding, made-up cameras would make two of it."""
    pictures = sorted((write_market(tmp_path / "market") / "query").iterdir())
    for table, column, query, gallery in (("without", "", "", ""), ("with", ",camid", ",0", ",1")):
        lines = [f"{pictures[0]},7,query{query}", *(f"{path},7,gallery{gallery}" for path in pictures[1:])]
        (tmp_path / f"{table}.csv").write_text("\n".join([f"path,pid,split{column}", *lines]))
    known = build_dataset("custom", tmp_path / "with.csv")
    unknown = build_dataset("custom", tmp_path / "without.csv")
    assert known.cameras and not unknown.cameras
    assert [record.camid for record in (*unknown.query, *unknown.gallery)] == [0, 1, 1]
    extractor = network().extractor(Preprocessing(16, 8)).eval()
    same = unknown.query[0].path
    both = type(unknown)("custom", unknown.root, (), unknown.query, [unknown.query[0], *unknown.gallery], cameras=False)
    query, gallery = extract_dataset(both, extractor, device="cpu")
    assert both.gallery[0].path == same
    torch.testing.assert_close(query.feats.values[0], gallery.feats.values[0])
    seen, _ = extract_dataset(known, extractor, device="cpu")
    assert not torch.allclose(seen.feats.values, query.feats.values)


def test_a_camera_embedding_cannot_be_learnt_from_them(tmp_path):
    write_layout("p_dukemtmc", tmp_path / "set", seed=3, train_pids=4, test_pids=1, workers=1)
    config = DataConfig(dataset="p_dukemtmc", dataset_dir=str(tmp_path / "set"), cache=str(tmp_path / "cache"))
    pictures = read_training_set(config, Preprocessing(16, 8))
    assert not pictures.cameras
    batches = Batches(pictures, config, AugmentationConfig(), 8, Preprocessing(16, 8))
    assert set(batches([torch.Generator()])["camids"].tolist()) == {NO_CAMERA}
    with pytest.raises(UserError, match="nobody noted the cameras of the training pictures"):
        build_network(NetworkConfig(camera_embedding=True), pictures.num_labels, pictures, seed=0)
