"""Data sets to be read, damaged and checked."""

from pathlib import Path

import pytest

from tests.nfc.datasets.trees import TREES


def plant(root: Path, files: dict[str, str | bytes | None]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode() if isinstance(content, str) else content or b"")


@pytest.fixture
def tree(tmp_path):
    """Plants the smallest data set of a kind, with files replaced, added, or (False) left out; gives its root."""

    def build(name: str, **changes: str | bytes | bool | None) -> Path:
        files = {path: text for path, text in (TREES[name] | changes).items() if text is not False}
        plant(tmp_path, files)
        return tmp_path

    return build
