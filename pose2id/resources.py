"""Where what is shipped lies: configs, small weights, standard poses, example references.

In a checkout they stand at its top, in an installed package in `pose2id/data`.
"""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
INSTALLED = PACKAGE / "data"
SHIPPED = INSTALLED if INSTALLED.is_dir() else PACKAGE.parent

CONFIGS = SHIPPED / "configs"
STANDARD_POSES, EXAMPLES = SHIPPED / "standard_poses", SHIPPED / "ref"


def weights_place() -> Path:
    """Where official weights are looked for: `pretrained/` of the checkout, or of the folder where one works."""
    return Path("pretrained") if SHIPPED == INSTALLED else SHIPPED / "pretrained"


def here_or_shipped(name: str) -> Path:
    """The folder `name` where one works, if there is one, else the one that is shipped."""
    return Path(name) if Path(name).is_dir() else SHIPPED / name
