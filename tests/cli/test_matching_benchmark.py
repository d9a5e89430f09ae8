"""`pose2id bench matching` runs, in small."""

from tests.commands import here


def test_every_case_equals_the_plain_way(capsys):
    assert here("bench", "matching", "--small") == 0
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if "cpu" in line]
    assert len(rows) == 7 and all(float(row[-2].strip() or 0) < 1e-4 for row in rows)


def test_an_unknown_matcher_is_one_line(capsys):
    assert here("bench", "matching", "--only", "nothing") == 2
    assert "no case of matcher 'nothing'; choose among: dmli, jaccard, pair_network" in capsys.readouterr().err
