"""What takes part in a run beside the network: told of steps, kept in checkpoints; and the clock."""

from itertools import pairwise

import pytest
import torch

from pose2id.errors import UserError
from pose2id.loop.part import Part
from pose2id.loop.state import STATE_FILE
from tests.pose2id.loop.toys import losses_of, state_of, toy_batches, toy_loop


class Walk(Part):
    """A random walk that shifts the batches; where it goes depends on where it is."""

    def __init__(self, stride: float = 0.5) -> None:
        self.place, self.stride, self.steps = torch.zeros(4), stride, []

    def before_step(self, step: int) -> None:
        self.steps.append(step)
        self.place = self.place.roll(1) + self.stride * (step + 1)

    def state_dict(self) -> dict[str, object]:
        return {"place": self.place}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.place = state["place"]

    def fixed_settings(self) -> dict[str, float]:
        return {"walk.stride": self.stride}

    def __call__(self, generators: list[torch.Generator]) -> dict[str, torch.Tensor]:
        return {"x": toy_batches(generators)["x"] + self.place}


def walking_loop(folder, steps: int, **options):
    walk = Walk(**options)
    loop, _ = toy_loop(folder, walk, max_train_steps=steps, parts={"walk": walk})
    return loop, walk


def test_a_part_is_told_of_every_step_and_resumed(tmp_path):
    straight, walk = walking_loop(tmp_path / "straight", 6)
    straight.run()
    assert walk.steps == [0, 1, 2, 3, 4, 5]
    walking_loop(tmp_path / "parts", 3)[0].run()
    resumed, again = walking_loop(tmp_path / "parts", 6)
    resumed.run()
    assert again.steps == [3, 4, 5] and torch.equal(again.place, walk.place)
    assert losses_of(tmp_path / "parts") == losses_of(tmp_path / "straight")
    assert torch.equal(straight.model.layer.weight, resumed.model.layer.weight)


class Holding(Part):
    """The weight of the layer is held in steps 2 and 3."""

    def __init__(self) -> None:
        self.loop = None

    def before_step(self, step: int) -> None:
        self.loop.model.layer.weight.requires_grad_(step not in (2, 3))


def holding_loop(folder, steps: int):
    part = Holding()
    part.loop, exported = toy_loop(
        folder, max_train_steps=steps, checkpoint_every=1, ema_decay=0.0, parts={"hold": part}
    )
    return part.loop, exported


def test_what_a_part_holds_stays_and_is_kept(tmp_path):
    straight, exported = holding_loop(tmp_path / "straight", 6)
    straight.run()
    held = [torch.equal(before, after) for before, after in pairwise(exported)]
    assert held == [False, True, True, False, False]
    holding_loop(tmp_path / "parts", 3)[0].run()
    assert "layer.weight" in state_of(tmp_path / "parts")["model"]
    resumed, _ = holding_loop(tmp_path / "parts", 6)
    resumed.run()
    assert torch.equal(straight.model.layer.weight, resumed.model.layer.weight)
    assert torch.equal(straight.model.layer.bias, resumed.model.layer.bias)


def test_once_a_step_however_many_batches_it_has(tmp_path):
    walk = Walk()
    toy_loop(tmp_path, walk, max_train_steps=2, gradient_accumulation=3, parts={"walk": walk})[0].run()
    assert walk.steps == [0, 1]


def test_settings_of_a_part_stay(tmp_path):
    walking_loop(tmp_path, 2)[0].run()
    with pytest.raises(UserError, match=r"with walk\.stride=0\.5, not 0\.25;"):
        walking_loop(tmp_path, 4, stride=0.25)[0].run()


def test_a_state_without_parts_can_be_resumed(tmp_path):
    toy_loop(tmp_path, max_train_steps=2)[0].run()
    state = state_of(tmp_path)
    del state["parts"]
    torch.save(state, tmp_path / STATE_FILE)
    loop, walk = walking_loop(tmp_path, 3)
    loop.run()
    assert loop.step == 3 and walk.steps == [2]


def test_a_resumed_run_keeps_its_clock(tmp_path):
    options = {"max_train_steps": 10**9, "checkpoint_every": 10**9}
    first, _ = toy_loop(tmp_path, max_minutes=0.003, **options)
    first.run()
    state = state_of(tmp_path)
    assert state["seconds"] >= 0.18
    over, exported = toy_loop(tmp_path, max_minutes=0.003, **options)
    over.run()
    assert over.step == state["step"] and len(exported) == 1  # no further step
    longer, _ = toy_loop(tmp_path, max_minutes=0.006, **options)
    longer.run()
    assert longer.step > state["step"] and 0.36 <= state_of(tmp_path)["seconds"] < 10
