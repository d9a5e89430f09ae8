"""What queries are turned into so that a method has to lose by it: whether it looks at what it is said to."""

from collections.abc import Callable
from dataclasses import replace

from pose2id.errors import UserError

from ...features.feature_set import FeatureSet
from ...features.kinds import StripeFeatures


def upside_down(queries: FeatureSet) -> FeatureSet:
    """The stripes of each query from bottom to top; the feature of the whole picture stays. Others: `UserError`."""
    feats = queries.feats
    if not isinstance(feats, StripeFeatures):
        raise UserError(f"upside_down turns stripes over, and features of kind '{feats.kind}' have none")
    return replace(queries, feats=replace(feats, stripes=feats.stripes.flip(-2)))


CONTROLS: dict[str, Callable[[FeatureSet], FeatureSet]] = {"upside_down": upside_down}
