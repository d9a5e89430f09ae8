"""What a teacher says of patches, and the losses of the attention that learns it, against the golden figures."""

import pytest
import torch
from torch import Tensor

from NFC.networks.blocks.part_proxies import PartProxies, proxy_logits
from NFC.networks.blocks.patch_teacher import (
    PatchLabels,
    affinity,
    cross_entropies,
    from_label_maps,
    from_stripes,
    kept_patches,
    patch_losses,
    proxy_losses,
    repetition,
)
from pose2id.errors import UserError
from tests.nfc.networks.official import golden

GOLDEN = golden("sap")
PATCH, CLASSES = int(GOLDEN["patch"]), int(GOLDEN["classes"])
NEAR = {"rtol": 1e-6, "atol": 1e-6}


def said(stride: int = PATCH, sharpness: float = 10.0) -> PatchLabels:
    return from_label_maps(GOLDEN["mask"][None], CLASSES, PATCH, stride, sharpness)


def student(name: str) -> Tensor:
    return GOLDEN[f"student_{name}_logits"][None].clone().requires_grad_()


@pytest.mark.parametrize(
    ("name", "given"), [("lam0.625", {}), ("lam1", {"sharpness": 16.0}), ("stride3_lam0.625", {"stride": 3})]
)
def test_labels_of_patches(name, given):
    labels = said(**given).labels[0].double()
    torch.testing.assert_close(labels, GOLDEN[f"m_hat_{name}"], **NEAR)


def test_foreground_and_affinity():
    whole = said()
    assert torch.equal(whole.foreground[0].double(), GOLDEN["foreground_gamma0.5"])
    torch.testing.assert_close(affinity(whole)[0].double(), GOLDEN["A_patch"], **NEAR)
    torch.testing.assert_close(affinity(whole)[0].softmax(1).double(), GOLDEN["A_patch_softmax"], **NEAR)


def test_stripes():
    stripes = from_stripes(2, (8, 4), 6)
    assert torch.equal(stripes.labels[1].double(), GOLDEN["stripes_8x4_6"])
    assert stripes.present.all() and stripes.known.all() and stripes.foreground.eq(1).all()


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_losses(temperature):
    name = f"T{temperature:g}"
    patch = patch_losses(student("patch"), said(), temperature).sum()
    proxy = proxy_losses(student("proxy"), said(), temperature).sum()
    torch.testing.assert_close(patch, GOLDEN[f"L_patch_{name}"], **NEAR)
    torch.testing.assert_close(proxy, GOLDEN[f"L_proxy_{name}"], **NEAR)


def test_losses_of_patches_that_keep_their_supervision():
    kept, logits = GOLDEN["keep"][None], student("proxy")
    proxy = proxy_losses(logits, said(), kept=kept).sum()
    torch.testing.assert_close(
        patch_losses(student("patch"), said(), kept=kept).sum(), GOLDEN["L_patch_T1_keep"], **NEAR
    )
    torch.testing.assert_close(proxy, GOLDEN["L_proxy_T1_keep"], **NEAR)
    proxy.backward()
    assert logits.grad.isfinite().all() and logits.grad[:, :, ~GOLDEN["keep"]].eq(0).all()


def test_gradient_is_student_minus_teacher():
    logits = student("patch")
    patch_losses(logits, said()).sum().backward()
    torch.testing.assert_close(logits.grad[0], GOLDEN["L_patch_T1_grad"], **NEAR)
    small = torch.randn(1, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: cross_entropies(x, torch.rand(1, 3, 4, generator=seeded()), 0.1), (small,)
    )


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_teacher_equal_to_the_student_gives_the_entropy():
    logits = torch.randn(2, 5, 7, generator=seeded())
    entropy = -(logits.softmax(2) * logits.log_softmax(2)).sum(2)
    torch.testing.assert_close(cross_entropies(logits, logits), entropy)
    assert (cross_entropies(logits + torch.randn(2, 5, 7, generator=seeded()) / 3, logits) > entropy).all()


def test_student_logits():
    tokens, given = GOLDEN["tokens"], GOLDEN["Q_proxy"]
    torch.testing.assert_close(proxy_logits(given, tokens[1:] @ GOLDEN["Wk"]), GOLDEN["student_proxy_logits"], **NEAR)
    patch = proxy_logits(tokens @ GOLDEN["Wq"], tokens @ GOLDEN["Wk"])
    torch.testing.assert_close(patch, GOLDEN["student_patch_logits"], **NEAR)


def test_repetition():
    patches = GOLDEN["tokens"][None, 1:]
    torch.testing.assert_close(repetition(patches)[0], GOLDEN["drop_p"], **NEAR)
    torch.testing.assert_close(repetition(patches, printed=True)[0], GOLDEN["drop_p_printed_sum"], **NEAR)


def test_drawn_patches():
    likely = torch.full((400, 10), 0.05)
    likely[:, 3] = 0.55
    torch.manual_seed(0)
    kept = kept_patches(likely, 0.39)
    assert kept.sum(1).eq(7).all() and kept[:, 3].float().mean() < 0.1 < kept[:, 4].float().mean()
    assert kept_patches(likely, 0.0).all() and kept_patches(likely, 0.09).all()
    one = torch.zeros(1, 10).index_fill(1, torch.tensor([2]), 1.0)
    assert kept_patches(one, 0.3).sum() == 7 and not kept_patches(one, 0.3)[0, 2]


def test_all_background_and_unknown_maps_are_defined():
    maps = torch.zeros(3, 32, 16, dtype=torch.int64)
    maps[1] = -1
    maps[2, :4] = -1
    found = from_label_maps(maps, CLASSES, PATCH, PATCH)
    assert found.foreground.eq(0).all() and found.known.tolist() == [True, False, True]
    assert found.present.sum(1).eq(1).all() and torch.equal(found.labels[0], found.labels[2])
    assert patch_losses(torch.zeros(3, 33, 33), found).isfinite().all()
    maps[0, 0, 0] = CLASSES
    with pytest.raises(UserError, match="holds label 7, but the network has 7 classes"):
        from_label_maps(maps, CLASSES, PATCH, PATCH)


@pytest.mark.parametrize("refine", [True, False])
def test_permuting_patches_permutes_everything(refine):
    torch.manual_seed(0)
    proxies, patches, order = PartProxies(CLASSES, 8, refine), torch.randn(1, 32, 8), torch.randperm(32)
    (parts, looks), (same, turned) = proxies(patches), proxies(patches[:, order])
    torch.testing.assert_close(same, parts, rtol=1e-4, atol=1e-5)
    assert len(looks) == 1 + refine
    for look, other in zip(looks, turned, strict=True):
        torch.testing.assert_close(other, look[..., order], rtol=1e-4, atol=1e-5)
    whole = said()
    moved = PatchLabels(whole.labels[:, order], whole.foreground[:, order], whole.present, whole.known)
    torch.testing.assert_close(proxy_losses(looks[0], whole), proxy_losses(looks[0][..., order], moved))
    rows, kept = torch.cat([torch.tensor([0]), 1 + order]), GOLDEN["keep"][None]
    logits = student("patch")
    torch.testing.assert_close(
        patch_losses(logits[:, rows][:, :, rows], moved, kept=kept[:, order]),
        patch_losses(logits, whole, kept=kept)[:, rows],
    )
    torch.testing.assert_close(repetition(patches[:, order]), repetition(patches)[:, order])
