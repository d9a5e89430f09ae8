"""A regression that a Loop trains in no time, and what a run of it leaves behind."""

import json
from pathlib import Path

import torch
from torch import nn

from pose2id.loop.log import LOSSES_FILE
from pose2id.loop.loop import Loop
from pose2id.loop.settings import LoopConfig
from pose2id.loop.state import STATE_FILE


class Toy(nn.Module):
    """Regression with noise for each row; one parameter is frozen and one never used."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.layer = nn.Linear(4, 2)
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, batch, generators):
        noise = torch.stack([torch.randn(4, generator=generator) for generator in generators]).to(batch["x"])
        loss = (self.layer(batch["x"] + 0.1 * noise) - self.frozen).square().mean()
        return loss, {"noise": noise.abs().mean().item()}


def toy_batches(generators: list[torch.Generator]) -> dict[str, torch.Tensor]:
    return {"x": torch.stack([torch.randn(4, generator=generator) for generator in generators])}


def toy_loop(
    folder: Path, batches=toy_batches, validate=None, fixed=None, parts=None, together=False, **options
) -> tuple[Loop, list[torch.Tensor]]:
    """A loop over a fresh toy, and the list of first weights that its exports saw."""
    model, exported = Toy(), []

    def export(path: Path) -> None:
        assert path == folder
        exported.append(model.layer.weight.detach().cpu().clone())

    defaults = {
        "max_train_steps": 6,
        "batch_size": 8,
        "learning_rate": 0.05,
        "ema_decay": 0.9,
        "warmup_steps": 2,
        "checkpoint_every": 3,
    }
    config = LoopConfig(**(defaults | options), output_dir=str(folder))
    return Loop(model, batches, export, config, validate, fixed, parts, together), exported


def state_of(folder: Path) -> dict:
    return torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)


def losses_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / LOSSES_FILE).read_text().splitlines()]


def assert_same_state(a: dict, b: dict) -> None:
    assert a["step"] == b["step"]
    for name, tensor in a["model"].items():
        assert torch.equal(tensor, b["model"][name]), name
    for first, second in zip(a["ema"]["shadow_params"], b["ema"]["shadow_params"], strict=True):
        assert torch.equal(first, second)
    assert a["ema"]["optimization_step"] == b["ema"]["optimization_step"]
    assert a["optimizer"]["state"].keys() == b["optimizer"]["state"].keys() != set()
    for key, moments in a["optimizer"]["state"].items():
        assert all(torch.equal(value, b["optimizer"]["state"][key][name]) for name, value in moments.items())
