"""Data sets to be read, damaged and checked."""

from pathlib import Path

import pytest

from tests.nfc.datasets.trees import TREES


def plant(root: Path, files: dict[str, str | None]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text or "", encoding="utf-8")


@pytest.fixture
def tree(tmp_path):
    """Plants the smallest data set of a kind, with files replaced, added, or (False) left out; gives its root."""

    def build(name: str, **changes: str | bool | None) -> Path:
        files = {path: text for path, text in (TREES[name] | changes).items() if text is not False}
        plant(tmp_path, files)
        return tmp_path

    return build
