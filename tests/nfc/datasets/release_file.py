"""`cuhk-03.mat` as MATLAB writes it: cells are references, and all axes are turned around."""

import io
from collections.abc import Sequence

import h5py
import numpy as np

People = Sequence[Sequence[Sequence[np.ndarray | None]]]  # pairs of people of pictures (H, W, 3)


def release_file(forms: dict[str, People], test_sets: Sequence[Sequence[tuple[int, int]]]) -> bytes:
    """Its content; None is an empty cell."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        cells = file.create_group("#refs#")

        def store(value: np.ndarray | None) -> h5py.Reference:
            name = str(len(cells))
            if value is None:
                cells[name] = np.zeros(2, np.uint64)
                cells[name].attrs["MATLAB_empty"] = np.uint8(1)
            else:
                cells[name] = value.T
            return cells[name].ref

        def store_cell(values: np.ndarray) -> np.ndarray:
            return np.array([[store(value) for value in row] for row in values], h5py.ref_dtype)

        for form, pairs in forms.items():
            people = np.empty((1, len(pairs)), object)
            people[0] = [store_cell(table(pair)) for pair in pairs]
            file[form] = store_cell(people).reshape(len(pairs), 1).T
        sets = np.empty((1, len(test_sets)), object)
        sets[0] = [np.array(people, float) for people in test_sets]
        file["testsets"] = store_cell(sets)
    return buffer.getvalue()


def table(people: Sequence[Sequence[np.ndarray | None]]) -> np.ndarray:
    """(people, pictures), of objects."""
    cells = np.empty((len(people), len(people[0])), object)
    for row, pictures in enumerate(people):
        for column, picture in enumerate(pictures):
            cells[row, column] = picture
    return cells
