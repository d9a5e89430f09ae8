"""What is special to maps: their scale stays, their distance is that of rows."""

import pytest
import torch
from torch.nn.functional import normalize

from NFC.features.kinds import Layout, MapFeatures, unflatten
from pose2id.errors import UserError


def maps(*shape: int) -> MapFeatures:
    return MapFeatures(torch.rand(*shape, 3, 4, 2, generator=torch.Generator().manual_seed(1)))


def test_normalising_keeps_them_and_their_vectors_are_of_unit_length():
    features = maps(5)
    assert torch.equal(features.normalized().maps, features.maps)
    expected = normalize(features.maps.mean(3).reshape(5, 12), dim=1)
    torch.testing.assert_close(features.as_vectors(), expected)
    torch.testing.assert_close(features.distance_block(features[:2]), torch.cdist(expected, expected[:2]).double())


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_fused_and_summed_maps_keep_the_scale(reduction):
    own, generated = maps(4), maps(4, 3)
    extra = generated.maps.sum(1) if reduction == "sum" else generated.maps.mean(1)
    weight = 0.5 * (3 if reduction == "sum" else 1)
    fused = own.fuse(generated, 0.5, reduction)
    torch.testing.assert_close(fused.maps, (own.maps + 0.5 * extra) / (1 + weight))
    torch.testing.assert_close(own.fuse(generated, 0.0, reduction).maps, own.maps)
    same = MapFeatures(own.maps[:, None].expand(-1, 3, -1, -1, -1))
    torch.testing.assert_close(own.fuse(same, 2.0, reduction).maps, own.maps)
    summed = own.sums(torch.tensor([[0, 1, 2], [3, 0, -1]]))
    torch.testing.assert_close(summed.maps, torch.stack([own.maps[:3].mean(0), own.maps[[3, 0]].mean(0)]))


@pytest.mark.parametrize("sizes", [(3, 4), (3, 4, 3), (0, 4, 2)])
def test_sizes_that_cannot_be_are_one_line(sizes):
    with pytest.raises(UserError, match="do not hold maps of") as error:
        unflatten(maps(2).flatten(), Layout("maps", sizes))
    assert "\n" not in str(error.value)
