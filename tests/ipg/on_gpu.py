"""Run by test_on_gpu.py in a process of its own: pictures drawn on a pretended GPU and on a CPU.

Prints one line of JSON for each setting: what it is, the largest difference of two pictures, of 255, and how many kinds
of calls were recorded as graphs.
"""

import json
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from tests.pretended_gpu import ROOT, pretended_gpu

FOLDER = ROOT / "pretrained" / "mini"
BATCH = 2  # so that a recorded call is replayed with other conditions
SETTINGS = {
    "float32": {},
    "float32, without guidance": {"guidance_scale": 1.0},
    "float32, features kept": {"feature_interval": 2},
    "float32, large batches": {"large": True},
    "bfloat16": {"dtype": torch.bfloat16},
    "two references": {"people": 2},
    "two references, bfloat16": {"people": 2, "dtype": torch.bfloat16},
}


def drawn(
    device: str, people: int = 1, dtype: torch.dtype = torch.float32, large: bool = False, **settings: object
) -> tuple[np.ndarray, int]:
    from IPG import IPGPipeline

    references = [Image.open(ROOT / "ref" / f"visible_{number}.png") for number in (1, 2, 3, 4)]
    references = references[:2] if people == 1 else [references[:2], references[2:]]
    poses = [Image.open(path) for path in sorted((ROOT / "standard_poses").glob("*.png"))[:2]]
    pipe = IPGPipeline.from_pretrained(FOLDER, preset="mini", device=device, dtype=dtype).optimise()
    assert pipe.device.type == device
    pipe.replayed_unet.weights *= 10**6 if large else 1
    sampling = replace(pipe.sampling, steps=3, seed=1, **settings)
    pictures = pipe.generate(references, poses, sampling, batch_size=BATCH)
    values = np.stack([np.asarray(picture, np.float64) for row in pictures for picture in row])
    return values, len(pipe.replayed_unet.recordings)


def main() -> None:
    with pretended_gpu():
        for name, settings in SETTINGS.items():
            try:
                (ours, recorded), (expected, _) = drawn("cuda", **settings), drawn("cpu", **settings)
                difference = float(np.abs(ours - expected).max())
            except Exception as error:
                difference, recorded = f"{type(error).__name__}: {error}", 0
            print(json.dumps([name, difference, recorded]), flush=True)


if __name__ == "__main__":
    main()
