"""The splits of a data set, by name."""

import pytest

from IPG.splits import SPLITS, check_splits, split_records
from NFC.datasets import build_dataset
from pose2id.errors import UserError
from tests.nfc.toy import write_market


def test_records_of_the_named_splits_follow_each_other(tmp_path):
    write_market(tmp_path / "market")
    dataset = build_dataset("market1501", tmp_path / "market")
    assert split_records(dataset, ["gallery", "query"]) == [*dataset.gallery, *dataset.query]
    assert all(split_records(dataset, [name]) for name in SPLITS)


def test_an_unknown_split_is_told():
    with pytest.raises(UserError, match="splits 'validation' is unknown; choose one of: query, gallery, train"):
        check_splits(["train", "validation"])
