"""ViTPose folders, as `save_pretrained` writes them and the hub holds them, read as strictly as our own files."""

from pathlib import Path

from PIL import Image
from transformers import VitPoseConfig, VitPoseForPoseEstimation, VitPoseImageProcessor

from ..errors import UserError
from ..reading.files import one_line
from ..reading.sizes import check_sizes
from ..reading.text import mapping, read_json
from . import load_tensors, read_tensors

CONFIGS = ("config.json", "preprocessor_config.json")


def read_vitpose(weights: Path) -> tuple[VitPoseForPoseEstimation, VitPoseImageProcessor]:
    """The network in the file `weights` and the preprocessing that lies beside it, in evaluation mode.

    `UserError` for configs that are missing or describe something else, and for any tensor that is missing, unknown or
    does not fit.
    """
    folder = weights.parent
    where = f"{folder} holds no ViTPose"
    configs = [mapping(read_json(folder / name, f"{where}: file"), f"{where}: {name}") for name in CONFIGS]
    tensors = read_tensors(weights)
    for config in configs:
        check_sizes(config, len(tensors), where)
    try:
        network = VitPoseForPoseEstimation(VitPoseConfig.from_pretrained(folder, local_files_only=True))
        processor = VitPoseImageProcessor.from_pretrained(folder, local_files_only=True)
        processor([Image.new("RGB", (2, 4))], [[[0.0, 0.0, 2.0, 4.0]]], return_tensors="pt")  # says whether it works
    except Exception as error:  # configs with other types lead to errors of any kind
        raise UserError(f"{where}: its configs describe none ({one_line(error)}); get the folder again") from error
    load_tensors(network, tensors, weights)
    return network.eval(), processor
