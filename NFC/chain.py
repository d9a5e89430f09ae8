"""What is done to features before they are ranked: steps that refine them, then a matcher that compares them."""

from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

from pose2id.errors import UserError

from .features.feature_set import FeatureSet
from .features.kinds import Features
from .matching import MATCHERS, Distances, Matcher
from .steps import SPLITS, GeneratedPictures, OneSetStep, Step

Method = Step | Matcher


@dataclass(frozen=True)
class Chain:
    """Steps in their order and the matcher at their end; None is the one that belongs to the kind of features.

    `UserError` where a step that refines each set by itself comes after one that looks at both, and for steps before a
    matcher of features that are not normalised.
    """

    steps: tuple[Step, ...] = ()
    matcher: Matcher | None = None

    def __post_init__(self) -> None:
        if self.raw and self.steps:
            raise UserError(
                f"{self.matcher.name}:normalized=false compares features as they are: leave out {self.steps[0].name}"
            )
        for step, before in zip(self.steps[1:], self.steps, strict=False):
            if isinstance(step, OneSetStep) and not isinstance(before, OneSetStep):
                raise UserError(f"{before.name} looks at query and gallery together: put {step.name} before it")

    @classmethod
    def of(cls, *methods: Method) -> "Chain":
        """Steps and at most one matcher, wherever it stands; `UserError` for a second one."""
        matchers = [method for method in methods if isinstance(method, Matcher)]
        if len(matchers) > 1:
            names = " and ".join(matcher.name for matcher in matchers)
            raise UserError(f"{names} both replace the distances; give one of them")
        return cls(tuple(method for method in methods if isinstance(method, Step)), *matchers)

    @property
    def label(self) -> str:
        """A row's name."""
        return ", ".join(method.label for method in self.methods) or "no steps"

    @property
    def raw(self) -> bool:
        """Whether features are compared as they are given, and not normalised."""
        return self.matcher is not None and self.matcher.raw

    @property
    def methods(self) -> tuple[Method, ...]:
        return self.steps if self.matcher is None else (*self.steps, self.matcher)

    @property
    def fused_splits(self) -> list[str]:
        """The splits ("query", "gallery") whose generated pictures are used."""
        fusing = [step for step in self.steps if isinstance(step, GeneratedPictures)]
        return [split for split in SPLITS if any(step.on.covers(split) for step in fusing)]

    def described(self) -> list[dict[str, Any]]:
        """Each method's name and numbers as plain values; `NFC.methods.build_methods` reads them."""
        return [
            {"name": method.name}
            | {key: value.value if isinstance(value, Enum) else value for key, value in asdict(method).items()}
            for method in self.methods
        ]

    def centralize(self, features: FeatureSet, split: str) -> FeatureSet:
        """One split after the steps that refine it by itself, L2-normalised before the first and after each.

        Where the matcher takes `raw` features they stay as they are.

        Raises `UserError` for a method that is not defined for the kind of features.
        """
        self._require_kind(features.feats)
        refined = features if self.raw else replace(features, feats=features.feats.normalized())
        for step in self.steps:
            refined = step.on_split(refined, split) if isinstance(step, OneSetStep) else refined
        return refined

    def expand(self, query: FeatureSet, gallery: FeatureSet) -> tuple[FeatureSet, FeatureSet]:
        """Centralized sets after the steps that look at both."""
        for step in self.steps:
            query, gallery = (query, gallery) if isinstance(step, OneSetStep) else step.apply(query, gallery)
        return query, gallery

    def match(self, query: FeatureSet, gallery: FeatureSet) -> Distances:
        """(Q, G) distances of two sets that all steps have refined."""
        matcher = self.matcher or MATCHERS[query.feats.matcher]()
        return matcher.distances(query, gallery)

    def _require_kind(self, feats: Features) -> None:
        for method in self.methods:
            if method.kinds and feats.kind not in method.kinds:
                fitting = ", ".join(method.kinds)
                raise UserError(f"{method.name} is defined for {fitting}, not for {feats.kind}; leave it out")
