"""CUHK03: 1,467 people by five pairs of cameras, in boxes drawn by hand (labeled) or found (detected); two protocols.

It lies on disks in three forms:

- as released, `cuhk-03.mat` (HDF5): its pictures are taken out when they are first read (`release.py`);
- with the pictures taken out, `<root>/images_{detected,labeled}/1_001_1_01.png` (pair of cameras, person of that pair,
  view, picture);
- for the new protocol also as folders like Market1501's (`new_protocol.py`).

The files of the release may lie in the root or in `cuhk03_release` below it.
"""

from .classic import CLASSIC_OPTIONS, read_cuhk03_classic
from .new_protocol import read_cuhk03
from .release import FORMS

OPTIONS = {"form": FORMS}

__all__ = ["CLASSIC_OPTIONS", "OPTIONS", "read_cuhk03", "read_cuhk03_classic"]
