"""`from ID2 import ID2`, the import of the paper's code."""

from NFC.scoring.identity_density import ID2

__all__ = ["ID2"]
