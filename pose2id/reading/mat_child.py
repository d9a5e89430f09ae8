"""The process that reads one MATLAB file: mat_child.py FILE RESULT.npz MEMORY; one line on stderr if it cannot.

It is run as a program, never imported, so that a crash of the library ends it alone.
"""

import sys
import warnings
from zipfile import ZipFile

import numpy as np
from scipy.io import loadmat

CELLS = 10**6
DEPTH = 8
TEXT = "text"  # as `mat_files.py` has it


def collect(name: str, value: object, arrays: dict[str, np.ndarray], depth: int = 0) -> None:
    """Put the numeric arrays of `value` into `arrays`, by name; what is none leaves a name with its kind.

    Text is kept under such a name, and so is a cell array of texts, as one array.
    """
    if len(arrays) > CELLS or depth > DEPTH:
        raise ValueError("it has too many cells")
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiubc":
        arrays[name] = value
    elif isinstance(value, np.ndarray) and value.dtype.kind == "U":
        arrays[f"{name}:{TEXT}"] = value
    elif isinstance(value, np.ndarray) and value.dtype.kind == "O" and value.size and all(map(is_text, value.flat)):
        arrays[f"{name}:{TEXT}"] = np.array([cell.item() for cell in value.flat])
    elif isinstance(value, np.ndarray) and value.dtype.hasobject and value.dtype.names is None:
        for number, cell in enumerate(value.ravel()):
            collect(f"{name}/{number}", cell, arrays, depth + 1)
    else:
        arrays[f"{name}:{type(value).__name__}"] = np.zeros(0)


def is_text(cell: object) -> bool:
    return isinstance(cell, np.ndarray) and cell.dtype.kind == "U" and cell.size == 1


def write(result: str, arrays: dict[str, np.ndarray]) -> None:
    """An .npz file; `np.savez` would take some names for its own arguments."""
    with ZipFile(result, "w", allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def main(path: str, result: str, memory: str) -> int:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        pass  # a system without limits
    warnings.simplefilter("ignore")
    try:
        arrays: dict[str, np.ndarray] = {}
        for name, value in loadmat(path, appendmat=False).items():
            if not name.startswith("__"):
                collect(name, value, arrays)
        write(result, arrays)
    except NotImplementedError:
        print("it is a MATLAB 7.3 file; save it with -v7", file=sys.stderr)
        return 1
    except BaseException as error:  # of damaged files SciPy raises errors of any kind
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        print(f"it is damaged or no MATLAB file ({reason})", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
