"""The paper's tables and figures: its experiments, with its figures beside ours.

python scripts/reproduce.py all --world synthetic
python scripts/reproduce.py table2 fig8 --config my_paths.yaml
python scripts/reproduce.py table1 datasets.market1501.root=/data/Market-1501-v15.09.15

The real world needs data sets, weights and generated pictures where `configs/reproduce/paths.yaml` (copy it) says;
what is missing is listed with the place to get it. The synthetic world makes its own small data sets and pictures with
the shipped mini weights, about 15 minutes on two CPU cores for all. Everything goes to outputs/reproduce/<world>/:
a folder an experiment, and index.html with all of them. A run that was stopped goes on when run again.
"""

import argparse
import json
import shutil
import sys
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch
from PIL import Image
from rich.console import Console
from torch.nn.functional import cosine_similarity

from IPG.job.run import generate
from IPG.job.settings import GenerationConfig, resolve
from IPG.pipeline import IPGPipeline
from IPG.poses import read_pose_picture
from NFC.datasets.synthetic.layouts import write_layout
from NFC.experiments.catalogue import EXPERIMENTS
from NFC.experiments.figures import draw_fig5
from NFC.experiments.results import Result, save_result, write_index
from NFC.experiments.world import DataSource, GeneratorSource, Lacking, NetworkSource, Sources, World, collect
from NFC.report.formats import to_terminal
from pose2id.config import load_config
from pose2id.errors import UserError, run_command
from pose2id.files import write_text
from pose2id.pictures import list_pictures, read_picture, write_picture
from pose2id.presets import default_directory

CONFIGS = ROOT / "configs" / "reproduce"
NAMES = (*(f"table{k}" for k in range(1, 11)), *(f"fig{k}" for k in (4, 5, 7, 8, 9)))
INTRODUCTION = {
    "real": "The paper's experiments with the official weights on the real data sets; the paper's figures beside ours.",
    "synthetic": "The paper's experiments on small synthetic data sets with the mini weights. The paper's figures are "
    "of the real data sets and other networks: compare what centralization changes, not the level.",
}
GENERIC = "NFC.experiments.generic:pose_estimator"
FIG5_REFERENCES = 5
FIG5_STEPS = 20
SEED = 12580
TERMINAL = 110  # columns that the widest table takes


@dataclass
class SyntheticSet:
    """A data set to draw: a layout, its test people, and pictures for each person and camera (None: the layout's)."""

    layout: str
    test_pids: int
    shots: int | None = None


@dataclass
class SyntheticWorld:
    """What decides the synthetic world; its pictures are drawn by the mini preset."""

    seed: int = 2000
    datasets: dict[str, SyntheticSet] = field(default_factory=dict)
    steps: int = 8
    scheduler: str = "unipc"
    pose_dir: str = "standard_poses"
    device: str | None = None


def real_world(config: Path | None, overrides: list[str], out: Path) -> World:
    """Data sets and weights where a YAML file says that they are."""
    return World("real", load_config(Sources, config or CONFIGS / "paths.yaml", overrides), out / "features")


def synthetic_world(config: Path | None, overrides: list[str], out: Path) -> World:
    """Small data sets of people that training never saw, and the mini weights."""
    settings = load_config(SyntheticWorld, config or CONFIGS / "synthetic.yaml", overrides)

    def place(layout: str, **options: str) -> DataSource:
        return DataSource(layout, str(out / "data" / layout), options)

    mini = NetworkSource("transreid", preset="mini")
    generic = NetworkSource(GENERIC, str(default_directory("mini") / "pose_estimator" / "model.safetensors"))
    sources = Sources(
        datasets={
            "market1501": place("market1501"),
            "msmt17": place("msmt17"),
            "occluded_reid": place("occluded_reid"),
            "sysu_all": place("sysu_mm01", mode="all"),
            "sysu_indoor": place("sysu_mm01", mode="indoor"),
        },
        networks={"transreid": mini, "transreid_msmt17": mini, "generic": generic},
        generator=GeneratorSource(preset="mini", pose_dir=settings.pose_dir),
        poses=len(list_pictures(settings.pose_dir)[0]),
        device=settings.device,
        num_workers=0,
    )
    prepare = partial(make_dataset, settings)
    return World("synthetic", sources, out / "features", prepare, stand_in="transreid")


WORLDS = {"real": real_world, "synthetic": synthetic_world}


