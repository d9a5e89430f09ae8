"""RPP's stages on small pictures: what the induction changes, and parts that keep their order."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from NFC.networks.blocks.part_assignment import rows_of_parts
from NFC.networks.pcb_rpp import PCBRPP, PCBRPPSizes
from NFC.training.augmentation import AugmentationConfig
from NFC.training.batches import Batches, Source
from NFC.training.data import DataConfig, TrainingSet
from NFC.training.losses import read_losses
from NFC.training.objective import ReIDObjective
from NFC.training.schemes.staged import Staged
from tests.nfc.networks.small_training import CAMERAS, people

PEOPLE, SIZE = 24, (64, 32)
SIZES = PCBRPPSizes(*SIZE, "small", parts=4, reduced=32, own_reductions=True, num_classes=PEOPLE)


def training_set() -> TrainingSet:
    pictures, _, camids = people(0, PEOPLE)
    small = interpolate(pictures, SIZE, mode="area").permute(0, 2, 3, 1)
    pixels = ((small + 1) * 127.5).round().byte().numpy()
    return TrainingSet(pixels, np.repeat(np.arange(PEOPLE), CAMERAS), camids.numpy())


def run(network: PCBRPP, source: Source, steps: range) -> None:
    objective = ReIDObjective(network, read_losses([{"name": "identity"}]))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.01)
    for number in steps:
        source.before_step(number)
        generators = [torch.Generator().manual_seed(number)]
        objective(source(generators), generators)[0].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def start(steps: list[int], batch_size: int) -> tuple[PCBRPP, Source]:
    torch.manual_seed(0)
    network = PCBRPP(SIZES)
    config, augmentation = DataConfig(pictures_per_person=2), AugmentationConfig(pad=2, erase=0.0)
    batches = Batches(training_set(), config, augmentation, batch_size, network.preprocessing())
    return network, Staged(steps).start(network, batches)


def test_induction_changes_the_assignment_alone():
    network, source = start([2, 2], 8)
    run(network, source, range(2))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    run(network, source, range(2, 4))
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"refinement.mask.weight", "refinement.mask.bias"}
    run(network, source, range(4, 5))
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed >= {name for name, _ in network.named_parameters()} | {"backbone.0.1.running_mean"}


@pytest.mark.slow
def test_parts_keep_their_order():
    network, source = start([250, 60], 32)
    run(network, source, range(360))
    network.eval()
    pictures = people(100, 16)[0]
    shown = network.preprocessing().normalise((interpolate(pictures, SIZE, mode="area") + 1) / 2)
    with torch.inference_mode():
        assignment = network.assignment(shown)
    rows = rows_of_parts(assignment.mean(0))
    shares = assignment.mean((0, 2, 3))
    print("rows", rows.tolist(), "shares", shares.tolist())
    assert (rows.diff() > 0.5).all()
    assert shares.min() > 0.1
