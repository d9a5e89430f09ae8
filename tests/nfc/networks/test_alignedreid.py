"""AlignedReID++ and AlignedReID against their contracts."""

import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from NFC.features.kinds import StripeFeatures, unflatten
from NFC.networks import build_extractor
from NFC.networks.alignedreid import AlignedReID, AlignedReIDSizes
from NFC.networks.alignedreid_v1 import AlignedReIDV1, AlignedReIDV1Sizes
from NFC.networks.files import build_from_tensors
from NFC.networks.reid_network import Inputs
from pose2id.errors import UserError
from tests.golden.recipe import uniform
from tests.nfc.networks.official import checkpoint, error, golden, manifest, shapes

TOLERANCE = 2e-5
# Statistics of a batch of two magnify rounding: the official float32 figures stand 7.3e-5 from the exact ones.
TRAINING_TOLERANCE = 1e-4
KINDS = {"alignedreid": AlignedReID, "alignedreid_v1": AlignedReIDV1}
CLASSES = 751


def translated(stem):
    """An official file in our names, for a network with its classifier."""
    network = KINDS[stem](KINDS[stem].Sizes(num_classes=CLASSES))
    network.load_state_dict(network.from_official(checkpoint(f"stripes_grid/{stem}")))
    return network


@pytest.mark.parametrize("stem", KINDS)
def test_names_and_shapes_are_those_of_the_official_file(stem):
    official = manifest(f"stripes_grid/{stem}")
    with torch.device("meta"):
        network = KINDS[stem](KINDS[stem].Sizes(num_classes=CLASSES))
        extractor = build_from_tensors(KINDS[stem], official, "official.pth")
    assert shapes(network.to_official(network.state_dict())) == shapes(official) and len(official) == 327
    assert (extractor.height, extractor.width, extractor.layout.kind) == (256, 128, "stripes")
    assert extractor.layout.sizes == {"alignedreid": (8, 2048), "alignedreid_v1": (8, 128)}[stem]


@pytest.mark.slow
@torch.inference_mode()
def test_golden():
    expected, pictures = golden("stripes_grid/alignedreid"), uniform(1, -1, 1, (2, 3, 256, 128))
    tensors = checkpoint("stripes_grid/alignedreid", lambda name: not name.startswith(("bn.", "conv1.", "classifier.")))
    extractor = build_from_tensors(AlignedReID, tensors, "official.pth").eval()
    features = unflatten(extractor(pictures), extractor.layout)
    assert error(features.whole, expected["global_feat"]) < TOLERANCE
    assert error(features.stripes.mT, expected["local_feat"]) < TOLERANCE
    assert error(features.normalized().stripes.mT, expected["local_feat"]) < TOLERANCE

    network = translated("alignedreid").eval()
    (branch,) = network.branches(Inputs(pictures))
    assert error(branch.stripes.mT, expected["train_head_local_eval_bn"]) < TOLERANCE
    (branch,) = network.train().branches(Inputs(pictures))
    assert error(branch.scores, expected["train_logits"]) < TRAINING_TOLERANCE
    network = translated("alignedreid").double().train()
    network.classifier = None
    (branch,) = network.branches(Inputs(pictures.double()))
    assert error(branch.features, expected["train_global"]) < TRAINING_TOLERANCE
    assert error(branch.stripes.mT, expected["train_local"]) < TRAINING_TOLERANCE


