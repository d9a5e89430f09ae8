"""Small data sets of the synthetic world, with each picture's person drawn by the same world in other poses."""

from pathlib import Path

import numpy as np
from PIL import Image

from NFC.datasets import Dataset, build_dataset, generated_paths
from NFC.datasets.synthetic import World
from NFC.datasets.synthetic.layouts import LAYOUTS
from NFC.datasets.synthetic.layouts.job import write_jobs
from NFC.datasets.synthetic.pose import draw_pose


def write_drawn(layout: str, root: Path, people: int, poses: int, seed: int = 0, **options) -> Dataset:
    """The data set in `root`, one picture of each of `people` by each of their cameras, and generated pictures."""
    root.mkdir(parents=True)
    jobs = list(LAYOUTS[layout](root, seed, 0, people, shots=1, **options))
    write_jobs(seed, jobs, workers=1)
    views, world = {job.path: job.view for job in jobs}, World(seed)
    dataset = build_dataset(layout, root)
    for record in {*dataset.query, *dataset.gallery}:
        for k, path in enumerate(generated_paths(record, poses)):
            path.parent.mkdir(parents=True, exist_ok=True)
            shot = world.shoot(views[record.path], pose=draw_pose(np.random.default_rng(k)), centred=True)
            Image.fromarray(shot.picture).save(path, quality=95)
    return dataset
