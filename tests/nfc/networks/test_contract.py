"""What every network of the registry keeps to: shapes, inputs, mirror images, half precision, files, training."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from NFC.networks import NETWORKS, Extractor, build_extractor, trainable
from NFC.networks.base import NO_CAMERA
from NFC.networks.reid_network import Branch, Inputs, ReIDNetwork
from NFC.training.network import export
from pose2id.errors import UserError
from tests.nfc.networks.test_own_networks import write_exported
from tests.nfc.networks.zoo import (
    CAMERAS,
    CLASSES,
    CONFIGS,
    PROGRAMS,
    RANDOM,
    VARIANTS,
    network_config,
    pictures,
    small_network,
)

BATCH, TOLD = 3, {"keypoints", "points", "parsing"}  # what keypoints are good for


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def network(variant) -> ReIDNetwork:
    return small_network(variant).eval()


@pytest.fixture(scope="module", params=[*VARIANTS, *PROGRAMS])
def extractor(request, tmp_path_factory) -> Extractor:
    if request.param == "file":
        path, _ = write_exported(tmp_path_factory.mktemp("file"), ".pt2")
        return build_extractor("file", path, device="cpu")
    return small_network(request.param).eval().extractor()


def batch_of(extractor: Extractor) -> dict[str, Tensor]:
    samples = [extractor.sample(picture) for picture in pictures(BATCH)]
    batch = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
    return batch | ({"camids": torch.tensor([0, 1, CAMERAS - 1])} if extractor.uses_camids else {})


def test_every_network_has_a_small_config():
    assert NETWORKS.keys() - PROGRAMS <= {path.stem for path in CONFIGS.glob("*.yaml")}
    for name in NETWORKS.keys() - PROGRAMS:
        assert trainable(name).name == name


@torch.no_grad()
def test_features_have_the_declared_shape(extractor):
    batch = batch_of(extractor)
    assert batch["pictures"].shape == (BATCH, 3, extractor.height, extractor.width)
    assert set(batch) <= set(extractor.inputs) <= {"pictures", "camids", "keypoints", "points", "parsing"}
    feats = extractor(**batch)
    assert feats.shape == (BATCH, extractor.feature_dim) and feats.dtype == torch.float32 and feats.isfinite().all()
    assert not torch.allclose(feats[0], feats[1], rtol=1e-3)
    if extractor.layout.kind == "parts":
        (parts,) = extractor.layout.sizes
        assert extractor.feature_dim % parts == 0 and set(feats[:, -parts:].unique().tolist()) <= {0.0, 1.0}
    one = {name: tensor[1:2] for name, tensor in batch.items()}
    torch.testing.assert_close(extractor(**one), feats[1:2], rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_only_declared_inputs_count(extractor):
    shown = batch_of(extractor)["pictures"]
    plain, nowhere = extractor(shown), torch.full((BATCH,), NO_CAMERA)
    torch.testing.assert_close(extractor(shown, nowhere), plain)
    some = extractor(shown, torch.tensor([1, 1, NO_CAMERA]))
    torch.testing.assert_close(some[2:], plain[2:], rtol=1e-4, atol=1e-5)
    if not extractor.uses_camids:
        assert torch.equal(some, plain)
    with pytest.raises(UserError) as error:
        extractor.use_keypoints("nowhere")
    assert ("takes no keypoints" in str(error.value)) == TOLD.isdisjoint(extractor.inputs)
    with pytest.raises(UserError) as error:
        extractor.use_parsing("nowhere")
    assert ("takes no label maps" in str(error.value)) == ("parsing" not in extractor.inputs)


@torch.no_grad()
def test_mirror_images(extractor):
    batch = batch_of(extractor)
    mirrored = extractor.mirror(batch)
    assert torch.equal(mirrored["pictures"], batch["pictures"].flip(-1)) and mirrored.keys() == batch.keys()
    back = extractor.mirror(mirrored)
    assert all(torch.equal(back[name], tensor) for name, tensor in batch.items())
    assert extractor(**mirrored).shape == (BATCH, extractor.feature_dim)


@torch.no_grad()
def test_half_precision_is_finite_and_near(extractor):
    batch = batch_of(extractor)
    with torch.autocast("cpu", torch.bfloat16):
        half = extractor(**batch).float()
    assert half.isfinite().all()
    assert torch.cosine_similarity(half, extractor(**batch), dim=1).min() > 0.98


@torch.no_grad()
def test_what_the_test_feature_does_not_need(network):
    batch = batch_of(network.extractor())
    before = network.extractor()(**batch)
    kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    unused = [name for name in kept if name.startswith(network.unused_at_test()) and kept[name].is_floating_point()]
    network.load_state_dict(kept | {name: torch.full_like(kept[name], 7) for name in unused})
    torch.testing.assert_close(network.extractor()(**batch), before)
    network.load_state_dict(kept)
    assert any("classifier" in name for name in unused) or not any("classifier" in name for name in kept)


@torch.no_grad()
def test_official_names_and_back(network):
    ours = dict(network.exported())
    back = network.from_official(network.to_official(ours))
    assert {name for name in ours.keys() - back.keys() if not name.endswith("relative_position_index")} == set()
    assert all(torch.equal(tensor, ours[name]) for name, tensor in back.items())


@torch.no_grad()
def test_a_written_file_is_the_network(variant, network, tmp_path):
    config = network_config(variant)
    path = export(network, config, tmp_path)
    assert path.suffix == ".safetensors" and len(list(tmp_path.iterdir())) == 1
    for tensor in network.state_dict().values():
        tensor.copy_(tensor.half() if tensor.is_floating_point() else tensor)  # as the file holds them
    rebuilt = build_extractor(config.name, path, config.preset, "cpu")
    original = network.eval().extractor()
    assert rebuilt.preprocessing == original.preprocessing and rebuilt.layout == original.layout
    assert rebuilt.inputs == original.inputs and rebuilt.feature_dim == original.feature_dim
    batch = batch_of(original)
    rebuilt.use_infrared({1})
    torch.testing.assert_close(rebuilt(**batch), original(**batch), rtol=1e-5, atol=1e-6)


def test_training_can_start_from_a_written_file(variant, network, tmp_path):
    config = network_config(variant)
    path = export(network, config, tmp_path)
    again = dict(small_network(variant, start=str(path), seed=9).exported())
    kept = network.of_one_data_set()
    for name, tensor in network.exported().items():
        if tensor.is_floating_point() and not name.startswith(kept) and not name.endswith(RANDOM):
            assert torch.equal(again[name], tensor.half().float()), name


def test_files_that_do_not_fit_are_one_line(variant, network, tmp_path):
    config = network_config(variant)
    path = export(network, config, tmp_path)
    tensors = load_file(path)
    lacking = tmp_path / "lacking.safetensors"
    needed = [n for n in network.to_official(dict(network.exported())) if not n.startswith(network.unused_at_test())]
    needed = [
        name for name in needed if not name.endswith(("num_batches_tracked", "_index")) and "patch_embed" not in name
    ]
    save_file({name: tensor for name, tensor in tensors.items() if name != needed[-1]}, lacking)
    save_file({"fc.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:1000])
    for name in ("lacking", "other", "cut", "nowhere"):
        with pytest.raises(UserError) as error:
            build_extractor(config.name, tmp_path / f"{name}.safetensors", config.preset, "cpu")
        assert "\n" not in str(error.value) and f"{name}.safetensors" in str(error.value)


def of_branch(branch: Branch) -> Tensor:
    """A loss that looks at everything a branch has."""
    classes = torch.arange(6) % CLASSES
    scored = [] if branch.scores is None else [nn.functional.cross_entropy(branch.scores, classes)]
    if branch.pairs is not None and branch.pairs.scores is not None:
        scored.append(nn.functional.cross_entropy(branch.pairs.scores, torch.tensor([0, 1, 0, 1])))
    plain = [branch.features, branch.stripes, branch.pairs and branch.pairs.distances]
    return sum([*scored, *(tensor.square().mean() for tensor in plain if tensor is not None)])


def test_branches_train_what_is_not_frozen(variant):
    network = small_network(variant).train()
    shown = torch.stack([network.preprocessing()(picture) for picture in pictures(6)])
    camids, pairs = torch.tensor([1, 2, 3, 1, 2, 3]), torch.tensor([[0, 1], [2, 3], [4, 5], [0, 3]])
    height, width = shown.shape[2:]
    parsing, joints = torch.randint(5, (6, height, width)), torch.rand(6, 17, height // 2, width // 2)
    points = torch.rand(6, 18, 3) * torch.tensor([width, height, 1])
    inputs = Inputs(shown, camids, pairs=pairs, parsing=parsing, heat_maps=joints, points=points)
    branches, own = network.outputs(inputs, torch.arange(6) % CLASSES)
    for branch in branches:
        assert branch.weight > 0 and (branch.features is None or branch.features.ndim == 2)
        assert branch.scores is None or branch.scores.shape == (6, CLASSES)
        assert branch.pairs is None or torch.equal(branch.pairs.rows, pairs)
        assert branch.target is None or not branch.target.requires_grad
    loss = sum([*(of_branch(branch) for branch in branches), *own.values()])
    loss.backward()
    trained = {name: parameter.grad for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert [name for name, gradient in trained.items() if gradient is None] == []
    assert all(gradient.isfinite().all() for gradient in trained.values())
    assert not any(name.startswith(network.unused_in_training()) for name in trained)
