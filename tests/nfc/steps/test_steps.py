"""What every entry of `STEPS` has to keep, on every kind of features it is defined for."""

from dataclasses import fields, replace

import pytest
import torch

from NFC.chain import Chain
from NFC.features.kinds import KINDS
from NFC.methods import build_methods
from NFC.steps import SPLITS, STEPS, OneSetStep, Side
from pose2id.errors import UserError
from tests.nfc.examples import example_set

CASES = [(name, kind) for name, step in STEPS.items() for kind in step.kinds or KINDS]


def refined(step, query, gallery):
    chain = Chain.of(step)
    sets = chain.centralize(query, "query"), chain.centralize(gallery, "gallery")
    return chain.expand(*sets)


@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_samples_stay_who_they_are_and_of_unit_length(name, kind, dtype):
    (step,) = build_methods([name])
    query, gallery = example_set(kind, 8, 1, dtype), example_set(kind, 11, 2, dtype)
    for before, after in zip((query, gallery), refined(step, query, gallery), strict=True):
        assert len(after) == len(before) and after.feats.layout == before.feats.layout
        assert torch.equal(after.pids, before.pids) and torch.equal(after.camids, before.camids)
        assert after.feats.flatten().isfinite().all() and after.feats.flatten().dtype == dtype
        unit, again = after.feats.flatten(), after.feats.normalized().flatten()
        torch.testing.assert_close(unit, again, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_one_sample_on_each_side(name, kind):
    (step,) = build_methods([name])
    query, gallery = refined(step, example_set(kind, 1, 1), example_set(kind, 1, 2))
    assert len(query) == len(gallery) == 1 and query.feats.flatten().isfinite().all()


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_labels_are_not_looked_at(name, kind):
    (step,) = build_methods([name])
    query, gallery = example_set(kind, 8, 1), example_set(kind, 11, 2)
    blind = [replace(features, pids=torch.zeros_like(features.pids)) for features in (query, gallery)]
    for seen, unseen in zip(refined(step, query, gallery), refined(step, *blind), strict=True):
        assert torch.equal(seen.feats.flatten(), unseen.feats.flatten())


@pytest.mark.parametrize("name", [name for name, step in STEPS.items() if issubclass(step, OneSetStep)])
@pytest.mark.parametrize("side", Side)
def test_a_set_is_refined_where_the_step_is_on_it(name, side):
    (step,) = build_methods([{"name": name, "on": side.value}])
    sets = [example_set("vectors", 9, seed) for seed in (1, 2)]
    for split, features in zip(SPLITS, sets, strict=True):
        plain, after = (chain.centralize(features, split).feats.flatten() for chain in (Chain(), Chain.of(step)))
        assert torch.equal(plain, after) != side.covers(split)


@pytest.mark.parametrize("name", STEPS)
def test_it_is_documented_named_and_frozen(name):
    step = STEPS[name]
    assert step.name == name and step.__doc__ and set(step.kinds) <= KINDS.keys()
    (built,) = build_methods([name])
    assert built.label and hash(built) == hash(step(**{f.name: getattr(built, f.name) for f in fields(step)}))


@pytest.mark.parametrize("name", [name for name, step in STEPS.items() if step.kinds])
def test_another_kind_is_refused_in_one_line(name):
    (step,) = build_methods([name])
    for kind in KINDS.keys() - set(step.kinds):
        with pytest.raises(UserError, match=f"{name} is defined for .* not for {kind}; leave it out"):
            Chain.of(step).centralize(example_set(kind, 4), "query")
