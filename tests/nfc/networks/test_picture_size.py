"""`picture_size`: files whose tensors do not tell how large their pictures were, such as torchreid's PCB."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from NFC.features.extraction import extract_features
from NFC.features.files import describe_network
from NFC.networks import build_extractor
from NFC.networks.bpbreid import BPBReID
from NFC.networks.files import build_from_tensors, write_network
from NFC.networks.pcb import PCB, PCBSizes
from NFC.networks.pcb_rpp import PCBRPP
from pose2id.errors import UserError
from tests.commands import here
from tests.nfc.networks.official import manifest
from tests.nfc.toy import write_market

SIZE = (256, 128)


@pytest.fixture(scope="module")
def expected() -> PCB:
    torch.manual_seed(0)
    return PCB(PCBSizes(height=256, dialect="torchreid")).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def checkpoint(expected: PCB, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As torchreid names its tensors, without a header."""
    path = tmp_path_factory.mktemp("pcb") / "pcb_p6.safetensors"
    save_file({name: t.contiguous() for name, t in expected.to_official(expected.state_dict()).items()}, path)
    return path


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With pictures of noise as queries: flat ones say nothing of their size."""
    root, rng = write_market(tmp_path_factory.mktemp("market")), np.random.default_rng(0)
    for path in (root / "query").iterdir():
        Image.fromarray(rng.integers(0, 256, (40, 20, 3), dtype=np.uint8)).save(path)
    return root


def words(checkpoint: Path, *more: object) -> list[object]:
    return ["--extractor", "pcb", "--weights", checkpoint, "--device", "cpu", "--num_workers", 0, *more]


def test_features_are_those_of_a_network_built_for_that_size(checkpoint, expected):
    pictures = torch.rand(2, 3, *SIZE)
    extractor = build_extractor("pcb", checkpoint, device="cpu", picture_size=SIZE)
    assert extractor.network.sizes == expected.sizes and extractor.preprocessing == expected.preprocessing()
    assert (extractor.height, extractor.width) == SIZE
    assert torch.equal(extractor(pictures), expected(pictures))
    usual = build_extractor("pcb", checkpoint, device="cpu")
    assert (usual.height, usual.width) == (384, 128)
    assert describe_network("pcb", usual).differences(describe_network("pcb", extractor)) == ["preprocessing"]


def test_on_the_command_line(checkpoint, expected, market, tmp_path, capsys):
    settings = words(checkpoint, "--root", market, "--features_dir", tmp_path / "kept")
    assert here("evaluate", *settings, "--picture_size", *SIZE) == 0
    kept = load_file(tmp_path / "kept/query.safetensors")["feats"]
    torch.testing.assert_close(kept, extract_features(expected.extractor(), queries(market), device="cpu"))
    capsys.readouterr()
    assert here("evaluate", *settings) == 2
    told = capsys.readouterr().err
    assert "holds other features (preprocessing " in told and told.count("\n") == 1
    for given in (["picture_size=[256,128]"], ["--picture_size", *SIZE]):
        out = tmp_path / f"{len(given)}.npz"
        assert here("embed", *queries(market), *words(checkpoint, *given, "--out", out)) == 0
        with np.load(out) as held:
            torch.testing.assert_close(torch.from_numpy(held["feats"]), kept)


def queries(market: Path) -> list[Path]:
    return sorted((market / "query").iterdir())


@pytest.mark.parametrize("stem", ["pcb", "pcb_official", "pcb_bpm", "pcb_torchreid", "pcb_rpp"])
def test_every_dialect_can_be_rebuilt(stem):
    with torch.device("meta"):
        kind = PCBRPP if stem == "pcb_rpp" else PCB
        extractor = build_from_tensors(kind, manifest(f"stripes_grid/{stem}"), "x.pth", picture_size=[224, 96])
    assert (extractor.height, extractor.width) == (extractor.network.sizes.height, extractor.network.sizes.width)
    assert (extractor.height, extractor.width) == (224, 96)


def test_a_file_that_says_its_size_is_believed(tmp_path):
    torch.manual_seed(0)
    network, path = PCB(PCB.Sizes(**PCB.mini)), tmp_path / "pcb.safetensors"
    write_network(network.to_official(network.state_dict()), "pcb", network.sizes, network.preprocessing(), path)
    same = build_extractor("pcb", path, device="cpu", picture_size=(64, 32))
    assert same.preprocessing == network.preprocessing()
    with pytest.raises(UserError, match=r"pcb\.safetensors says that its pictures are 64 x 32; leave out"):
        build_extractor("pcb", path, device="cpu", picture_size=SIZE)


def test_a_size_that_the_network_cannot_take_is_one_line():
    tensors = {name: torch.zeros(tensor.shape) for name, tensor in manifest("bpbreid").items()}
    with pytest.raises(UserError, match=r"^picture_size 100 50: these sizes make no bpbreid: "):
        build_from_tensors(BPBReID, tensors, "x.pth", picture_size=(100, 50))
    fitting = build_from_tensors(BPBReID, tensors, "x.pth", picture_size=SIZE)
    assert (fitting.height, fitting.width) == SIZE


def test_what_cannot_be_is_one_line(checkpoint, mini_weights, tmp_path, capsys):
    picture = tmp_path / "a.png"
    Image.new("RGB", (8, 16)).save(picture)
    mini = ["--weights", mini_weights / "transformer_20.safetensors", "--preset", "mini", "--device", "cpu"]
    for given, told in (
        ([*mini, "--picture_size", 256, 128], "of another shape (base.pos_embed"),
        (["--extractor", "timm-random:resnet10t", "--picture_size", 64, 32], "for networks of the zoo, not for 'timm-"),
        (["--extractor", "file", "--picture_size", 64, 32], "picture_size is for networks of the zoo, not for 'file'"),
        (words(checkpoint, "--picture_size", 256), "picture_size is [256]; it must be a height and a width, each from"),
        (words(checkpoint, "--picture_size", 0, 128), "picture_size is [0, 128]; it must be"),
        (words(checkpoint, "--picture_size", 256, "wide"), "picture_size"),
    ):
        assert here("embed", picture, "--out", tmp_path / "f.npz", *given) == 2
        error = capsys.readouterr().err
        assert told in error and error.count("error:") == 1 and error.count("\n") == 1, error
