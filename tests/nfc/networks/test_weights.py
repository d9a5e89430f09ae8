"""Weight files as people have them: prefixed, wrapped, of another class count, damaged, or dangerous."""

import logging
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pose2id.commands import convert_pickle
from pose2id.commands.convert import convert as rewrite
from pose2id.errors import UserError
from pose2id.weights import find_weights, load_tensors, read_tensors, strip_prefix, write_safetensors


class Small(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        self.body = nn.Linear(3, 2)
        self.neck = nn.BatchNorm1d(2)
        self.classifier = nn.Linear(2, classes)


def tensors(classes=5):
    torch.manual_seed(1)
    return Small(classes).state_dict()


def load(path, training_only=("classifier.",)):
    network = Small()
    load_tensors(network, strip_prefix(read_tensors(path)), path, training_only)
    return network


def test_two_networks_side_by_side(tmp_path):
    path, names = tmp_path / "two.pth", list(tensors())
    torch.save({"first": tensors(), "second": tensors(7), "epoch": 3}, path)
    found = read_tensors(path)
    assert list(found) == [f"{key}.{name}" for key in ("first", "second") for name in names]
    torch.save({"first": tensors(), "optimizer": {"state": {}}}, path)
    with pytest.raises(UserError, match="is not a file of named tensors"):
        read_tensors(path)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: t,
        lambda t: {"state_dict": t, "epoch": 3},
        lambda t: t | {"epoch": 3, "arch": "small"},
        lambda t: {"model": t},
        lambda t: {"net": t},
        lambda t: {"model_state_dict": {"state_dict": t}},
    ],
)
@pytest.mark.parametrize(
    "prefix", ["", "module.", "module.module.", "_orig_mod.", "module._orig_mod.", "model.module."]
)
def test_wrapped_and_prefixed(tmp_path, wrap, prefix):
    torch.save(wrap({prefix + name: tensor for name, tensor in tensors().items()}), tmp_path / "w.pth")
    ours = load(tmp_path / "w.pth").state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in tensors().items())


def test_training_state_of_torchreid_style_savers(tmp_path):
    """Beside the tensors lie a config of a class that is not installed, NumPy numbers and an optimizer's state."""
    sys.modules["yacs"] = module = type(sys)("yacs")
    sys.modules["yacs.config"] = module.config = type(sys)("yacs.config")
    node = type("CfgNode", (dict,), {"__module__": "yacs.config"})
    module.config.CfgNode = node
    state = {
        "state_dict": {f"module.{name}": tensor for name, tensor in tensors().items()},
        "rank1": np.float64(0.9),
        "mAP": np.float32(0.8),
        "config": node(model=node(name="x"), sizes=[256, 128]),
        "optimizer": torch.optim.Adam([nn.Parameter(torch.zeros(1))]).state_dict(),
    }
    torch.save(state, tmp_path / "w.pth.tar")
    del sys.modules["yacs"], sys.modules["yacs.config"]
    assert torch.equal(load(tmp_path / "w.pth.tar").body.weight, tensors()["body.weight"])


def test_another_class_count_and_missing_counters_do_not_matter(tmp_path, caplog):
    others = {name: t for name, t in tensors(classes=9).items() if "num_batches" not in name}
    save_file(others | {"classifier_2.weight": torch.zeros(9, 2)}, tmp_path / "w.safetensors")
    with caplog.at_level(logging.INFO, "pose2id"):
        network = load(tmp_path / "w.safetensors", ("classifier",))
    assert "3 training-only tensors not used (classifier.bias, classifier.weight, classifier_2.weight)" in caplog.text
    assert torch.equal(network.body.weight, others["body.weight"]) and len(network.classifier.weight) == 5


def test_what_matters_is_told_in_one_line(tmp_path):
    wrong = {name: t for name, t in tensors(classes=9).items() if name != "body.bias"} | {"extra": torch.zeros(1)}
    save_file(wrong, tmp_path / "w.safetensors")
    with pytest.raises(UserError) as caught:
        load(tmp_path / "w.safetensors", training_only=())
    assert str(caught.value) == (
        f"{tmp_path / 'w.safetensors'} does not fit, of 9 tensors of Small: 1 missing (body.bias); 2 of another shape "
        "(classifier.bias is (9,), not (5,), classifier.weight is (9, 2), not (5, 2)); 1 unknown (extra); "
        "use a file of this network and size"
    )


@pytest.mark.parametrize("write", ["zip", "old", "safetensors"])
@pytest.mark.parametrize("share", [0, 0.1, 0.3, 0.9])
def test_truncated(tmp_path, write, share):
    path = tmp_path / ("w.safetensors" if write == "safetensors" else "w.pth")
    if write == "safetensors":
        write_safetensors(tensors(), path)
    else:
        torch.save(tensors(), path, _use_new_zipfile_serialization=write == "zip")
    assert read_tensors(path).keys() == tensors().keys()
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match=r"get (the file|it) again"):
        read_tensors(path)


def test_a_download_page_instead_of_the_file(tmp_path):
    (tmp_path / "w.pth").write_text("<!DOCTYPE html><title>Virus scan warning</title>")
    with pytest.raises(UserError, match=r"it starts with b'<!DOCTYPE .*; get the file again"):
        read_tensors(tmp_path / "w.pth")


