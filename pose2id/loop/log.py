"""Losses of every step on disk: `losses.jsonl`, and curves for TensorBoard."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator
from accelerate.utils import reduce
from torch import Tensor

from ..errors import UserError
from ..files import write_text, writing
from ..reading.text import mapping, read_json_lines

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LOSSES_FILE = "losses.jsonl"


def read_losses(path: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """(where it stands, values by name) of each line, "step" always among them; a last line that is cut is left out."""
    for where, row in read_json_lines(path, "losses", "delete the file", finite=False, partial=True):
        if not all(isinstance(value, int | float) for value in mapping(row, where, "step").values()):
            raise UserError(f"{where}: not a number where a loss is expected; remove the line, or delete the file")
        yield where, row


class LossLog:
    """One line a step, {"step": 3, "loss": 0.25, ...}, averaged over processes. Only the main process writes.

    Values stay on the device until `settle`, so that a GPU is not waited for at every step.
    """

    def __init__(self, folder: Path, accelerator: Accelerator, tensorboard: bool) -> None:
        self.path, self.accelerator = folder / LOSSES_FILE, accelerator
        self.folder = folder / "tensorboard" if tensorboard and accelerator.is_main_process else None
        self.writer: SummaryWriter | None = None
        self.waiting: list[tuple[dict[str, float], dict[str, Tensor]]] = []
        self.rows: list[dict[str, float]] = []  # settled, not written yet

    def start(self, step: int) -> None:
        """Forget what a stopped run logged after `step`, the one that it is resumed from."""
        if self.accelerator.is_main_process:
            kept = [row for _, row in read_losses(self.path) if row["step"] <= step] if self.path.exists() else []
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))
        if self.folder:
            from torch.utils.tensorboard import SummaryWriter  # takes a second to import

            self.writer = SummaryWriter(self.folder, purge_step=step + 1)

    def add(self, step: int, known: dict[str, float], measured: dict[str, Tensor | float]) -> None:
        """Note a step: values that all processes have alike, and values that each has measured on its share."""
        device = self.accelerator.device
        tensors = {name: torch.as_tensor(value, device=device).detach().float() for name, value in measured.items()}
        self.waiting.append(({"step": step} | known, tensors))

    def settle(self) -> dict[str, float]:
        """Take the values that wait from the device; returns the means of what was measured.

        Raises `UserError` in all processes for a loss that is not finite. Under float16 single ones may be, for their
        steps are not taken.
        """
        numbers = torch.stack([value for _, measured in self.waiting for value in measured.values()])
        numbers = iter(reduce(numbers, "mean").tolist())
        self.rows = [known | {name: next(numbers) for name in measured} for known, measured in self.waiting]
        names = self.waiting[-1][1]
        self.waiting = []
        wrong = [row for row in self.rows if not math.isfinite(row["loss"])]
        if wrong and (self.accelerator.scaler is None or len(wrong) == len(self.rows)):
            raise UserError(
                f"the loss of step {wrong[0]['step']} is {wrong[0]['loss']}: training stops, and {self.path.parent} "
                "keeps its last checkpoint; take a lower learning_rate or another precision, in another output_dir"
            )
        found = {name: [row[name] for row in self.rows if name in row] for name in names}  # a stage may add losses
        return {name: sum(values) / len(values) for name, values in found.items()}

    def write(self, last: dict[str, float]) -> None:
        """Write what is settled, with the values `last` added to the last step."""
        self.rows[-1] |= last
        if self.accelerator.is_main_process:
            with writing(self.path), self.path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in self.rows)
        if self.writer:
            for row in self.rows:
                for name in row.keys() - {"step"}:
                    self.writer.add_scalar(name, row[name], row["step"])
            self.writer.flush()
