"""What tables say of how a data set was read, and the keypoints that networks of theirs are prompted with."""

import logging
from pathlib import Path

import pytest

from NFC.experiments import world as worlds
from NFC.experiments.tables import table10
from NFC.experiments.world import DataSource, NetworkSource, Sources, World
from tests.nfc.toy import MeanColour, write_generated, write_market


class Prompted(MeanColour):
    """It remembers the place of its prompts."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs, self.places = ("pictures", "keypoints"), []

    def sample(self, picture, path=None):
        return super().sample(picture, path) | {"keypoints": self.preprocess(picture)}

    def use_keypoints(self, folder: str | Path) -> None:
        self.places.append(str(folder))


@pytest.mark.parametrize("place", ["prompts", None])
def test_networks_are_prompted_with_the_keypoints_of_a_data_set(place, tmp_path, monkeypatch, caplog):
    root, network = write_market(tmp_path / "market"), Prompted()
    write_generated(root, poses=1)
    monkeypatch.setattr(worlds, "build_extractor", lambda *_: network)
    sources = Sources(
        {"market1501": DataSource("market1501", str(root), keypoints=place)},
        {"kpr": NetworkSource("kpr")},
        num_workers=0,
        poses=1,
    )
    with caplog.at_level(logging.WARNING):
        World("real", sources, tmp_path / "features").bench("market1501", "kpr")
    assert network.places == ([place] if place else [])
    assert ("give data set market1501 `keypoints`" in caplog.text) == (place is None)


def test_a_table_says_how_galleries_were_drawn(tmp_path):
    root = str(tmp_path / "nowhere")
    sources = Sources(
        {
            "sysu_all": DataSource("sysu_mm01", root),
            "sysu_indoor": DataSource("sysu_mm01", root, {"mode": "indoor", "draw": "official"}),
        }
    )
    caption = table10(World("real", sources, tmp_path)).table.caption
    assert caption == "sysu_all: mode=all, shots=1, draw=random; sysu_indoor: mode=indoor, shots=1, draw=official"
