"""Training schemes by name."""

from .base import Scheme
from .hard_pairs import HardPairScheme
from .pairs import PairScheme
from .staged import Staged
from .supervised import Supervised

__all__ = ["SCHEMES", "Scheme"]

SCHEMES: dict[str, type[Scheme]] = {
    "supervised": Supervised,
    "staged": Staged,
    "pairs": PairScheme,
    "hard_pairs": HardPairScheme,
}
