"""Pictures of one person each -> 18 keypoints, by ViTPose or by OpenPose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import VitPoseForPoseEstimation, VitPoseImageProcessor

from pose2id.errors import UserError
from pose2id.files import write_text
from pose2id.weights import write_safetensors
from pose2id.weights.vitpose import read_vitpose

from .coco import openpose_from_coco

# (names, RGB pictures) -> (18, 3) float64 each: x, y in pixels (pixel centres at whole numbers) and confidence in 0..1.
Estimator = Callable[[Sequence[str], Sequence[Image.Image]], list[np.ndarray]]

COCO_EXPERT = 0  # of ViTPose+, which has an expert for each data set
OPENPOSE_INPUT = 368  # rows that OpenPose was trained for
MARGIN = 0.5  # how far outside of a picture a joint may be, in picture sizes


@dataclass(frozen=True)
class Weights:
    """Where weights of an estimator are looked for under `pretrained/`, and which repository of the hub has them."""

    folder: str
    repository: str
    files: tuple[str, ...]


WEIGHTS = {
    "vitpose": Weights(
        "vitpose",
        "usyd-community/vitpose-base-simple",
        ("config.json", "preprocessor_config.json", "model.safetensors"),
    ),
    "openpose": Weights("openpose", "lllyasviel/Annotators", ("body_pose_model.pth",)),
}


class ViTPose:
    """ViTPose (Xu et al., arXiv 2204.12484) as `transformers` has it, on a whole picture as the person's box.

    folder: what `save_pretrained` writes or the hub holds. Raises `UserError` when it is something else.
    """

    def __init__(self, folder: Path, device: str | torch.device = "cpu") -> None:
        check_files(folder, WEIGHTS["vitpose"])
        network, self.processor = read_vitpose(folder / WEIGHTS["vitpose"].files[-1])
        self.network = network.to(device)

    @torch.inference_mode()
    def __call__(self, names: Sequence[str], pictures: Sequence[Image.Image]) -> list[np.ndarray]:
        boxes = [[[0.0, 0.0, float(picture.width), float(picture.height)]] for picture in pictures]
        pixels = self.processor(pictures, boxes=boxes, return_tensors="pt")["pixel_values"].to(self.network.device)
        experts = {}
        if self.network.config.backbone_config.num_experts > 1:
            experts = {"dataset_index": torch.full((len(pixels),), COCO_EXPERT, device=pixels.device)}
        outputs = self.network(pixels, **experts)
        found = self.processor.post_process_pose_estimation(outputs, boxes)
        poses = []
        for picture, (person,) in zip(pictures, found, strict=True):
            size = np.array(picture.size)
            points = np.nan_to_num(person["keypoints"].numpy()).clip(-MARGIN * size, (1 + MARGIN) * size)
            scores = person["scores"].numpy().clip(0, 1)
            poses.append(openpose_from_coco(np.column_stack([points, scores])))
        return poses


class OpenPose:
    """OpenPose (Cao et al., arXiv 1812.08008) as `controlnet_aux` has it; of several people the one with most joints.

    folder: holds `body_pose_model.pth`. Joints that it does not find have confidence 0.
    """

    def __init__(self, folder: Path, device: str | torch.device = "cpu") -> None:
        check_files(folder, WEIGHTS["openpose"])
        from controlnet_aux.open_pose.body import Body  # slow to import, and needed here alone

        self.body = Body(str(folder / WEIGHTS["openpose"].files[0])).to(device)

    def __call__(self, names: Sequence[str], pictures: Sequence[Image.Image]) -> list[np.ndarray]:
        return [self._estimate(picture) for picture in pictures]

    def _estimate(self, picture: Image.Image) -> np.ndarray:
        scale = OPENPOSE_INPUT / picture.height
        enlarged = picture.resize((max(1, round(picture.width * scale)), OPENPOSE_INPUT), Image.Resampling.BICUBIC)
        people = self.body.format_body_result(*self.body(np.ascontiguousarray(np.asarray(enlarged)[:, :, ::-1])))
        points = np.zeros((18, 3))
        if people:
            person = max(people, key=lambda body: body.total_parts)
            for row, joint in enumerate(person.keypoints):
                if joint is not None:
                    points[row] = (joint.x + 0.5) / scale - 0.5, (joint.y + 0.5) / scale - 0.5, min(joint.score, 1)
        return points


def check_files(folder: Path, weights: Weights) -> None:
    """`UserError` that says what `folder` lacks, where to get it and where to put it."""
    lacking = [name for name in weights.files if not (folder / name).is_file()]
    if lacking:
        raise UserError(
            f"{folder} lacks {', '.join(lacking)}: download {'them' if len(lacking) > 1 else 'it'} from "
            f"https://huggingface.co/{weights.repository} and put {'them' if len(lacking) > 1 else 'it'} there, or use "
            "the small weights that come with this repository: --preset mini"
        )


def save_estimator(network: VitPoseForPoseEstimation, processor: VitPoseImageProcessor, folder: Path) -> None:
    """Write a ViTPose, in float16, as `ViTPose` reads it."""
    write_text(folder / "config.json", network.config.to_json_string())
    write_text(folder / "preprocessor_config.json", processor.to_json_string())
    write_safetensors(network.state_dict(), folder / "model.safetensors", torch.float16)
