"""Any network with vector features, fine-tuned: timm's, transformers' and your own, with a neck and a classifier."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from pose2id.errors import UserError

from ..base import Extractor, Preprocessing
from ..blocks.heads import bn_neck, class_scores
from ..reid_network import Branch, Inputs, ReIDNetwork


@dataclass(frozen=True)
class FinetunedSizes:
    """height, width: of the pictures; 0 leaves them as the network has them."""

    height: int = 0
    width: int = 0
    num_classes: int = 0


class Finetuned(ReIDNetwork):
    """A network behind an extractor, with a head of its own; which head is our choice."""

    Sizes = FinetunedSizes
    optional = ("height", "width", "num_classes")

    def __init__(self, sizes: FinetunedSizes, extractor: Extractor, name: str) -> None:
        """name: the extractor's. Programs and part features raise `UserError`."""
        if extractor.program is not None or extractor.layout.kind != "vectors":
            raise UserError(f"network '{name}' cannot be fine-tuned; take a torch module that gives vectors (B, d)")
        super().__init__(sizes)
        self.name = name
        size = {"height": sizes.height or extractor.height, "width": sizes.width or extractor.width}
        extractor.preprocessing = replace(extractor.preprocessing, **size)
        self.wrapped, self.feature_dim = extractor, extractor.feature_dim
        self.bottleneck = bn_neck(self.feature_dim)
        self.classifier = nn.Linear(self.feature_dim, sizes.num_classes, bias=False) if sizes.num_classes else None

    def file_stem(self) -> str:
        return re.sub(r"[^\w.-]+", "_", self.name)

    def preprocessing(self) -> Preprocessing:
        return self.wrapped.preprocessing

    def extractor(self, preprocessing: Preprocessing | None = None) -> Extractor:
        """The wrapped one, whose preprocessing is this network's."""
        return self.wrapped

    def exported(self) -> Mapping[str, Tensor]:
        """Those of the network, in its own names."""
        return self.wrapped.network.state_dict()

    def unused_at_test(self) -> tuple[str, ...]:
        return "bottleneck.", "classifier."

    def use_infrared(self, camids: Collection[int]) -> None:
        self.wrapped.use_infrared(camids)

    def branches(self, inputs: Inputs) -> list[Branch]:
        features = self.wrapped(inputs.pictures, inputs.camids)
        scores = class_scores(self.bottleneck, self.classifier, features) if self.classifier else None
        return [Branch(features, scores)]

    def forward(self, *inputs: object) -> object:
        """As the wrapped extractor's."""
        return self.wrapped(*inputs)