@pytest.mark.slow
@torch.inference_mode()
def test_alignedreid_by_its_steps():
    network, pictures = translated("alignedreid_v1").eval(), uniform(1, -1, 1, (2, 3, 256, 128))
    tensors, last = checkpoint("stripes_grid/alignedreid_v1"), network.backbone(pictures)
    assert last.shape == (2, 2048, 8, 4)
    rows = last.mean(3).mT @ tensors["local_conv.weight"][:, :, 0, 0].T + tensors["local_conv.bias"]
    scale = tensors["local_bn.weight"] / (tensors["local_bn.running_var"] + 1e-5).sqrt()
    rows = ((rows - tensors["local_bn.running_mean"]) * scale + tensors["local_bn.bias"]).clamp(min=0)
    features = network(pictures)
    torch.testing.assert_close(features.whole, last.flatten(2).mean(2))
    torch.testing.assert_close(features.stripes, rows, rtol=1e-4, atol=1e-4)
    assert (features.stripes.norm(dim=2) - 1).abs().max() > 0.1, "not normalised inside"
    network.sizes = AlignedReIDV1Sizes(normalize=False)
    (plain,) = network.branches(Inputs(pictures))
    assert torch.equal(plain.features, features.whole) and torch.equal(plain.stripes, features.stripes)
    network.sizes = AlignedReIDV1Sizes()
    (unit,) = network.branches(Inputs(pictures))
    torch.testing.assert_close(unit.features, normalize(features.whole))
    torch.testing.assert_close(unit.stripes, normalize(features.stripes, dim=2))
    torch.testing.assert_close(unit.scores, features.whole @ tensors["fc.weight"].T + tensors["fc.bias"])


@torch.inference_mode()
def test_what_is_compared_at_test_is_not_what_the_local_loss_trains():
    torch.manual_seed(0)
    network = AlignedReID(AlignedReIDSizes(64, 32, "small", 1, num_classes=3, local_dim=8)).eval()
    pictures = torch.rand(2, 3, 64, 32)
    features, (branch,) = network(pictures), network.branches(Inputs(pictures))
    assert isinstance(features, StripeFeatures) and torch.equal(features.whole, branch.features)
    assert features.stripes.shape == (2, 8, 160) and branch.stripes.shape == (2, 8, 8)
    torch.testing.assert_close(features.stripes, normalize(network.backbone(pictures).amax(3).mT, dim=2))
    torch.testing.assert_close(branch.stripes.norm(dim=2), torch.ones(2, 8))


@pytest.mark.parametrize(
    ("stem", "name"), [("alignedreid", "alignedreid"), ("alignedreid_v1", "alignedreid_v1_scpnet")]
)
def test_preprocessing_equals_the_official_pipeline(stem, name):
    stored = golden("stripes_grid/preprocess_lecture1")
    with torch.device("meta"):
        extractor = build_from_tensors(KINDS[stem], manifest(f"stripes_grid/{stem}"), "official.pth")
    for source in "ab":
        tensor = extractor.preprocess(Image.fromarray(stored[f"source_{source}"].numpy()))
        torch.testing.assert_close(tensor[:, 3::8, 2::8], stored[f"{name}/{source}"], rtol=0, atol=1e-6)
        torch.testing.assert_close(tensor.mean((1, 2)), stored[f"{name}/{source}_mean"], rtol=0, atol=1e-4)


@pytest.mark.slow
def test_a_checkpoint_as_its_training_script_writes_it(tmp_path):
    tensors = checkpoint("stripes_grid/alignedreid")
    tensors["classifier.weight"], tensors["classifier.bias"] = torch.zeros(1041, 2048), torch.zeros(1041)
    tensors = {f"module.{name}": tensor for name, tensor in tensors.items() if not name.endswith("batches_tracked")}
    path = tmp_path / "checkpoint_ep300.pth.tar"
    torch.save({"state_dict": tensors, "rank1": 0.9, "epoch": 300}, path)
    extractor = build_extractor("alignedreid", path, device="cpu")
    assert torch.equal(extractor.network.backbone.conv1.weight, tensors["module.base.0.weight"])
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"checkpoint_ep300\.pth\.tar"):
        build_extractor("alignedreid", path, device="cpu")


@pytest.mark.parametrize("stem", KINDS)
def test_a_file_of_another_network_is_named(stem):
    with pytest.raises(UserError, match=r"x\.pth does not fit: it lacks base\."):
        build_from_tensors(KINDS[stem], {"conv1.weight": torch.zeros(3)}, "x.pth")
    with pytest.raises(UserError, match=r"x\.pth does not fit"):
        other = manifest(f"stripes_grid/{({*KINDS} - {stem}).pop()}")
        build_from_tensors(KINDS[stem], other, "x.pth")
