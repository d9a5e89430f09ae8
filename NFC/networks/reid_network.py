"""What every network of the zoo offers besides its test feature: sizes, branches to train, official names."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from pose2id.errors import UserError
from pose2id.weights import load_tensors

from ..features.kinds.layout import Layout
from .base import Extractor, Preprocessing
from .body.extractor import BodyExtractor
from .body.inputs import BodyInputs
from .looks import Look, energy_look


@dataclass(frozen=True)
class Inputs:
    """What networks are shown of B pictures: preprocessed, (B, 3, H, W); camids (B,) int64; keypoints (B, 8, H, W).

    pairs: (P, 2) int64, the rows of two pictures each, where batches are of pairs. parsing: (B, H, W) int64 labels of
    the pixels of `pictures`, 0 the background and -1 unknown. heat_maps: (B, 17, h, w), of COCO's joints, from 0 to 1;
    one of zeros is of a joint that nobody knows. points: (B, 18, 3) in pixels of the pictures, see `NFC.networks.body`.
    """

    pictures: Tensor
    camids: Tensor | None = None
    keypoints: Tensor | None = None
    pairs: Tensor | None = None
    parsing: Tensor | None = None
    heat_maps: Tensor | None = None
    points: Tensor | None = None


@dataclass(frozen=True)
class Pairs:
    """What a network says of P pairs of pictures, whose rows in the batch are `rows` (P, 2) int64.

    distances (P,) of its two embeddings; scores (P, 2) of "different" and "same".
    """

    rows: Tensor
    distances: Tensor | None = None
    scores: Tensor | None = None


@dataclass(frozen=True)
class Branch:
    """One output to train; a loss looks at what it needs of it, and leaves alone a branch that lacks that.

    features: (B, d), for losses that compare pictures. scores: (B, classes), of a classifier. weight: in the sum of the
    branches. stripes: (B, H, d), local features from top to bottom that go with the features. target: (B, d), which
    the features shall approach; no gradient flows there. pairs: what is said of pairs of the batch.
    """

    features: Tensor | None = None
    scores: Tensor | None = None
    weight: float = 1.0
    stripes: Tensor | None = None
    target: Tensor | None = None
    pairs: Pairs | None = None


@dataclass(frozen=True)
class Stage:
    """A part of a run of the scheme `staged`, in which only parameters learn that begin with one of `learns`."""

    name: str
    learns: tuple[str, ...] = ("",)  # everything


class ReIDNetwork(nn.Module):
    """A network of the zoo, built from its sizes alone; `forward(pictures, ...)` gives the test feature.

    That is a tensor (B, feature_dim), or `Features` of its `layout`.

    A file of the zoo holds the dataclass `Sizes`, whose defaults are the official ones and whose `num_classes` = 0
    means no classifiers, one subclass, and `build(weights, preset) -> Extractor`.
    """

    name: ClassVar[str]  # in `NETWORKS`
    Sizes: ClassVar[type]
    mini: ClassVar[Mapping[str, Any]] = {}  # sizes of the preset mini that differ from the defaults
    optional: ClassVar[tuple[str, ...]] = ("num_classes", "num_cameras")  # numbers of `Sizes` that may be 0, for none
    learns_cameras: ClassVar[bool] = False  # `Sizes` has `num_cameras`, of a camera embedding
    stages: ClassVar[tuple[Stage, ...]] = ()  # in which it can be trained, one after the other
    trained_on_pairs: ClassVar[bool] = False  # `branches` needs `Inputs.pairs`
    judges_pairs: ClassVar[bool] = False  # what it looks at are two pictures, not one
    layout: Layout = Layout()  # of the test feature
    feature_dim: int
    lacking: Collection[str] = ()  # tensors that its file does not have, as the test feature does not need them

    def __init__(self, sizes: object) -> None:
        super().__init__()
        self.sizes = sizes

    @classmethod
    def file_stem(cls) -> str:
        """Name of its file of weights, without the suffix."""
        return cls.name

    @classmethod
    def preset_sizes(cls, preset: str) -> Any:
        """The sizes to train where nothing else is said: the defaults, with what `mini` changes for that preset."""
        return cls.Sizes(**cls.mini) if preset == "mini" else cls.Sizes()

    @classmethod
    def recognise(cls, tensors: Mapping[str, Tensor], preset: str, path: str | Path) -> object:
        """The sizes of the variant that official `tensors`, which came from `path`, are of; `UserError` for others."""
        raise NotImplementedError

    def from_official(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Official names and layouts -> those of the modules here."""
        return tensors

    def to_official(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The inverse of `from_official`."""
        return tensors

    def preprocessing(self) -> Preprocessing:
        """That of the pictures in training."""
        raise NotImplementedError

    def official_preprocessing(self, preset: str) -> Preprocessing:
        """That of pictures shown to official weights, which do not say it."""
        return self.preprocessing()

    def training_inputs(self) -> BodyInputs:
        """What its batches have to tell of bodies; most networks are told nothing."""
        return BodyInputs()

    def test_inputs(self) -> BodyInputs:
        """What `forward` takes of points and label maps, under their names, and does not need."""
        return BodyInputs()

    def extractor(self, preprocessing: Preprocessing | None = None) -> Extractor:
        told, given = self.test_inputs(), (self, self.feature_dim, preprocessing or self.preprocessing())
        extractor = BodyExtractor(*given, told) if told.names else Extractor(*given)
        extractor.layout = self.layout
        return extractor

    def branches(self, inputs: Inputs) -> list[Branch]:
        """The outputs to train; losses of the first one are logged."""
        raise NotImplementedError

    def outputs(self, inputs: Inputs, labels: Tensor) -> tuple[list[Branch], dict[str, Tensor]]:
        """The branches, and losses of the network's own by name (none here) for pictures with `labels` (B,)."""
        return self.branches(inputs), {}

    def last_map(self, pictures: Tensor) -> Tensor | None:
        """(B, 3, H, W) -> the last map (B, C, h, w) that the feature is made of; None where there is none."""
        return None

    def explain(self, inputs: Inputs) -> list[Look]:
        """What it looks at in one picture (B = 1), see `looks`: here how strongly its last map answers everywhere.

        A network says more by a method of its own. `UserError` where there is nothing to show.
        """
        maps = self.last_map(inputs.pictures)
        if maps is None:
            raise UserError(f"network '{self.name}' has nothing to show")
        return [energy_look(maps[0])]

    def explain_pair(self, inputs: Inputs) -> list[Look]:
        """What it looks at when it compares two pictures (B = 2), the first being the query; most have nothing here."""
        return []

    def unused_at_test(self) -> tuple[str, ...]:
        """Prefixes of the tensors that the test feature does not depend on."""
        return ()

    def heads(self) -> tuple[str, ...]:
        """Prefixes of the tensors that are left out of files for tests alone; a run can start from such a file."""
        return self.unused_at_test()

    def exported(self) -> Mapping[str, Tensor]:
        """The tensors of its file, in our names."""
        return self.state_dict()

    def unused_in_training(self) -> tuple[str, ...]:
        """Prefixes of the parameters that `branches` does not depend on; they are frozen."""
        return ()

    def of_one_data_set(self) -> tuple[str, ...]:
        """Prefixes of the tensors that a file to start from need not hold: classifiers, necks, cameras."""
        return self.unused_at_test()

    def enter(self, stage: Stage) -> None:
        """Be from here on as `stage`, one of `stages`, has it. A network that nobody tells is as in the last one."""

    def use_infrared(self, camids: Collection[int]) -> None:
        """Say which cameras of the training pictures are infrared; most networks do not care."""

    def is_imagenet(self, tensors: Mapping[str, Tensor]) -> bool:
        """Whether a file to start from holds an ImageNet network in timm's names, not one of these networks."""
        return "patch_embed.proj.weight" in tensors

    def from_imagenet(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Tensors of an ImageNet network in timm's names -> those of the modules here, for a start."""
        return tensors

    def start_from(self, tensors: Mapping[str, Tensor], path: str | Path) -> Self:
        """Load `tensors` in our names to start training from; those that do not fit raise `UserError`."""
        load_tensors(self, tensors, path, self.of_one_data_set())
        return self
