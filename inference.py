"""References and poses in, pictures out.

python inference.py --preset mini
python inference.py --ckpt_dir pretrained --ref_dir ref --pose_dir standard_poses --out_dir outputs/sd15
python inference.py --preset mini --dataset market1501 --dataset_dir data/Market-1501
python inference.py --preset mini --dataset sysu_mm01 --dataset_dir data/SYSU-MM01 dataset_options.mode=indoor

Running a command again does what is lacking; with other dataset_options it adds what these need.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from omegaconf import OmegaConf

from IPG.job.run import generate
from IPG.job.settings import GenerationConfig, resolve
from pose2id.config import load_config
from pose2id.devices import this_process
from pose2id.errors import run_command

DEFAULT_CONFIG = Path(__file__).parent / "configs/inference/default.yaml"


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, argument_default=argparse.SUPPRESS
    )
    parser.add_argument("--config", default=DEFAULT_CONFIG, help="YAML file (configs/inference/default.yaml)")
    parser.add_argument("--dry_run", action="store_true", default=False, help="print the resolved config and stop")
    parser.add_argument("--preset", help="sizes of the networks: sd15 or mini (sd15)")
    parser.add_argument("--ckpt_dir", help="folder of weights (pretrained, or pretrained/<preset>)")
    parser.add_argument("--vae", help="picture autoencoder: a diffusers folder or a file (one found in ckpt_dir)")
    parser.add_argument("--pose_dir", help="folder of pose pictures (standard_poses)")
    parser.add_argument("--ref_dir", help="folder of reference pictures (ref)")
    parser.add_argument("--out_dir", help="where canvases and pose{k}/ go (outputs/<preset>)")
    parser.add_argument("--dataset_dir", help="instead: a data set, to fill <folder>_gen/pose{k}/ beside its folders")
    parser.add_argument("--dataset", help="its layout: market1501, sysu_mm01, occluded_reid, ... (market1501)")
    parser.add_argument("--splits", nargs="+", help="of the data set: query, gallery, train (query gallery)")
    parser.add_argument("--steps", type=int, help="denoising steps (20)")
    parser.add_argument("--guidance_scale", type=float, help="1 means conditional only (the preset's own; sd15: 3.5)")
    parser.add_argument("--seed", type=int, help="noise depends on it and the file names (12580)")
    parser.add_argument("--official_noise", action="store_true", help="draw noise in the official script's order")
    parser.add_argument("--batch_size", type=int, help="pictures read, drawn and written in one go (16; GPU: 64)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (cuda where there is one)")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16 (float32 on the CPU, bfloat16 elsewhere)")
    parser.add_argument("--pose_channel_order", help="how pose files store their colours: bgr or rgb (bgr)")
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="settings to change")
    return parser.parse_intermixed_args(arguments)


def main() -> int:
    flags = vars(parse_arguments(sys.argv[1:]))
    path, overrides, dry_run = (flags.pop(name) for name in ("config", "overrides", "dry_run"))
    config = resolve(replace(load_config(GenerationConfig, path, overrides), **flags))
    if dry_run:
        print(OmegaConf.to_yaml(OmegaConf.structured(config)), end="")
        return 0
    failures = generate(config)
    if failures and this_process().is_main_process:
        print(f"{len(failures)} files could not be used:", *failures, sep="\n  ", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    run_command(main)
