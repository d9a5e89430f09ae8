"""A cache that was cut is made again, not filled with zeros and learnt from."""

import numpy as np

from IPG.training.encoded import _mapped
from pose2id.reading.numpy_files import fits_npy


def test_arrays_that_were_cut_are_new(tmp_path):
    path = tmp_path / "latents.npy"
    array, new = _mapped(path, (6, 4), np.float16)
    assert new and not array.any()
    array[:] = 1
    array.flush()
    del array
    again, new = _mapped(path, (6, 4), np.float16)
    assert not new and again.all()
    del again
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:20], b"", whole + b"\0"):
        path.write_bytes(content)
        assert not fits_npy(path, (6, 4), np.float16)
        assert _mapped(path, (6, 4), np.float16)[1]
    assert _mapped(path, (6, 5), np.float16)[1] and _mapped(path, (6, 5), np.float32)[1]
