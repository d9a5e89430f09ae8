"""Figure 5 of the paper: pictures drawn with the identity tokens of IFR, and with those of nobody."""

from pathlib import Path

import torch
from PIL import Image
from torch.nn.functional import cosine_similarity

from NFC.experiments.figures import draw_fig5
from NFC.experiments.results import Result
from NFC.experiments.world import GeneratorSource, Lacking, World, collect, refused
from pose2id.pictures import list_pictures, read_picture, write_picture
from pose2id.resources import here_or_shipped

from ..pipeline import IPGPipeline
from ..poses import read_pose_for

FIG5_REFERENCES = 5
FIG5_STEPS = 20
SEED = 12580


def fig5(world: World, out: Path) -> Result:
    """Pictures drawn with the identity tokens of IFR, and with those of nobody."""
    source, lacking = world.sources.generator, {}
    market = collect(lacking, lambda: world.dataset("market1501"))
    pipe = collect(lacking, lambda: load_generator(source, world.sources.device))
    if lacking:
        raise Lacking(lacking)
    first_of = {record.pid: record.path for record in reversed(market.query)}
    references = [first_of[pid] for pid in sorted(first_of)[:FIG5_REFERENCES]]
    poses, _ = list_pictures(here_or_shipped(source.pose_dir))
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
    with refused("generator", source.get):
        return IPGPipeline.from_pretrained(source.directory, source.preset, device=device)


def draw_once(pipe: IPGPipeline, reference: Path, poses: list[Path], folder: Path, identity: bool) -> list[Image.Image]:
    """The reference in each pose, from `folder` if drawn before. Without identity the tokens are those of nobody."""
    files = [folder / pose.stem / f"{reference.stem}.png" for pose in poses]
    if not all(file.is_file() for file in files):
        picture = read_picture(reference)
        nobody = pipe.encode_uncond()
        tokens = pipe.encode_identity(pipe.extractor.preprocess(picture)[None]) if identity else nobody
        latents = pipe.denoise(
            torch.stack([pipe.noise(SEED, reference.name, pose.name) for pose in poses]),
            pipe.encode_pose(pipe.preprocess_poses([read_pose_for(pose, pipe.preset) for pose in poses])),
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
