"""Feature files as other people write them."""

import numpy as np
import torch
from safetensors.numpy import save_file
from scipy.io import savemat


def arrays(rows: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(rows)
    feats, generated = rng.normal(size=(rows, 4)), rng.normal(size=(rows, 2, 4))
    return {
        "feats": feats.astype(np.float32),
        "pids": np.arange(rows) % 3,
        "camids": np.arange(rows) % 2,
        "generated": generated.astype(np.float32),
    }


def save(path, values):
    """Write `values` in the format that the suffix names."""
    match path.suffix:
        case ".npz":
            np.savez(path, **values)
        case ".npy":
            np.save(path, values["feats"])
        case ".mat":
            savemat(path, values)
        case ".pt":
            torch.save({name: torch.from_numpy(array) for name, array in values.items()}, path)
        case ".safetensors":
            save_file(values, path)
        case ".csv":
            lines = [
                "name,pid,camid",
                *(f"p{i}.jpg,{p},{c}" for i, (p, c) in enumerate(zip(*labels(values), strict=True))),
            ]
            path.write_text("\n".join(lines) + "\n")
    return path


def labels(values):
    return values["pids"], values["camids"]
