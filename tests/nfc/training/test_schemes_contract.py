"""What every training scheme keeps to: batches with labels of its classes, and a state that resumes exactly."""

import io
from dataclasses import asdict

import numpy as np
import pytest
import torch

from NFC.networks import Preprocessing
from NFC.networks.pcb_rpp import PCBRPP, PCBRPPSizes
from NFC.networks.reid_network import ReIDNetwork
from NFC.networks.siamese_lstm import SiameseLSTM, SiameseLSTMSizes
from NFC.networks.transreid import TransReID
from NFC.training.augmentation import AugmentationConfig
from NFC.training.batches import Batches, Source
from NFC.training.data import DataConfig, TrainingSet
from NFC.training.schemes import SCHEMES, Scheme
from NFC.training.schemes.staged import Staged
from pose2id.errors import UserError
from pose2id.presets import TransReIDSizes
from pose2id.settings.registry import read_named

PEOPLE, EACH = 6, 4
SIZES = TransReIDSizes(32, 16, 8, 4, dim=8, depth=2, heads=2, num_classes=0, fc_classes=0)


def training_set() -> TrainingSet:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (PEOPLE * EACH, 32, 16, 3), dtype=np.uint8)
    labels, camids = np.repeat(np.arange(PEOPLE), EACH), np.tile(np.arange(EACH), PEOPLE)
    return TrainingSet(pictures, labels, camids)


def plain_network() -> ReIDNetwork:
    torch.manual_seed(0)
    return TransReID(SIZES)


def staged_network() -> ReIDNetwork:
    torch.manual_seed(0)
    return PCBRPP(PCBRPPSizes(32, 16, "small", parts=2, reduced=8, num_classes=PEOPLE))


def pair_network() -> ReIDNetwork:
    torch.manual_seed(0)
    return SiameseLSTM(SiameseLSTMSizes(32, 16))


NETWORKS = {"staged": staged_network, "hard_pairs": pair_network}  # of schemes that not every network can be trained by


def start(scheme: Scheme, network: ReIDNetwork | None = None, **data) -> Source:
    (name,) = [name for name, kind in SCHEMES.items() if kind is type(scheme)]
    config = DataConfig(pictures_per_person=2, **data)
    batches = Batches(training_set(), config, AugmentationConfig(pad=1), 8, Preprocessing(32, 16))
    return scheme.start(network or NETWORKS.get(name, plain_network)(), batches)


@pytest.fixture(params=SCHEMES)
def scheme(request) -> Scheme:
    return SCHEMES[request.param]()


def step(source: Source, number: int) -> dict[str, torch.Tensor]:
    source.before_step(number)
    return source([torch.Generator().manual_seed(number) for _ in range(8)])


def test_batches_have_labels_of_the_schemes_classes(scheme):
    source, classes = start(scheme), scheme.num_labels(training_set())
    for number in range(5):
        batch = step(source, number)
        assert batch["pictures"].shape == (8, 3, 32, 16) and batch["pictures"].dtype == torch.float32
        for name in ("labels", "camids", "rows"):
            assert batch[name].shape == (8,) and batch[name].dtype == torch.int64
        assert batch["generated"].shape == (8,) and batch["generated"].dtype == torch.bool
        assert batch["labels"].min() >= 0 and batch["labels"].max() < classes
        if "pairs" in batch:
            check_pairs(batch)
        else:
            assert len(batch["labels"].unique()) == 4


def check_pairs(batch: dict[str, torch.Tensor]) -> None:
    """Two different pictures each, some of one person and some of two; no picture of the batch is in none."""
    first, second = batch["pairs"].T
    assert batch["pairs"].dtype == torch.int64 and (batch["rows"][first] != batch["rows"][second]).all()
    same = batch["labels"][first] == batch["labels"][second]
    assert same.any() and not same.all()
    assert batch["pairs"].unique().tolist() == list(range(len(batch["labels"])))


def test_a_resumed_source_goes_on_alike(scheme):
    whole, parts = start(scheme), start(scheme)
    straight = [step(whole, number) for number in range(6)]
    for number in range(3):
        step(parts, number)
    content = io.BytesIO()
    torch.save(parts.state_dict(), content)
    content.seek(0)
    resumed = start(scheme)
    resumed.load_state_dict(torch.load(content, weights_only=True))
    for number in range(3, 6):
        batch = step(resumed, number)
        assert all(torch.equal(tensor, straight[number][name]) for name, tensor in batch.items())


def test_settings_are_plain_and_named(scheme):
    fixed = start(scheme).fixed_settings()
    assert fixed["data.pictures_per_person"] == 2 and fixed["augmentation.pad"] == 1
    assert all(isinstance(value, str | int | float) for value in fixed.values())
    assert all(isinstance(value, str | int | float | list) for value in asdict(scheme).values())


def test_other_labels_decide_who_is_drawn():
    source = start(SCHEMES["supervised"]())
    labels = np.where(np.arange(PEOPLE * EACH) < 12, -1, np.arange(PEOPLE * EACH) // 3)
    source.relabel(labels)
    for number in range(5):
        batch = step(source, number)
        assert batch["rows"].min() >= 12 and batch["labels"].tolist() == labels[batch["rows"]].tolist()


@pytest.mark.parametrize(
    ("value", "told"),
    [({"name": "magic"}, "one of: supervised"), ({}, "names nothing"), ({"name": "supervised", "epochs": 3}, "epochs")],
)
def test_schemes_that_cannot_be_are_one_line(value, told):
    with pytest.raises(UserError, match=told):
        read_named(SCHEMES, value, "scheme")


def test_batches_of_any_pictures():
    source = start(SCHEMES["supervised"](), sampler="random")
    batches = [step(source, number) for number in range(20)]
    assert all(len(batch["rows"].unique()) == 8 for batch in batches)
    assert len({len(batch["labels"].unique()) for batch in batches}) > 1
    assert source.fixed_settings()["data.sampler"] == "random"


def learning(network: ReIDNetwork) -> set[str]:
    return {name.split(".")[0] for name, parameter in network.named_parameters() if parameter.requires_grad}


def test_stages_follow_the_steps():
    network = staged_network()
    network.local.classifiers[0].bias.requires_grad_(False)
    source = start(Staged([2, 1]), network)
    everything = {"backbone", "local", "refinement"}
    for number, stage in enumerate(["stripes", "stripes", "induction", "parts", "parts"]):
        network.eval()  # as a validation may leave it
        source.before_step(number)
        assert network.stage.name == stage
        assert learning(network) == ({"refinement"} if stage == "induction" else everything)
        assert not network.local.classifiers[0].bias.requires_grad  # frozen from the start
        assert network.training and network.local.reductions[0].norm.training == (stage != "induction")
    resumed = staged_network()
    start(Staged([2, 1]), resumed).before_step(2)
    assert resumed.stage.name == "induction" and learning(resumed) == {"refinement"}


def test_stages_that_cannot_be_are_one_line():
    with pytest.raises(UserError, match="knows no stages; take the scheme supervised"):
        start(Staged(), plain_network())
    with pytest.raises(UserError, match=r"stages are stripes, induction, parts; give .* 2 numbers, got \[3\]"):
        start(Staged([3]))
    with pytest.raises(UserError, match="below 0"):
        Staged([-1, 3])
