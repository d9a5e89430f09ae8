"""Any image network of transformers as it is: `transformers:NAME` and `transformers-random:NAME`.

NAME is one of the hub's or a folder that `save_pretrained` wrote.
"""

from pathlib import Path

from PIL import Image
from torch import Tensor, nn
from transformers import AutoConfig, AutoImageProcessor, AutoModel, BaseImageProcessor

from pose2id.errors import UserError
from pose2id.reading.files import one_line
from pose2id.weights import load_tensors, read_tensors
from pose2id.weights.hub import hub_reachable

from ..base import Extractor, Preprocessing, measured_extractor
from ..files import read_header


class Backbone(nn.Module):
    """The feature of a network: its last class token; without one, the mean of its last tokens or map."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = dict(network.named_children()).get("vision_model", network)  # the half that sees pictures
        tokens = ("cls_token", "class_embedding")
        self.has_class_token = any(name.endswith(tokens) for name, _ in self.network.named_parameters())

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, d)."""
        hidden = self.network(pixel_values=images).last_hidden_state  # (B, N, d) or (B, d, h, w)
        if hidden.ndim == 4:
            return hidden.mean((2, 3))
        return hidden[:, 0] if self.has_class_token else hidden.mean(1)


def build(name: str, weights: str | Path | None, random: bool) -> Extractor:
    """transformers' network `name`, pretrained or with random weights; preprocessing as its image processor's.

    weights: None, or a file that our training wrote.
    """
    if weights is not None and read_header(weights) is None:
        raise UserError(
            f"transformers:{name} brings its own weights: leave --weights out, or give transformers:FOLDER, or a file "
            "that `pose2id train-reid` wrote"
        )
    folder = Path(name).is_dir()
    here = folder or not hub_reachable()
    try:
        processor = AutoImageProcessor.from_pretrained(name, local_files_only=here)
        if random or weights is not None:
            network = AutoModel.from_config(AutoConfig.from_pretrained(name, local_files_only=here))
        else:
            network = AutoModel.from_pretrained(name, use_safetensors=True, local_files_only=here)
    except Exception as error:  # configs with other types lead to errors of any kind
        reason = (
            "the hub cannot be reached, and it is not here" if here and not Path(name).is_dir() else one_line(error)
        )
        raise UserError(
            f"transformers:{name} cannot be had ({reason}); check the name, connect to the network once, or give a "
            "folder that save_pretrained wrote, with model.safetensors"
        ) from error
    extractor = measured_extractor(Backbone(network), preprocessing_of(processor, name))
    if weights is not None:
        load_tensors(extractor.network, read_tensors(weights), weights)
    return extractor


def preprocessing_of(processor: BaseImageProcessor, name: str) -> Preprocessing:
    """The record of an image processor; a crop becomes the size of the whole picture."""
    record = processor.to_dict()
    size = dict(record.get("crop_size") or processor.size)
    height, width = (size.get(side) or size.get("shortest_edge") for side in ("height", "width"))
    if not height or not width:
        raise UserError(f"transformers:{name}: its image processor has no fixed size ({size}); write an own network")
    resize = Image.Resampling(processor.resample).name.lower()
    return Preprocessing(height, width, resize, tuple(processor.image_mean), tuple(processor.image_std))
