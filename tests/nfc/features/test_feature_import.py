"""Other people's feature files: every kind reads the same, and what is wrong is one line that names the file."""

import os

import numpy as np
import pytest
import torch

from NFC.datasets import Record
from NFC.features.files import Origin, write_feature_file
from NFC.features.imported import read_features, read_split
from pose2id.arrays import unit_rows
from pose2id.errors import UserError
from tests.nfc.features.saved import arrays, labels, save


def check(features, values, generated=True):
    assert features.feats.values.dtype == torch.float32 and features.pids.dtype == torch.int64
    np.testing.assert_array_equal(features.feats.values, values["feats"])
    for name in ("pids", "camids"):
        np.testing.assert_array_equal(getattr(features, name), values[name])
    if generated:
        np.testing.assert_array_equal(features.generated.values, values["generated"])
    else:
        assert features.generated is None


@pytest.mark.parametrize("suffix", [".npz", ".mat", ".pt", ".safetensors"])
def test_every_format_reads_the_same(tmp_path, suffix):
    query, gallery = arrays(4), arrays(6)
    paths = [save(tmp_path / f"q{suffix}", query), save(tmp_path / f"g{suffix}", gallery)]
    for features, values in zip(read_features(paths), (query, gallery), strict=True):
        check(features, values)


def test_npy_takes_its_labels_from_a_table(tmp_path):
    query, gallery = arrays(4), arrays(6)
    paths = [save(tmp_path / "q.npy", query), save(tmp_path / "g.npy", gallery)]
    tables = [save(tmp_path / "q.csv", query), save(tmp_path / "g.csv", gallery)]
    for features, values in zip(read_features(paths, tables), (query, gallery), strict=True):
        check(features, values, generated=False)
    with pytest.raises(UserError, match=r"q\.npy has no pids .it has feats."):
        read_features(paths)


def test_one_file_of_both_splits(tmp_path):
    query, gallery = arrays(4), arrays(6)
    both = {f"query_{name}": array for name, array in zip(("f", "label", "cam"), query.values(), strict=False)}
    both |= {f"gallery_{name}": array for name, array in zip(("f", "label", "cam"), gallery.values(), strict=False)}
    path = save(tmp_path / "result.mat", both)  # (1, N) labels, as MATLAB has them
    for features, values in zip(read_features([path, path]), (query, gallery), strict=True):
        check(features, values, generated=False)


def test_labels_of_a_data_set_stand_in_for_those_of_the_file(tmp_path):
    query, gallery = arrays(4), arrays(6)
    paths = [save(tmp_path / "q.npy", query), save(tmp_path / "g.npy", gallery)]
    records = [[Record(tmp_path, 9 - i, i) for i in range(rows)] for rows in (4, 6)]
    found, _ = read_features(paths, records=records)
    assert found.pids.tolist() == [9, 8, 7, 6] and found.camids.tolist() == [0, 1, 2, 3]
    with pytest.raises(UserError, match=r"query .*q\.npy.*4 features but 3 pids"):
        read_features(paths, records=[records[0][:3], records[1]])


def test_labels_that_contradict_the_data_set_are_refused(tmp_path):
    query, gallery = arrays(4), arrays(6)
    paths = [save(tmp_path / "q.npz", query), save(tmp_path / "g.npz", gallery)]

    def records(values, camera=0):
        pairs = zip(*labels(values), strict=True)
        return [Record(tmp_path / f"{i}.jpg", int(p), int(c) - camera) for i, (p, c) in enumerate(pairs)]

    fitting = [records(query), records(gallery)]
    assert read_features(paths, records=fitting)[0].pids.tolist() == query["pids"].tolist()
    read_features(paths, records=[records(query, camera=1), records(gallery, camera=1)])  # cameras counted from 1
    turned = [fitting[0], fitting[1][::-1]]
    told = r"g\.npz contradicts the data set: row 0 of its gallery has pid 0, but picture .*5\.jpg has pid 2 .4 of 6"
    with pytest.raises(UserError, match=told):
        read_features(paths, records=turned)
    other = [fitting[0], [*fitting[1][:5], Record(tmp_path / "x.jpg", 2, 7)]]
    with pytest.raises(UserError, match=r"row 5 of its gallery has camid 1, but picture .* has camid 7"):
        read_features(paths, records=other)
    tables = [save(tmp_path / "q.csv", query), save(tmp_path / "g.csv", gallery)]
    bare = [save(tmp_path / "q.npy", query), save(tmp_path / "g.npy", gallery)]
    with pytest.raises(UserError, match=r"g\.csv contradicts the data set"):
        read_features(bare, tables, turned)


