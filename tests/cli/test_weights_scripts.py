"""scripts/convert_checkpoint.py and scripts/download_weights.py, through the command line."""

import pytest
import torch
from safetensors.torch import load_file

from pose2id.commands.convert import convert
from pose2id.errors import UserError
from pose2id.weights import read_tensors
from tests.commands import here, program


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype and torch.equal(a[name].view(torch.uint8), b[name].view(torch.uint8))
        for name in a
    )


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    shared = torch.randn(4, 6)
    return {
        "half": torch.randn(3).half(),
        "whole": torch.tensor([7]),
        "nan": torch.tensor([float("nan"), -0.0]),
        "shared": shared,
        "tied": shared,
        "turned": torch.randn(4, 6).T.contiguous(),
    }


def test_there_and_back_again_bit_for_bit(tmp_path, tensors):
    torch.save(tensors, tmp_path / "IFR.pth")
    result = program("scripts/convert_checkpoint.py", tmp_path, "--to", "safetensors")
    assert result.returncode == 0, result.stderr
    assert same(load_file(tmp_path / "IFR.safetensors"), tensors)
    assert convert(tmp_path / "IFR.safetensors", tmp_path / "back/IFR.pth") == len(tensors)
    assert same(read_tensors(tmp_path / "back/IFR.pth"), tensors)


def test_nothing_is_overwritten_and_a_damaged_file_is_told(tmp_path, tensors):
    torch.save(tensors, tmp_path / "IFR.pth")
    (tmp_path / "IFR.safetensors").write_bytes(b"precious")
    result = program("scripts/convert_checkpoint.py", tmp_path / "IFR.pth")
    assert result.returncode == 2 and "exists already" in result.stderr and result.stderr.count("\n") == 1
    assert (tmp_path / "IFR.safetensors").read_bytes() == b"precious"
    (tmp_path / "bad.pth").write_bytes((tmp_path / "IFR.pth").read_bytes()[:100])
    with pytest.raises(UserError, match="cannot read weights"):
        convert(tmp_path / "bad.pth", tmp_path / "bad.safetensors")
    assert not (tmp_path / "bad.safetensors").exists()


def test_files_after_one_that_is_unfit_are_converted_too(tmp_path, tensors, capsys):
    for name in ("a.pth.tar", "c.pth"):
        torch.save(tensors, tmp_path / name)
    for name in ("b.pth", "d.pth"):
        (tmp_path / name).write_text("no weights")
    assert here("convert", tmp_path, "--to", "safetensors") == 1
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {"a.safetensors", "c.safetensors"}
    assert same(load_file(tmp_path / "a.safetensors"), tensors)
    first, *named = capsys.readouterr().err.splitlines()
    assert first == "2 files could not be converted:" and ["b.pth" in named[0], "d.pth" in named[1]] == [True, True]
    assert here("convert", tmp_path / "a.pth.tar") == 2 and "a.safetensors exists already" in capsys.readouterr().err
    assert here("convert", tmp_path / "a.safetensors", "--to", "pth") == 0 and (tmp_path / "a.pth").is_file()


def test_without_a_network_the_list_is_printed(tmp_path):
    result = program(
        "scripts/download_weights.py", "--out_dir", tmp_path / "pretrained", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path)
    )
    assert result.returncode == 2 and "Traceback" not in result.stderr
    for name in ("denoising_unet.pth", "reference_unet.pth", "pose_guider.pth", "IFR.pth", "transformer_20.pth"):
        assert f"pretrained/{name}" in result.stdout
    assert "pretrained/vae/config.json" in result.stdout
    assert result.stderr.count("\n") == 1 and "cannot download" in result.stderr
