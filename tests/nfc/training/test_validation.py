"""Validation scores as evaluate.py would."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from NFC.chain import Chain
from NFC.datasets import build_dataset
from NFC.features.of_dataset import extract_dataset
from NFC.networks.base import Extractor, Preprocessing
from NFC.networks.transreid import TransReID
from NFC.scoring.protocol import Protocol
from NFC.scoring.scores import score
from NFC.training.data import DataConfig
from NFC.training.validation import Validation, ValidationConfig
from pose2id.errors import UserError
from pose2id.presets import TransReIDSizes
from tests.nfc.toy import write_market

SIZES = TransReIDSizes(16, 8, 4, 4, dim=8, depth=2, heads=2, num_classes=3, fc_classes=0, num_cameras=3)


def network() -> TransReID:
    torch.manual_seed(0)
    built = TransReID(SIZES)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.normal_(std=0.2)
    return built.train()


@pytest.mark.parametrize("own", [True, False])
def test_scores_are_those_of_an_evaluation(tmp_path, own):
    root = write_market(tmp_path / "market")
    reid = network()
    training = DataConfig(dataset="market1501", dataset_dir=str(root if own else tmp_path / "elsewhere"))
    named = ValidationConfig(batch_size=2) if own else ValidationConfig("market1501", str(root), batch_size=2)
    scores = Validation(reid, named, training)(Path("unused"), 5)
    assert reid.training and reid.b1[0].training
    dataset = build_dataset("market1501", root)
    extractor = Extractor(reid, reid.feature_dim, Preprocessing(16, 8), uses_camids=True)
    expected = score("", *extract_dataset(dataset, extractor, device="cpu"), Chain(), Protocol.of(dataset))
    assert scores == pytest.approx({"mAP": expected.mAP, "rank1": expected.cmc[0], "mINP": expected.mINP})


def test_unknown_cameras_and_missing_data_sets_are_told_at_once(tmp_path):
    root = write_market(tmp_path / "market")
    reid = TransReID(replace(SIZES, num_cameras=2))
    with pytest.raises(UserError, match="3 cameras, but training only 2"):
        Validation(reid, ValidationConfig("market1501", str(root)), DataConfig(groups="groups"))
    with pytest.raises(UserError, match=r"validation\.dataset"):
        Validation(reid, ValidationConfig(), DataConfig(groups="groups"))
