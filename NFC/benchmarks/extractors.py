"""Speed of the ReID networks at full size, with random weights: pictures a second and peak memory.

pose2id bench extractors [--only saai kpr] [--batch_size 8] [--repetitions 3]

Preprocessed pictures to features, in float32 and bfloat16 (by autocast, as evaluate.py does), on the CPU and on a GPU
if there is one. Each figure is the fastest of some repetitions after one to warm up, in a process of its own; memory is
the process's on the CPU, the allocated one on a GPU.
"""

import resource
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from pose2id.errors import UserError
from pose2id.settings.flags import parse_command

from ..networks import trainable

WIDTH = 120  # of the table, also where there is no terminal


@dataclass(frozen=True)
class Variant:
    """A network of the registry, with changes to its official sizes."""

    extractor: str
    sizes: dict[str, object] = field(default_factory=dict)

    def build(self) -> nn.Module:
        network = trainable(self.extractor)
        return network(network.Sizes(**self.sizes, num_classes=0)).extractor()


SOLIDER = {"backbone": "solider", "height": 384, "window": 7}
SFR = {"dialect": "sfr", "width": 192, "backbone": "resnet50", "windows": [3, 6, 9, 12, 0], "stride": 3}
VARIANTS = {
    "TransReID, ViT-B, stride 12": Variant("transreid"),
    "CLIP-ReID, ViT-B, stride 16": Variant("clipreid"),
    "CLIP-ReID, ViT-B, stride 12 (SIE-OLP)": Variant("clipreid", {"stride": 12}),
    "CLIP-ReID, RN50": Variant("clipreid", {"encoder": "resnet", "projection": 1024}),
    "PMT, ViT-B, stride 12": Variant("pmt"),
    "SAAI": Variant("saai"),
    "BPBReID, 5 parts": Variant("bpbreid"),
    "KPR, ImageNet (Swin v2)": Variant("kpr"),
    "KPR, SOLIDER": Variant("kpr", SOLIDER),
    "PCB": Variant("pcb"),
    "PCB, layumi's (two passes)": Variant("pcb", {"dialect": "layumi", "width": 192}),
    "PCB with RPP": Variant("pcb_rpp"),
    "ICNN": Variant("icnn"),
    "SCPNet": Variant("scpnet"),
    "Siamese LSTM": Variant("siamese_lstm"),
    "Gated Siamese CNN, maps": Variant("gated_siamese"),
    "IDLA, maps": Variant("idla"),
    "PersonNet, maps": Variant("personnet"),
    "AlignedReID++": Variant("alignedreid"),
    "AlignedReID": Variant("alignedreid_v1"),
    "DSR, 110 columns": Variant("dsr"),
    "DSR, 71 columns (SFR)": Variant("dsr", SFR),
    "SAP, ViT-B, stride 16": Variant("sap"),
    "PABP": Variant("pabp"),
    "SPReID, with its parser": Variant("spreid"),
    "RBNet (two passes)": Variant("rbnet"),
    "PABP, appearance alone": Variant("pabp", {"dialect": "mean"}),
    "PIE": Variant("pie"),
    "Spindle Net": Variant("spindlenet"),
    "PDC": Variant("pdc"),
    "GLAD": Variant("glad"),
    "foreground": Variant("foreground"),
}


@torch.inference_mode()
def measure(name: str, device: str, dtype: torch.dtype, batch_size: int, repetitions: int) -> tuple[float, float]:
    """Pictures a second and peak GiB of one variant; to be called in a fresh process."""
    torch.manual_seed(0)
    network = VARIANTS[name].build().eval().to(device)
    images = torch.randn(batch_size, 3, network.height, network.width, device=device)

    def seconds() -> float:
        started = time.perf_counter()
        with torch.autocast(device, dtype, enabled=dtype is not torch.float32):
            network(images)
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    seconds()
    fastest = min(seconds() for _ in range(repetitions))
    on_cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return batch_size / fastest, (torch.cuda.max_memory_allocated() if device == "cuda" else on_cpu) / 2**30


@dataclass
class BenchConfig:
    only: list[str] | None = None  # extractors of the registry; all
    batch_size: int = 8
    repetitions: int = 3


def main(arguments: Sequence[str]) -> None:
    args = parse_command(BenchConfig, __doc__, arguments)
    if args is None:
        return
    registered = {variant.extractor for variant in VARIANTS.values()}
    if unknown := set(args.only or ()) - registered:
        raise UserError(f"no network '{min(unknown)}'; choose among: {', '.join(sorted(registered))}")
    if min(args.batch_size, args.repetitions) < 1:
        raise UserError(f"batch_size and repetitions must be at least 1, got {args.batch_size} and {args.repetitions}")
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    table = Table(title=f"pictures/s (peak GiB), batches of {args.batch_size}, {torch.get_num_threads()} threads")
    table.add_column("")
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    for column in (f"{device}, {dtype}" for device in devices for dtype in dtypes):
        table.add_column(column, justify="right")
    for name, variant in VARIANTS.items():
        if args.only and variant.extractor not in args.only:
            continue
        cells = []
        for device in devices:
            for dtype in dtypes.values():
                with ProcessPoolExecutor(1, get_context("spawn")) as process:
                    job = process.submit(measure, name, device, dtype, args.batch_size, args.repetitions)
                    speed, peak = job.result()
                cells.append(f"{speed:.1f} ({peak:.1f})")
        table.add_row(name, *cells)
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(table)
