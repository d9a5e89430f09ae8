"""Whose a folder is: a note in it of the settings that its content is made with."""

import json
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
