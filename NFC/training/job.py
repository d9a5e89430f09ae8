"""The job behind `pose2id train-reid`: from a config to the file of a trained network."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pose2id.errors import UserError
from pose2id.loop.loop import Loop
from pose2id.loop.settings import LoopConfig
from pose2id.loop.state import named_settings
from pose2id.settings.registry import read_named

from ..networks import NETWORKS, trainable
from .augmentation import AugmentationConfig
from .batches import Batches
from .data import DataConfig, read_training_set
from .losses import Loss, read_losses
from .network import NetworkConfig, build_network, check_sizes, described, export, fixed_settings
from .objective import ReIDObjective
from .schemes import SCHEMES, Scheme
from .validation import Validation, ValidationConfig


@dataclass
class ReIDTrainConfig:
    """Every setting; each is a key of the YAML file and a key=value override.

    losses: a list of names or {name, weight, the loss's own numbers}, or the short form of `NFC.training.losses`.
    scheme: a name or {name, the scheme's own settings}. `UserError` for losses and schemes that cannot be.
    """

    network: NetworkConfig = field(default_factory=NetworkConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    losses: Any = None  # identity and triplet
    scheme: Any = "supervised"
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        self.read_losses()
        self.read_scheme()

    def read_losses(self) -> dict[str, Loss]:
        """The losses by name."""
        return read_losses(self.losses or {})

    def read_scheme(self) -> tuple[str, Scheme]:
        """The scheme and its name."""
        return read_named(SCHEMES, self.scheme, "scheme")


def check_pairs(network: str, scheme: Scheme) -> None:
    """`UserError` for a network that is trained on pairs, with a scheme that gives none."""
    if network in NETWORKS and trainable(network).trained_on_pairs and not scheme.gives_pairs:
        fitting = " or ".join(name for name, kind in SCHEMES.items() if kind.gives_pairs)
        raise UserError(f"network '{network}' is trained on pairs of pictures; give scheme={fitting}")


def train(config: ReIDTrainConfig) -> None:
    """Train, or go on with, the network that `config` describes; its file lies in `loop.output_dir` then.

    Raises `UserError` for whatever the user can repair.
    """
    losses = config.read_losses()
    scheme_name, scheme = config.read_scheme()
    check_pairs(config.network.name, scheme)
    check_sizes(config.network)
    asked = described(config.network)
    preprocessing = asked.preprocessing()
    pictures = read_training_set(config.data, preprocessing, asked.training_inputs())
    batches = Batches(pictures, config.data, config.augmentation, config.loop.batch_size, preprocessing)
    network = build_network(config.network, scheme.num_labels(pictures), pictures, config.loop.seed)
    validate = Validation(network, config.validation, config.data) if config.loop.validate_every else None
    objective = ReIDObjective(network, losses)
    source = scheme.start(network, batches)
    fixed = (
        fixed_settings(config.network)
        | named_settings("scheme", {"name": scheme_name, **asdict(scheme)})
        | objective.fixed_settings()
    )

    def write(folder: Path) -> None:
        export(network, config.network, folder)

    Loop(objective, source, write, config.loop, validate, fixed, parts={"scheme": source}, validate_together=True).run()
