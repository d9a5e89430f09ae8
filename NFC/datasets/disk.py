"""Looking at a data set on disk: folders, pictures and list files, each checked where it is read."""

from pathlib import Path

from pose2id.errors import UserError, printable
from pose2id.reading import listing
from pose2id.reading import text as reading
from pose2id.reading.files import fault_of
from pose2id.reading.labels import whole_number
from pose2id.reading.listing import is_side_folder, is_utf8, why_not


def require_folder(path: Path, dataset: str) -> Path:
    """`path`, if it is a folder; else one line saying what the data set expects."""
    if not path.is_dir():
        raise UserError(f"{dataset}: folder {path} does not exist; expected the data set's layout under {path.parent}")
    return path


def list_pictures(folder: Path, dataset: str) -> list[Path]:
    """The pictures of a folder, sorted by name; files of other kinds do not count, see `pose2id.reading.listing`.

    `UserError` for a folder that does not exist, and for a name that is no UTF-8.
    """
    found, others = listing.list_pictures(require_folder(folder, dataset))
    for path in others:
        if not is_utf8(path.name):
            raise UserError(f"{dataset}: {printable(path)} {why_not(path)}")
    return sorted(found)


def list_folders(folder: Path, dataset: str) -> list[Path]:
    """The sub-folders of a folder, sorted by name, without hidden ones and those that systems leave behind."""
    return sorted(p for p in require_folder(folder, dataset).iterdir() if p.is_dir() and not is_side_folder(p.name))


def list_people(folder: Path, dataset: str) -> dict[int, Path]:
    """The `<pid>/` sub-folders of a folder, by pid. `UserError` for a name that is no number, or two of one pid."""
    people: dict[int, Path] = {}
    for path in list_folders(folder, dataset):
        pid = parse_pid(path.name, f"{dataset}: the name of folder {path}")
        if pid in people:
            raise UserError(f"{dataset}: folders {people[pid]} and {path} are the same pid; remove or join them")
        people[pid] = path
    return people


def read_text(path: Path, dataset: str) -> str:
    """The text of a file, UTF-8; `UserError` naming the file that is missing or no text."""
    return reading.read_text(path, f"{dataset}: file", "is the data set complete?")


def read_list(path: Path, pictures: Path, dataset: str) -> list[tuple[Path, int]]:
    """The (picture, number) of each line `<path below pictures> <number>` of a list file.

    Paths may be written with backslashes where there is no such file otherwise. `UserError` for a line of another kind,
    a picture that is not on disk, one that is listed twice.
    """
    entries: dict[Path, int] = {}
    for number, line in enumerate(reading.lines_of(read_text(path, dataset)), start=1):
        if not line.strip():
            continue
        where = f"{dataset}: line {number} of {path}"
        fields = line.rsplit(maxsplit=1)
        if len(fields) != 2:
            raise UserError(f"{where} is '{line:.80}'; expected '<picture> <pid>'")
        picture = listed_picture(pictures, fields[0].strip(), where)
        if picture in entries:
            raise UserError(f"{where} names {picture} a second time; remove one of the lines")
        entries[picture] = parse_pid(fields[1], where)
    return list(entries.items())


def listed_picture(folder: Path, name: str, where: str) -> Path:
    """The file `name` below `folder`, which may be written as on Windows; `where` starts the `UserError` for none."""
    path = folder / name
    if not (fault := fault_of(path)):
        return path
    windows = folder / name.replace("\\", "/")
    if "\\" in name and not fault_of(windows):
        return windows
    text = f"{where} names {path!s:.300}, which {fault}; is the data set complete?"
    raise UserError(text.replace("\0", "\\0"))


def parse_pid(text: str, where: str) -> int:
    """A pid from its digits; `where` starts the message of the `UserError` for anything else."""
    if not (text.isascii() and text.isdecimal()):
        raise UserError(f"{where} has the pid '{text:.80}'; expected a whole number")
    return whole_number(text, where)
