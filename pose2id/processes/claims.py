"""Whose a folder is: a note in it of the settings that its content is made with; and that it is not the user's own."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from ..errors import UserError, printable
from ..files import write_text
from ..reading.text import read_json
from .locks import LOCK_FILE


def claim(folder: Path, note: str, settings: Mapping[str, object]) -> None:
    """Note in the file `note` of an empty folder what it is going to hold; nothing to do where that is noted already.

    `UserError` for a folder that is made with other settings or holds anything else.
    """
    path = folder / note
    if path.is_file():
        there = read_json(path, "settings of a data set")
        if there != settings:
            told = printable(folder)
            raise UserError(f"{told} is made with other settings, {there}; name another folder, or empty it")
    elif any(entry.name != LOCK_FILE for entry in folder.iterdir()):
        raise UserError(f"folder {printable(folder)} is not empty; name another, or empty it")
    else:
        write_text(path, json.dumps(settings))


def keep_outside(out: Path, source: Path, name: str = "out") -> None:
    """`UserError` where `out` is `source`, a folder whose pictures are read with all below it, or lies in it.

    name: of the setting that names `out`.
    """
    if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(source)):
        told = f"{name} {printable(out)} lies in the folder of pictures {printable(source)}"
        raise UserError(f"{told}; name another folder")
