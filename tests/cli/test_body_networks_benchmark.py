"""`pose2id bench body-networks` runs, in small, and every network that knows the body has a row."""

import torch

from NFC.benchmarks.body_networks import ROWS, measure, people
from tests.commands import here


def test_networks_beside_their_baselines(capsys):
    flags = ["--only", "foreground", "spreid", "--batch_size", 2, "--repetitions", 1]
    assert here("bench", "body-networks", "--small", *flags) == 0
    lines = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines() if "│" in line]
    rows = {name.strip(): [cell.strip() for cell in cells] for name, *cells in lines}
    assert list(rows) == ["mean over the map", "foreground", "SPReID, backbone alone", "SPReID, with its parser"]
    for name, (*numbers, ratio) in rows.items():
        assert all(float(number.replace(",", "")) > 0 for number in numbers)
        assert (ratio == "") == (ROWS[name].beside is None)
    assert rows["foreground"][0] == rows["mean over the map"][0]
    assert float(rows["SPReID, with its parser"][0]) > 2 * float(rows["SPReID, backbone alone"][0])


def test_a_baseline_is_the_network_without_the_body():
    """Its tensors are among the network's, but for the neck of the network `baseline`."""
    for name, row in ROWS.items():
        if row.beside:
            with torch.device("meta"):
                own, other = (
                    sum(tensor.numel() for tensor in ROWS[key].part(ROWS[key].network(small=False)).parameters())
                    for key in (name, row.beside)
                )
            assert own > 0.999 * other, name


def test_products_are_counted():
    """Two for each weight of a convolution and place of its map, of a network that has little else."""
    network = ROWS["mean over the map"].network(small=True)
    sides: list[int] = []
    for module in network.backbone.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda own, _, out: sides.append(own.weight.numel() * out[0, 0].numel()))
    network(people(network, 1)["pictures"])
    expected = 2 * sum(sides) / 1e9
    assert abs(measure("mean over the map", True, 2, 1).gflop - expected) < 1e-3 * expected


def test_mistakes_are_one_line(capsys):
    assert here("bench", "body-networks", "--only", "pcb") == 2
    assert "no network 'pcb'; choose among: foreground, glad, " in capsys.readouterr().err
    assert here("bench", "body-networks", "--repetitions", 0) == 2
    assert "repetitions is 0; it must be from 1 to " in capsys.readouterr().err
