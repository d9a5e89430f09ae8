"""Every option of `pose2id evaluate`, and the rows of the table that they ask for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pose2id.errors import UserError
from pose2id.settings.ranges import BATCH, COUNT, OPTIONAL, POSES, SHARE, WORKERS, Range, check_ranges

from ..chain import Chain, Method
from ..datasets import choose_options
from ..features.extraction import Precision
from ..features.of_dataset import MissingGenerated
from ..matching import KReciprocal
from ..methods import Numbers, build_methods, with_network
from ..networks.body.label_maps import Missing
from ..steps import GeneratedPictures, NeighbourCentralization, QueryExpansion, Side
from .benchmark import benchmark_numbers
from .short_forms import check_numbers_are_used

# Rows of the paper's Table 2: name -> sides of (generated pictures, NFC).
ABLATION: Mapping[str, tuple[Side, Side]] = {
    "Base": (Side.none, Side.none),
    "+NFC": (Side.none, Side.both),
    "+IPG": (Side.both, Side.none),
    "+NFC+IPG": (Side.both, Side.both),
}


RANGES = {
    "eta": Range(-1000, 1000),
    "k1": COUNT,
    "k2": COUNT,
    "expansion": OPTIONAL,
    "alpha": Range(0, 1000),
    "rerank_k1": COUNT,
    "rerank_k2": COUNT,
    "rerank_lambda": SHARE,
    "poses": POSES,
    "batch_size": BATCH,
    "num_workers": WORKERS,
    "distractor": Range(-(2**63), 2**63 - 1),
}


@dataclass
class EvaluateConfig:
    """Every option of `pose2id evaluate`; each is a flag, a key of the YAML file and a key=value override."""

    dataset: str = "market1501"
    root: str | None = None  # folder of the data set
    options: dict[str, Any] = field(default_factory=dict)  # of the data set, such as options.mode=indoor
    features: list[str] | None = None  # two files, query and gallery, instead of an extractor
    labels: list[str] | None = None  # two files with the pids and camids of `features`, if those lack them
    distractor: int | None = None  # with `features` and no root: the pid of gallery pictures that show nobody
    extractor: str = "transreid"
    preset: str = "sd15"
    weights: str | None = None  # extractor weights; by default the preset's own
    picture_size: list[int] | None = None  # height and width, if others than usual and the file does not say them
    keypoints: str | None = None  # of the originals, for networks that know the body: a folder, or keypoints.jsonl
    generated_keypoints: str | None = None  # of the poses of generated pictures: a folder like standard_poses
    parsing: str | None = None  # a folder of label maps, for networks that take some; keypoints: drawn from these
    parsing_classes: str = "pascal"  # of these label maps: pascal, lip or atr
    missing_parsing: Missing = Missing.error  # or skip: nothing is known of the parts in a picture without a label map
    steps: list[Any] = field(default_factory=list)  # methods in their order: nfc, nfc:on=gallery,k1=4, k_reciprocal
    numbers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by method; see `NFC.evaluation.benchmark`
    # Short forms, which stand behind `steps` in this order.
    ipg: Side = Side.none  # generated pictures on none, gallery, query or both
    nfc: Side = Side.none
    eta: float = GeneratedPictures.eta
    reduction: str = GeneratedPictures.reduction  # or mean
    k1: int = NeighbourCentralization.k1
    k2: int = NeighbourCentralization.k2
    expansion: int = 0  # gallery pictures that each query is averaged with; 0 is no query expansion
    alpha: float = QueryExpansion.alpha  # weight similarity**alpha of these; 0 is the plain average
    rerank: bool = False  # k-reciprocal re-ranking
    rerank_k1: int = KReciprocal.k1
    rerank_k2: int = KReciprocal.k2
    rerank_lambda: float = KReciprocal.lambda_value
    affinity: bool = False  # SAAI's affinity inference, on sysu_mm01 and regdb
    poses: int = 8
    missing_generated: MissingGenerated = MissingGenerated.error  # or original: the picture stands in for itself
    ablation: bool = False  # the four rows Base, +NFC, +IPG, +NFC+IPG instead of one row with ipg and nfc
    precision: Precision = Precision.float32  # of the network: float32, bfloat16 or float16
    flip: bool = False  # mean of the features of a picture and of its mirror image
    own_size: bool = False  # pictures keep their proportions, for networks that take them so (dsr)
    batch_size: int = 64
    num_workers: int = 2
    device: str | None = None  # by default a GPU if there is one
    features_dir: str | None = None  # folder where raw features are kept and found again
    save_features: str | None = None  # folder for centralized features
    out: str | None = None  # folder for the report
    page: str | None = None  # HTML file with the table, curves and the queries that gained and lost most

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)

    def resolved(self) -> "EvaluateConfig":
        """With all options of the data set, so that a report says how its trials were drawn; `UserError` as there."""
        return replace(self, options=choose_options(self.dataset, self.options)) if self.root else self

    def rows(self) -> dict[str, Chain]:
        """The rows of the table by name.

        `UserError` for methods and numbers that are unknown or do not go together, for numbers that no row has, and for
        files that cannot be written from what is given.
        """
        check_numbers_are_used(self)
        numbers = benchmark_numbers(self.dataset if self.root else None, self.options, self.numbers)
        if not self.features:  # nobody said which network gave those
            numbers = with_network(numbers, extractor=self.extractor, weights=self.weights, preset=self.preset)
        listed = build_methods(self.steps, numbers)
        sides = ABLATION.values() if self.ablation else [(self.ipg, self.nfc)]
        chains = [Chain.of(*listed, *self._centralization(*side), *self._comparison(numbers)) for side in sides]
        self._check_outputs()
        return dict(zip(ABLATION if self.ablation else [chains[0].label], chains, strict=True))

    def _check_outputs(self) -> None:
        if self.distractor is not None and self.root:
            raise UserError("distractor is for feature files alone: a data set knows its own; leave out distractor")
        if self.page and not self.page.lower().endswith((".html", ".htm")):
            raise UserError(f"page '{self.page}' is no HTML file; give a name that ends in .html")
        if self.page and not self.root:
            raise UserError(
                "page shows pictures, and feature files hold none; give --dataset and --root, such as --dataset custom "
                "and --root TABLE.csv, or leave out page"
            )
        if self.save_features and self.ablation:
            raise UserError("save_features saves the features of one row; leave out ablation, and give ipg and nfc")

    def _centralization(self, ipg: Side, nfc: Side) -> list[Method]:
        generated = GeneratedPictures(on=ipg, eta=self.eta, reduction=self.reduction)
        neighbours = NeighbourCentralization(on=nfc, k1=self.k1, k2=self.k2)
        return [step for step in (generated, neighbours) if step.on is not Side.none]

    def _comparison(self, numbers: Numbers | None) -> list[Method]:
        methods: list[Method] = []
        if self.expansion:
            methods.append(QueryExpansion(self.expansion, self.alpha))
        if self.rerank:
            methods.append(KReciprocal(self.rerank_k1, self.rerank_k2, self.rerank_lambda))
        if self.affinity:
            methods += build_methods(["affinity"], numbers)
        return methods

    @property
    def title(self) -> str:
        options = [f"{name}={value}" for name, value in self.options.items()]
        if self.features:
            return ", ".join([" and ".join(self.features), *([self.dataset, *options] if self.root else [])])
        return ", ".join([self.dataset, *options, f"{self.extractor} ({self.preset})"])
