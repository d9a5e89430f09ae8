"""Fetch the official weights into `pretrained/`: five files of Pose2ID and the picture autoencoder.

pose2id download [--out_dir pretrained] [--dry_run]

Downloads resume, revisions are pinned, and huggingface_hub's environment variables (HF_ENDPOINT, HF_TOKEN, proxies,
HF_HUB_OFFLINE) are honoured. Without a network it prints what to download by hand, and where to put it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from pose2id.errors import UserError
from pose2id.settings.flags import parse_command

from ..weights.files import SOURCES, by_hand


@dataclass
class DownloadConfig:
    out_dir: str = "pretrained"


def main(arguments: Sequence[str]) -> None:
    config = parse_command(DownloadConfig, __doc__, arguments, note=lambda config: by_hand(config.out_dir))
    if config is None:
        return
    folder = Path(config.out_dir)
    for source in SOURCES:
        for name in source.files:
            target = folder / source.folder
            if (target / name).is_file():
                print(f"{target / name} is there")
                continue
            try:
                print(hf_hub_download(source.repo, name, revision=source.revision, local_dir=target))
            except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
                print(f"Download these by hand:\n{by_hand(folder)}")
                reason = " ".join(str(error).split("\n")[0].split())
                raise UserError(f"cannot download {name} of {source.repo}: {reason}; see the list above") from error
