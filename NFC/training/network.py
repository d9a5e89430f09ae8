"""The network to train: its sizes, what it starts from, and the file that it becomes."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from pose2id.config import read_values
from pose2id.errors import UserError
from pose2id.loop.state import Settings, named_settings
from pose2id.weights import read_tensors, strip_prefix

from ..networks import NETWORKS, assemble, trainable
from ..networks.files import write_network
from ..networks.foreign import timm_backbone
from ..networks.foreign.finetuned import Finetuned
from ..networks.reid_network import ReIDNetwork
from ..networks.sizes import check_numbers, making, try_out
from .data import TrainingSet
from .mutual import Mutual

TIMM = "timm:"
MOST_CAMERAS = 1000  # with an embedding


@dataclass
class NetworkConfig:
    """A network to train: `name` as for `build_extractor`, one of `NETWORKS` or what can be fine-tuned.

    preset: whose sizes it has, where presets know the network. sizes: changes to these, or to the official ones.
    start: a file of the network, or of an ImageNet ViT in timm's names; `timm:NAME` for timm's own ImageNet weights of
    its backbone (downloaded where they are not there yet); None for random weights. What can be fine-tuned brings its
    own weights, and `timm-random:NAME` random ones. camera_embedding: learn an embedding of the cameras of the training
    pictures. mutual: train two of them that learn from each other (`NFC.training.mutual`); the first one is exported.
    """

    name: str = "transreid"
    preset: str = "mini"
    start: str | None = None
    camera_embedding: bool = False
    mutual: bool = False
    sizes: dict[str, Any] = field(default_factory=dict)


def read_sizes(config: NetworkConfig) -> Any:
    """The sizes that `config` describes, with the class count of its preset; `UserError` for what cannot be."""
    kind, own = _kind(config), {}
    if kind is not Finetuned:
        own = asdict(kind.preset_sizes(config.preset))
        if unknown := config.sizes.keys() - own.keys():
            raise UserError(f"network.sizes: {kind.name} has no '{min(unknown)}'; choose among: {', '.join(own)}")
    sizes = read_values(kind.Sizes, own | config.sizes, "network.sizes")
    check_numbers(kind, sizes, "network.sizes")
    return sizes


def _kind(config: NetworkConfig) -> type[ReIDNetwork]:
    return trainable(config.name) if config.name in NETWORKS else Finetuned


def _made(config: NetworkConfig, sizes: Any) -> ReIDNetwork:
    """The network that `config` describes, with other `sizes`; `UserError` for given ones that make none."""
    wrapped = [] if config.name in NETWORKS else [assemble(config.name, config.start), config.name]
    with _making(config):
        return _kind(config)(sizes, *wrapped)


def _making(config: NetworkConfig) -> AbstractContextManager[None]:
    """Where nobody gave sizes, what goes wrong is no fault of theirs."""
    given = ", ".join(f"{name}={value}" for name, value in config.sizes.items())
    return making(config.name, f"network.sizes {given}") if given else nullcontext()


def check_sizes(config: NetworkConfig) -> None:
    """`UserError` for given sizes of which no network can be built, or one that cannot look at pictures of its size."""
    if not config.sizes:
        return
    with torch.random.fork_rng(devices=[]):
        network = _made(config, replace(read_sizes(config), num_classes=2))
        with _making(config):
            try_out(network)


def described(config: NetworkConfig) -> ReIDNetwork:
    """The network that `config` describes, to be asked what it wants: without classifiers and, mostly, weights."""
    with torch.device("meta") if config.name in NETWORKS else nullcontext():
        return _made(config, replace(read_sizes(config), num_classes=0))


def fixed_settings(config: NetworkConfig) -> Settings:
    """What may not change when a run is resumed."""
    sizes = {f"sizes.{name}": value for name, value in config.sizes.items()}
    return named_settings("network", {"name": config.name, "mutual": config.mutual, **sizes})


def build_network(config: NetworkConfig, num_labels: int, pictures: TrainingSet, seed: int) -> ReIDNetwork:
    """The network with classifiers for `num_labels` classes; random weights are those of `seed`.

    What is not trained is frozen. Raises `UserError` for weights that do not fit.
    """
    if config.mutual:
        one = replace(config, mutual=False)
        return Mutual(*(build_network(one, num_labels, pictures, seed + other) for other in (0, 1)))
    network = _create(config, num_labels, pictures, seed)
    if config.start and config.name in NETWORKS:
        start_from(network, config.start)
    network.use_infrared(pictures.infrared)
    for name, parameter in network.named_parameters():
        if name.startswith(network.unused_in_training()):
            parameter.requires_grad_(False)
    return network


def _create(config: NetworkConfig, num_labels: int, pictures: TrainingSet, seed: int) -> ReIDNetwork:
    sizes = replace(read_sizes(config), num_classes=num_labels)
    if config.camera_embedding:
        if not _kind(config).learns_cameras:
            raise UserError(f"network '{config.name}' has no camera embedding; leave out network.camera_embedding")
        if not pictures.cameras:
            raise UserError("nobody noted the cameras of the training pictures; leave out network.camera_embedding")
        cameras = int(pictures.camids.max()) + 1
        if cameras > MOST_CAMERAS:
            raise UserError(f"camera {cameras - 1} is no number to count cameras by; number them from 0")
        sizes = replace(sizes, num_cameras=cameras)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _made(config, sizes)


def start_from(network: ReIDNetwork, start: str) -> None:
    """Load the weights that `NetworkConfig.start` names; heads, classes and cameras need not be in them."""
    if start.startswith(TIMM):
        tensors = timm_backbone.build(start.removeprefix(TIMM), None, random=False).network.state_dict()
    else:
        tensors = strip_prefix(read_tensors(start))
    imagenet = start.startswith(TIMM) or network.is_imagenet(tensors)
    network.start_from(network.from_imagenet(tensors) if imagenet else network.from_official(tensors), start)


def export(network: ReIDNetwork, config: NetworkConfig, folder: Path) -> Path:
    """Write the network's file (float16) in its official names, with a header that says what it is; returns its path.

    Heads, which serve training alone, are in it where the sizes of `config` have classes.
    """
    left_out = () if read_sizes(config).num_classes else network.heads()
    kept = {name: tensor for name, tensor in network.exported().items() if not name.startswith(left_out)}
    path = folder / f"{network.file_stem()}.safetensors"
    write_network(network.to_official(kept), network.name, network.sizes, network.extractor().preprocessing, path)
    return path
