"""References and poses in, pictures out.

pose2id generate --preset mini
pose2id generate --ckpt_dir pretrained --ref_dir ref --pose_dir standard_poses --out_dir outputs/sd15
pose2id generate --preset mini --dataset market1501 --dataset_dir data/Market-1501
pose2id generate --preset mini --dataset sysu_mm01 --dataset_dir data/SYSU-MM01 dataset_options.mode=indoor

Running a command again does what is lacking; with other dataset_options it adds what these need.
"""

import sys
from collections.abc import Sequence

from pose2id.devices import this_process
from pose2id.resources import CONFIGS
from pose2id.settings.flags import parse_command

from ..job.run import generate
from ..job.settings import GenerationConfig, resolve


def main(arguments: Sequence[str]) -> int:
    config = parse_command(
        GenerationConfig, __doc__, arguments, CONFIGS / "inference" / "default.yaml", resolve=resolve
    )
    if config is None:
        return 0
    failures = generate(config)
    if failures and this_process().is_main_process:
        print(f"{len(failures)} files could not be used:", *failures, sep="\n  ", file=sys.stderr)
    return 1 if failures else 0
