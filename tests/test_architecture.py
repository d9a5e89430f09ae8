"""The arrows: pose2id is the foundation and imports neither half; IPG may import NFC, never the reverse."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FORBIDDEN = {"pose2id": {"NFC", "IPG", "scripts"}, "NFC": {"IPG", "scripts"}, "IPG": {"scripts"}}
MOST_LINES, MEDIAN_LINES = 300, 100


def imported_modules(path: Path) -> set[str]:
    """Top-level names of every absolute import in a file, wherever it stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            names.update(arg.value.split(".")[0] for arg in node.args if isinstance(arg, ast.Constant))
    return names


def files_of(package: str) -> list[Path]:
    return sorted((REPOSITORY / package).rglob("*.py"))


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_follow_the_arrows(package):
    files = files_of(package)
    assert files
    offenders = {str(path.relative_to(REPOSITORY)): imported_modules(path) & FORBIDDEN[package] for path in files}
    assert {name: modules for name, modules in offenders.items() if modules} == {}


def test_files_are_small():
    lines = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for package in FORBIDDEN for path in files_of(package)
    }
    assert {str(path): count for path, count in lines.items() if count > MOST_LINES} == {}
    assert sorted(lines.values())[len(lines) // 2] < MEDIAN_LINES


def test_documented_earlier_names_are_still_there():
    from ID2 import ID2
    from NFC import NFC
    from NFC.extractors import EXTRACTORS, Preprocessing, build_extractor
    from NFC.extractors.weights import load_tensors, read_tensors, strip_prefix
    from NFC.parts import ID2_parts, NFC_parts, PartFeatures, fuse_generated_parts, part_distances

    earlier = (build_extractor, Preprocessing, load_tensors, read_tensors, strip_prefix, fuse_generated_parts)
    assert all(map(callable, (*earlier, part_distances, PartFeatures)))
    assert NFC_parts is NFC and ID2_parts.__name__ == ID2.__name__ and "transreid" in EXTRACTORS