def test_junk_is_left_out(tmp_path, caplog):
    query, gallery = arrays(4), arrays(6)
    gallery["pids"] = np.array([-1, 0, 1, 2, -1, 1])
    paths = [save(tmp_path / "q.npz", query), save(tmp_path / "g.npz", gallery)]
    _, found = read_features(paths)
    assert found.pids.tolist() == [0, 1, 2, 1] and len(found.generated) == 4
    assert "2 rows with a negative pid" in caplog.text
    save(paths[1], gallery | {"pids": np.full(6, -1)})
    with pytest.raises(UserError, match="every pid is negative"):
        read_features(paths)


def test_files_of_two_networks_are_refused(tmp_path):
    origin = Origin("transreid", "aaaa", "p", "float32", "false", "market1501", "x")
    other = Origin("transreid", "bbbb", "p", "float32", "false", "market1501", "y")
    paths = tmp_path / "q.safetensors", tmp_path / "g.safetensors"
    tensors = {name: torch.from_numpy(array) for name, array in arrays().items()}
    for path, header in zip(paths, (origin, other), strict=True):
        write_feature_file(path, tensors, header)
    with pytest.raises(UserError, match=r"different networks .weights aaaa and bbbb."):
        read_features(paths)


def test_two_files_are_needed(tmp_path):
    path = save(tmp_path / "q.npz", arrays(4))
    for features, tables in (([path], None), ([path, path], [path])):
        with pytest.raises(UserError, match="two files"):
            read_features(features, tables)


def test_labels_in_npy_files_are_two_columns(tmp_path):
    values = arrays(4)
    np.save(tmp_path / "labels.npy", np.stack(labels(values), axis=1))
    found = read_split("query", save(tmp_path / "q.npy", values), tmp_path / "labels.npy")
    check(found, values, generated=False)
    np.save(tmp_path / "labels.npy", values["pids"])
    with pytest.raises(UserError, match=r"labels\.npy has no camids; save two columns"):
        read_split("query", tmp_path / "q.npy", tmp_path / "labels.npy")


def test_features_without_labels_can_be_read(tmp_path):
    paths = [save(tmp_path / "q.npy", arrays(4)), save(tmp_path / "g.npy", arrays(6))]
    query, gallery = read_features(paths, labelled=False)
    assert query.pids is None and query.camids is None and gallery.to("cpu").pids is None and len(gallery) == 6
    both = read_split("query", save(tmp_path / "q.npz", arrays(4)), labelled=False)
    assert both.pids.tolist() == arrays(4)["pids"].tolist()


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e-13, 1e20, 1e35, 1e300])
def test_features_of_any_size_are_those_of_their_unit_vectors(tmp_path, scale):
    values = arrays(6)
    plain = read_split("query", save(tmp_path / "plain.npz", values)).feats.normalized().values
    save(tmp_path / "far.npz", values | {"feats": values["feats"].astype(np.float64) * scale})
    far = read_split("query", tmp_path / "far.npz").feats.normalized().values
    torch.testing.assert_close(far, plain, rtol=1e-6, atol=1e-7)
    if 1e-38 < scale < 1e37:
        single = torch.from_numpy(values["feats"] * np.float32(scale))
        torch.testing.assert_close(unit_rows(single), plain, rtol=1e-5, atol=1e-6)


def test_rows_of_ordinary_size_are_normalised_bit_for_bit_as_ever():
    feats = torch.randn(100, 64, generator=torch.Generator().manual_seed(0))
    feats[0] *= 1e20
    assert torch.equal(unit_rows(feats)[1:], torch.nn.functional.normalize(feats[1:], dim=-1))


def test_rows_of_zeros_are_told(tmp_path, caplog):
    values = arrays(4)
    values["feats"][2:] = 0
    read_split("query", save(tmp_path / "q.npz", values))
    assert "2 of 4 rows are all zero, the first is row 2" in caplog.text


def test_long_doubles_are_rounded(tmp_path):
    values = arrays()
    save(tmp_path / "g.npz", values | {"feats": values["feats"].astype(np.longdouble)})
    check(read_split("gallery", tmp_path / "g.npz"), values)


def test_feature_files_are_the_same_bytes_every_time(tmp_path):
    origin = Origin("transreid", "aaaa", "p", "float32", "false", "market1501", "x")
    tensors = {name: torch.from_numpy(array) for name, array in arrays().items()}
    write_feature_file(tmp_path / "a.safetensors", tensors, origin)
    write_feature_file(tmp_path / "b.safetensors", dict(reversed(tensors.items())), origin)
    content = (tmp_path / "a.safetensors").read_bytes()
    assert content == (tmp_path / "b.safetensors").read_bytes()
    names = ["dataset", "extractor", "flip", "format", "keypoints", "pictures", "precision", "preprocessing", "weights"]
    assert sorted(names, key=lambda name: content.index(f'"{name}":'.encode())) == names
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask
