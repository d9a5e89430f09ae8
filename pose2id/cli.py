"""The one command: `pose2id generate`, `pose2id evaluate` and so on. Nothing heavy is imported before it is needed."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from .errors import UserError, run_command


@dataclass(frozen=True)
class Command:
    """`module`, with `main(arguments) -> exit code or None`, and what it does in a few words."""

    module: str
    summary: str


COMMANDS: dict[str, Command] = {
    "generate": Command("IPG.commands.generate", "draw the people of pictures in other poses"),
    "embed": Command("NFC.commands.embed", "features of pictures, into a file"),
    "centralize": Command("NFC.commands.centralize", "features in, centralized features out, with or without labels"),
    "conflicts": Command("NFC.commands.conflicts", "which patterns of sets never go together, from training features"),
    "explain": Command("NFC.commands.explain", "what a network looks at in pictures, drawn over them"),
    "evaluate": Command("NFC.commands.evaluate", "score features with and without centralization"),
    "train": Command("IPG.commands.train", "train the generator"),
    "train-reid": Command("NFC.commands.train_reid", "train a ReID network"),
    "train-parser": Command("NFC.commands.train_parser", "train the small network of body parts"),
    "train-vae": Command("IPG.commands.train_vae", "train the small picture autoencoder"),
    "poses prepare": Command("IPG.commands.poses_prepare", "keypoints and pose pictures of a data set or folder"),
    "poses select": Command("IPG.commands.poses_select", "poses that stand for all of a data set"),
    "poses train": Command("IPG.commands.poses_train", "train the small pose estimator"),
    "score-generated": Command("IPG.commands.score_generated", "do generated pictures find the right person?"),
    "reproduce": Command("IPG.commands.reproduce", "the paper's tables and figures"),
    "download": Command("IPG.commands.download", "fetch the official weights"),
    "convert": Command("pose2id.commands.convert", "weight files from .pth to .safetensors, or back"),
    "convert-pickle": Command("pose2id.commands.convert_pickle", "the same for a file that has to be executed"),
    "synthetic": Command("NFC.commands.synthetic", "write synthetic data sets"),
    "parse": Command("NFC.commands.parse", "the body part of every pixel, as label maps"),
    "partial-queries": Command("NFC.commands.partial_queries", "a data set once more, with partial or loose queries"),
    "plot-losses": Command("NFC.commands.plot_losses", "curves of training runs"),
    "bench nfc": Command("NFC.benchmarks.nfc", "NFC, ranking and re-ranking against plain implementations"),
    "bench matching": Command(
        "NFC.benchmarks.matching", "matchers of local features: seconds and memory for all pairs"
    ),
    "bench extractors": Command("NFC.benchmarks.extractors", "pictures a second of every ReID network"),
    "bench body-networks": Command(
        "NFC.benchmarks.body_networks", "networks that know the body beside the same without it"
    ),
    "bench reid-training": Command(
        "NFC.benchmarks.reid_training", "mAP of every ReID network before and after training"
    ),
    "bench parser": Command("NFC.benchmarks.parser", "quality of label maps on three unseen worlds, and their speed"),
    "bench ipg": Command("IPG.benchmarks.ipg", "full-size generation against the official order of work"),
    "bench gpu": Command("IPG.benchmarks.gpu", "generation on a GPU, setting by setting"),
    "bench counts": Command("IPG.benchmarks.counts", "what a denoising call asks of a GPU, counted without one"),
    "bench gpu-check": Command("IPG.benchmarks.gpu_check", "all that a GPU is for, against the plain way, in minutes"),
    "bench quality": Command("IPG.benchmarks.quality", "what faster settings cost in quality"),
    "bench training": Command("IPG.benchmarks.training", "memory and speed of training steps"),
    "bench mini": Command("IPG.benchmarks.mini", "the small networks on people of three unseen worlds"),
    "bench variants": Command("IPG.benchmarks.variants", "student and several references beside the teacher and one"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave the process with its exit code."""
    run_command(lambda: dispatch(sys.argv[1:] if arguments is None else list(arguments)))


def dispatch(arguments: list[str]) -> int | None:
    """The exit code of the command that `arguments` begin with; without one, the list of commands is printed."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"pose2id {version('pose2id')}")
        return 0
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in COMMANDS:
            sys.argv[0] = f"pose2id {name}"  # what `--help` of the command calls it
            return import_module(COMMANDS[name].module).main(arguments[words:])
    group = [name for name in COMMANDS if name.startswith(f"{arguments[0]} ")]
    raise UserError(f"unknown command '{' '.join(arguments[:1])}'; choose one of: {', '.join(group or COMMANDS)}")


def usage() -> str:
    """The commands, a line each."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: pose2id COMMAND [--help] ...", "", *lines])
