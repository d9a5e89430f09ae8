"""Options that nothing would look at are refused, and their defaults are taken for not given."""

import pytest

from NFC.commands.parse import ParseConfig
from pose2id.settings.given import given
from tests.commands import here


def test_what_was_given_differs_from_its_default():
    config = ParseConfig(out="o", options={"mode": "indoor"}, dataset="market1501", batch_size=3)
    assert given(config, ["options", "dataset", "generated", "out"]) == ["out", "options"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("parse --pictures P --generated", "generated goes with root, a data set; give that, or leave out generated"),
        ("parse --pictures P --dataset regdb", "dataset goes with root, a data set"),
        ("parse --pictures P --options mode=indoor", "options goes with root, a data set"),
        ("synthetic --layout market1501 --groups 5", "groups goes with layout=groups; give that, or leave out groups"),
        ("synthetic --layout groups --test_pids 5", "test_pids goes with the layout of a data set"),
        ("synthetic --layout groups --shots 5", "shots goes with the layout of a data set"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry_run"]])
def test_options_that_go_with_another_one(words, told, dry, tmp_path, capsys):
    assert here(*words.split(), "--out", tmp_path / "out", *dry) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {told}") and error.count("\n") == 1 and not (tmp_path / "out").exists()
