"""Fetch the official weights into `pretrained/`: five files of Pose2ID and the picture autoencoder.

python scripts/download_weights.py [--out_dir pretrained] [--dry_run]

Downloads resume, revisions are pinned, and huggingface_hub's environment variables (HF_ENDPOINT, HF_TOKEN, proxies,
HF_HUB_OFFLINE) are honoured. Without a network it prints what to download by hand, and where to put it.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from IPG.weight_files import SOURCES, by_hand
from pose2id.errors import UserError, run_command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out_dir", type=Path, default=Path("pretrained"))
    parser.add_argument("--dry_run", action="store_true", help="print the list and stop")
    args = parser.parse_args()
    if args.dry_run:
        print(by_hand(args.out_dir))
        return
    for source in SOURCES:
        for name in source.files:
            target = args.out_dir / source.folder
            if (target / name).is_file():
                print(f"{target / name} is there")
                continue
            try:
                print(hf_hub_download(source.repo, name, revision=source.revision, local_dir=target))
            except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
                print(f"Download these by hand:\n{by_hand(args.out_dir)}")
                reason = " ".join(str(error).split("\n")[0].split())
                raise UserError(f"cannot download {name} of {source.repo}: {reason}; see the list above") from error


if __name__ == "__main__":
    run_command(main)
