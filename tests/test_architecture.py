"""The arrow between the two halves: IPG may import NFC, never the reverse."""

import ast
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


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


def test_nfc_never_imports_ipg():
    files = sorted((REPOSITORY / "NFC").rglob("*.py"))
    assert files
    offenders = [str(path.relative_to(REPOSITORY)) for path in files if "IPG" in imported_modules(path)]
    assert offenders == []