class Exploit:
    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return Path.touch, (self.victim,)


@pytest.fixture
def exploit(tmp_path):
    """A file of good tensors that makes another file when it is unpickled."""
    torch.save({"state_dict": tensors(), "config": Exploit(tmp_path / "executed")}, tmp_path / "w.pth")
    return tmp_path / "w.pth"


def test_pickles_are_not_executed(exploit):
    with pytest.raises(UserError, match=r"without executing a pickle.*convert-pickle .* --i-trust-this-file"):
        read_tensors(exploit)
    exploit.write_bytes(pickle.dumps(Exploit(exploit.with_name("executed")), protocol=2))
    with pytest.raises(UserError):
        read_tensors(exploit)
    assert not exploit.with_name("executed").exists()


def convert(*arguments):
    convert_pickle.main([str(argument) for argument in arguments])


def test_converter_executes_only_what_is_trusted(exploit):
    with pytest.raises(UserError, match=r"executes code in it.* --i-trust-this-file"):
        convert(exploit)
    assert not exploit.with_name("executed").exists() and not exploit.with_suffix(".safetensors").exists()
    convert(exploit, "--i-trust-this-file")
    assert exploit.with_name("executed").exists()
    written = load_file(exploit.with_suffix(".safetensors"))
    assert written.keys() == tensors().keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in tensors().items())
    with pytest.raises(UserError, match="exists already"):
        convert(exploit, "--i-trust-this-file")
    convert(exploit.rename(exploit.with_name("v.pth.tar")), "--i-trust-this-file")
    assert exploit.with_name("v.safetensors").is_file()


def test_converter_says_what_is_missing(tmp_path):
    with pytest.raises(UserError, match=r"weight file .*w\.pth does not exist"):
        convert(tmp_path / "w.pth", "--i-trust-this-file")
    (tmp_path / "w.pth").write_bytes(b"cno_such_module\nThing\n.")
    with pytest.raises(UserError, match="needs the Python module 'no_such_module'"):
        convert(tmp_path / "w.pth", "--i-trust-this-file")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"These are no weights.\n", r"it starts with b'These are no weights', as no torch file does; give a file"),
        (b"", "it is an empty file; give a file that torch.save wrote"),
        (pickle.dumps({"a": 1}), "; give a file that torch.save wrote, or get it again"),
        (b"\x1f\x8b", "gzip archive: unpack it, and give the file inside$"),
    ],
)
def test_converter_says_what_to_do_about_other_files(tmp_path, content, told):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(UserError, match=told):
        convert(tmp_path / "w.pth", "--i-trust-this-file")


def test_files_are_found_by_all_their_endings(tmp_path):
    with pytest.raises(UserError, match=r"no kpr\.safetensors, \.pth or \.pth\.tar in"):
        find_weights(tmp_path, "kpr")
    for suffix in (".pth.tar", ".pth", ".safetensors"):  # each goes before the last
        (tmp_path / f"kpr{suffix}").touch()
        assert find_weights(tmp_path, "kpr") == tmp_path / f"kpr{suffix}"


BODY = tensors()["body.weight"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (BODY * torch.nan, r"1 with NaN or infinity \(body\.weight\)"),
        (BODY.double() * 1e300, "1 with NaN or infinity"),
        (BODY.long(), r"1 of another type \(body\.weight is torch\.int64, not torch\.float32\)"),
        (BODY.to(torch.complex64), "got complex"),
        (BODY.to_sparse(), "is sparse"),
        (BODY.to("meta"), "meta tensor"),
        (torch.tensor(1.0), r"body\.weight is \(\), not \(2, 3\)"),
        (torch.zeros(1, 1).expand(10**12, 3), "claims"),
    ],
)
def test_tensors_that_are_no_weights(tmp_path, change, told):
    torch.save(tensors() | {"body.weight": change}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=told) as error:
        load(tmp_path / "w.pth")
    assert "w.pth" in str(error.value) and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("content", [{"model": None}, [1], None, {}, torch.ones(3), {5: torch.ones(1)}])
def test_torch_files_that_hold_no_weights(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"not a file of named tensors|named 5, which is no text"):
        read_tensors(tmp_path / "w.pth")


def test_a_checkpoint_of_python_2_is_read_by_the_trusting_converter(tmp_path):
    """A pickle of protocol 2 whose text is bytes that are no UTF-8, as Python 2 writes NumPy's numbers."""
    kind = b"cnumpy\ndtype\n(U\x02f8K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    number = b"cnumpy.core.multiarray\nscalar\n(" + kind + b"U\x08\x00\x00\x00\x00\x00\x00\xf0\xbftR"
    path = tmp_path / "w.pth"
    torch.save({"state_dict": tensors(), "best": "PLACE"}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    place = content.index(b"X\x05\x00\x00\x00PLACE")
    path.write_bytes(content[:place] + number + content[place + 10 :])
    convert(path, "--i-trust-this-file")
    assert load_file(path.with_suffix(".safetensors")).keys() == tensors().keys()


def test_rewritten_files_are_the_same_bytes_every_time(tmp_path):
    write_safetensors(tensors(), tmp_path / "w.safetensors")
    for name in ("a", "b"):
        rewrite(tmp_path / "w.safetensors", tmp_path / f"{name}.pth")
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()