def make_dataset(settings: SyntheticWorld, key: str, source: DataSource) -> None:
    """Write the data set if it is not there, and draw the pictures that it lacks."""
    root = Path(source.root)
    chosen = {key: value for key, value in asdict(settings.datasets[source.dataset]).items() if value is not None}
    made_of = json.dumps({"seed": settings.seed, **chosen})
    if not root.is_dir():
        unfinished = root.with_name(f"{root.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        write_layout(chosen.pop("layout"), unfinished, settings.seed, train_pids=1, **chosen)
        write_text(unfinished / "made_of.json", made_of)
        unfinished.replace(root)
    elif (root / "made_of.json").read_text() != made_of:
        raise UserError(f"{root} was made with other settings than {made_of}; delete it, or give another --out")
    config = GenerationConfig(
        preset="mini",
        pose_dir=settings.pose_dir,
        dataset=source.dataset,
        dataset_dir=source.root,
        dataset_options=source.options,
        steps=settings.steps,
        scheduler=settings.scheduler,
        device=settings.device,
    )
    threads = torch.get_num_threads()
    failures = generate(resolve(config))
    torch.set_num_threads(threads)  # the generator takes one for each of its own
    if failures:
        raise UserError(f"{key}: {len(failures)} pictures could not be drawn, such as: {failures[0]}")


def fig5(world: World, out: Path) -> Result:
    """Pictures drawn with the identity tokens of IFR, and with those of nobody."""
    source, lacking = world.sources.generator, {}
    market = collect(lacking, lambda: world.dataset("market1501"))
    pipe = collect(lacking, lambda: load_generator(source, world.sources.device))
    if lacking:
        raise Lacking(lacking)
    first_of = {record.pid: record.path for record in reversed(market.query)}
    references = [first_of[pid] for pid in sorted(first_of)[:FIG5_REFERENCES]]
    poses, _ = list_pictures(source.pose_dir)
    variants = {"with IFR": True, "without IFR": False}
    pictures, similarity = {}, {}
    for name, identity in variants.items():
        folder = out / "pictures" / name.replace(" ", "_")
        pictures[name] = [draw_once(pipe, reference, poses, folder, identity) for reference in references]
        similarity[name] = likeness(pipe, references, pictures[name])
    figures = ", ".join(f"{name} {value:.3f}" for name, value in similarity.items())
    caption = f"Mean cosine similarity of the pictures to their reference, seen by the ReID network: {figures}."
    return draw_fig5(references, pictures, caption)


def load_generator(source: GeneratorSource, device: str | None) -> IPGPipeline:
    """The generator; `Lacking` where its weights are not in their place."""
    try:
        return IPGPipeline.from_pretrained(source.directory, source.preset, device=device)
    except UserError as error:
        raise Lacking({"generator": f"generator: {error}; get: {source.get}"}) from error


def draw_once(pipe: IPGPipeline, reference: Path, poses: list[Path], folder: Path, identity: bool) -> list[Image.Image]:
    """The reference in each pose, from `folder` if drawn before. Without identity the tokens are those of nobody."""
    files = [folder / pose.stem / f"{reference.stem}.png" for pose in poses]
    if not all(file.is_file() for file in files):
        picture = read_picture(reference)
        nobody = pipe.encode_uncond()
        tokens = pipe.encode_identity(pipe.extractor.preprocess(picture)[None]) if identity else nobody
        latents = pipe.denoise(
            torch.stack([pipe.noise(SEED, reference.name, pose.name) for pose in poses]),
            pipe.encode_pose(pipe.preprocess_poses([read_pose_picture(pose) for pose in poses])),
            tokens,
            nobody,
            pipe.encode_reference(pipe.encode_pictures([picture]), tokens),
            FIG5_STEPS,
            pipe.preset.generation.guidance_scale,
        )
        for file, drawn in zip(files, pipe.decode(latents), strict=True):
            write_picture(file, drawn)
    return [read_picture(file) for file in files]


@torch.inference_mode()
def likeness(pipe: IPGPipeline, references: list[Path], pictures: list[list[Image.Image]]) -> float:
    """Mean cosine similarity of the ReID features of drawn pictures [reference][pose] and of their reference."""
    values = []
    for reference, drawn in zip(references, pictures, strict=True):
        batch = torch.stack([pipe.extractor.preprocess(picture) for picture in (read_picture(reference), *drawn)])
        feats = pipe.extractor(batch.to(pipe.device, pipe.dtype)).float()
        values.append(cosine_similarity(feats[:1], feats[1:]).mean().item())
    return sum(values) / len(values)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", nargs="+", metavar="name | key=value", help=f"all, {', '.join(NAMES)}; or settings")
    parser.add_argument("--world", choices=WORLDS, default="real")
    parser.add_argument("--config", type=Path, help="YAML file (configs/reproduce/paths.yaml, or synthetic.yaml)")
    parser.add_argument("--out", type=Path, default=Path("outputs/reproduce"), help="folder (outputs/reproduce)")
    return parser.parse_intermixed_args()


def main() -> int:
    args = parse_arguments()
    overrides = [item for item in args.items if "=" in item]
    names = [item for item in args.items if "=" not in item]
    names = NAMES if "all" in names else names
    if unknown := [name for name in names if name not in NAMES]:
        raise UserError(f"unknown experiment '{unknown[0]}'; choose from: all, {', '.join(NAMES)}")
    if not names:
        raise UserError(f"name an experiment: all, {', '.join(NAMES)}")
    out = args.out / args.world
    world = WORLDS[args.world](args.config, overrides, out)
    done = [name for name in names if run(name, world, out / name)]
    if done:
        print(f"page: {write_index(out, NAMES, f'Pose2ID, {args.world} world', INTRODUCTION[args.world])}")
    if world.lacking:
        print("Missing:", *world.lacking, sep="\n  ", file=sys.stderr)
    return 0 if not world.lacking else 1 if done else 2


def run(name: str, world: World, out: Path) -> bool:
    """Run an experiment, print its tables and save it; False if it lacks too much to measure anything."""
    print(f"\n== {name}", flush=True)
    try:
        result = fig5(world, out) if name == "fig5" else EXPERIMENTS[name](world)
    except Lacking as error:
        world.remember(error)
        print(f"not run: {error.note}")
        return False
    if result.empty:
        print("not run: every row needs something, see the end")
        return False
    console = Console(width=max(TERMINAL, Console().width))
    if result.table:
        console.print(to_terminal(result.table))
    for _, caption in (*result.plots.values(), *result.galleries.values()):
        console.print(caption, markup=False)
    save_result(out, name, result)
    return True


if __name__ == "__main__":
    run_command(main)
