"""What a comparison is made of, as its YAML file says it."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pose2id.config import load_config
from pose2id.errors import UserError
from pose2id.resources import CONFIGS
from pose2id.settings.ranges import COUNT, SEED, check_ranges

from .bodies import DRAWN, NOTHING, ORDINARY, check_known
from .controls import CONTROLS


@dataclass
class DataRecipe:
    """A synthetic data set: its layout with options, training and test people, how it is read, kinds of queries.

    kinds: `ORDINARY`, and those of `NFC.datasets.partial` that queries are cut to. files: those of another data set are
    read, in another way. seed: of another world than the comparison's. bodies: keypoints and label maps are written.
    """

    layout: str = "market1501"
    train_pids: int = 300
    test_pids: int = 120
    write: dict[str, Any] = field(default_factory=dict)  # options of the layout
    reader: str = ""  # of the data set, where its name is not the layout's
    read: dict[str, Any] = field(default_factory=dict)  # options of the reader
    kinds: list[str] = field(default_factory=lambda: [ORDINARY])
    files: str = ""
    seed: int | None = None
    bodies: bool = False

    @property
    def dataset(self) -> str:
        """The name of its reader in `DATASETS`."""
        return self.reader or self.layout


@dataclass
class Recipe:
    """A network to train: a file of `configs/train/reid` with changes, on the training split of `data`.

    after: the network whose weights it starts from. shipped: the network named `config` is not trained, but taken with
    the weights of this preset. start: the network of the zoo whose shipped weights it starts from. points, parsing: how
    keypoints and label maps of the pictures are known, see `bodies`; parsing may be "keypoints", from which label maps
    are drawn.
    """

    config: str = ""
    changes: list[str] = field(default_factory=list)
    data: str = ""
    after: str = ""
    shipped: str = ""
    start: str = ""
    points: str = ""
    parsing: str = ""

    def __post_init__(self) -> None:
        _check_bodies(self)


@dataclass
class RowRecipe:
    """A row: features of `network`, refined and compared by `steps`.

    features: another network of the zoo that reads its features from the backbone of `network`, of mini size but for
    `sizes`; without one, sizes of `network` that change no weights. numbers: from which to before which of a feature's
    numbers count. points, parsing: as in `Recipe`, at the test; by default as in training, "none" for nothing.
    every: score only each so-manieth query. control: what queries are turned into, one of `controls.CONTROLS`.
    published: figures of the paper, on its data.
    """

    network: str
    steps: list[Any] = field(default_factory=list)
    features: str = ""
    sizes: dict[str, Any] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)
    points: str = ""
    parsing: str = ""
    every: int = 1
    control: str = ""
    published: str = ""

    def __post_init__(self) -> None:
        check_ranges(self, {"every": COUNT}, "row")
        _check_bodies(self)
        if self.control:
            _known("row", "control", self.control, CONTROLS)


@dataclass
class Claim:
    """That `row` exceeds `against` in mAP by at least so many points for each kind of queries, in the mean of seeds."""

    row: str
    against: str
    points: dict[str, float]


@dataclass
class TableRecipe:
    """Rows on one data set, and the claims about them.

    drawings: name of `drawings.DRAWINGS` -> the network whose pictures are drawn. measures: name of `measures.MEASURES`
    -> networks of which it is taken; the data needs `bodies`.
    """

    heading: str
    data: str
    rows: dict[str, RowRecipe]
    claims: list[Claim] = field(default_factory=list)
    metrics: list[str] = field(default_factory=lambda: ["mAP"])
    caption: str = ""
    drawings: dict[str, str] = field(default_factory=dict)
    measures: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Comparison:
    """seed: of the synthetic world. seeds: of the trainings; every figure is a mean over them."""

    seed: int = 4242
    seeds: list[int] = field(default_factory=lambda: [1, 2, 3])
    device: str | None = None
    batch_size: int = 64
    data: dict[str, DataRecipe] = field(default_factory=dict)
    networks: dict[str, Recipe] = field(default_factory=dict)
    tables: dict[str, TableRecipe] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_ranges(self, {"seed": SEED, "batch_size": COUNT})
        for name, table in self.tables.items():
            where = f"table {name}"
            _known(where, "data", table.data, self.data)
            for row in table.rows.values():
                _known(where, "network", row.network, self.networks)
            for network in (*table.drawings.values(), *(own for names in table.measures.values() for own in names)):
                _known(where, "network", network, self.networks)
            for claim in table.claims:
                for row in (claim.row, claim.against):
                    _known(where, "row", row, table.rows)
        for name, data in self.data.items():
            if data.files:
                _known(f"data {name}", "data", data.files, self.data)
        for name, recipe in self.networks.items():
            if recipe.after:
                _known(f"network {name}", "network", recipe.after, self.networks)


def _check_bodies(settings: Recipe | RowRecipe) -> None:
    for known in {settings.points, settings.parsing} - {"", NOTHING, DRAWN}:
        check_known(known)


def _known(where: str, what: str, name: str, known: Mapping[str, Any]) -> None:
    if name not in known:
        raise UserError(f"{where}: unknown {what} '{name}'; choose one of: {', '.join(known)}")


def described(settings: RowRecipe | DataRecipe) -> dict[str, Any]:
    """What of the settings is not as by default: it stays as it is where fields are added."""
    plain = {each.name: each.default if each.default is not MISSING else None for each in fields(settings)}
    return {name: value for name, value in asdict(settings).items() if value and value != plain[name]}


def read_comparison(name: str, config: Path | None, overrides: list[str]) -> Comparison:
    """The comparison `name` as its file, or `config`, describes it; `UserError` for what does not fit together."""
    return load_config(Comparison, config or CONFIGS / "reproduce" / f"{name}.yaml", overrides)
