import pytest
import torch

from NFC.networks.blocks.matching_gate import MatchingGate
from NFC.networks.gated_siamese import GatedSiamese, GatedSiameseSizes
from pose2id.errors import UserError
from tests.nfc.networks.learning import TOLERANCE
from tests.nfc.networks.official import error, golden


def filled_gate() -> tuple[MatchingGate, dict[str, torch.Tensor]]:
    expected = golden("stripes_grid/matching_gate")
    gate = MatchingGate(6, 4)
    gate.load_state_dict({n.removeprefix("weight/"): t for n, t in expected.items() if n.startswith("weight/")})
    return gate.eval(), expected


@torch.inference_mode()
def test_golden():
    gate, expected = filled_gate()
    a, b = expected["a"], expected["b"]
    assert error(gate.gate(a, b), expected["gate"]) < TOLERANCE
    assert error(gate.gate(a, a), expected["gate_self"]) < TOLERANCE
    for ours, theirs in zip(gate(a, b), (expected["out_a"], expected["out_b"]), strict=True):
        assert error(ours, theirs) < TOLERANCE


def test_what_holds_of_a_gate():
    gate, expected = filled_gate()
    a, b = expected["a"], expected["b"]
    values = gate.gate(a, b)
    assert (values > 0).all() and (values <= 1).all() and (gate.gate(a, a) == 1).all()
    for first, second in zip(gate(a, b), reversed(gate(b, a)), strict=True):
        assert torch.equal(first, second)
    values.sum().backward()
    assert gate.p.grad.abs().min() > 0


def test_sizes():
    with torch.device("meta"):
        network = GatedSiamese(GatedSiameseSizes())
    assert network.map_shape == (128, 16, 8) and [gate.summary.kernel_size[1] for gate in network.gates] == [8, 4, 2, 1]
    with pytest.raises(UserError, match="a power of 2"):
        GatedSiamese(GatedSiameseSizes(width=48))


@torch.inference_mode()
def test_embeddings_depend_on_the_pair_only_with_gates():
    maps = torch.rand(3, 16, 8, 4)
    for gated in (True, False):
        torch.manual_seed(0)
        network = GatedSiamese(GatedSiameseSizes(64, 32, channels=16, gated=gated)).eval()
        for gate in network.gates if gated else ():
            gate.p.fill_(0.1)
        first, other = (network.embeddings(maps[:1], maps[k : k + 1])[0] for k in (1, 2))
        assert first.shape == (1, 16 * 8) and torch.allclose(first.norm(), torch.ones(()))
        assert torch.equal(first, other) != gated
        scores = network.pair_scores(maps, maps.roll(1, 0))
        torch.testing.assert_close(scores, network.pair_scores(maps.roll(1, 0), maps))
        torch.testing.assert_close(network.pair_scores(maps, maps), torch.zeros(3))
        assert (scores < 0).all()
