"""Trainings that are killed at bad moments, run twice, run out of disk, or stop being finite."""

import multiprocessing
import time
from pathlib import Path

import pytest
import torch

from pose2id.errors import UserError
from pose2id.processes.locks import locked
from tests.pose2id.loop.toys import assert_same_state, losses_of, state_of, toy_batches, toy_loop


def failing(call: int):
    """An export that fails in its `call`-th call."""
    calls = iter(range(1, 100))

    def export(folder: Path) -> None:
        if next(calls) == call:
            raise RuntimeError("power cut")

    return export


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_a_run_that_died_before_its_last_export_exports(tmp_path, ema_decay):
    straight, expected = toy_loop(tmp_path / "straight", ema_decay=ema_decay)
    straight.run()
    loop, _ = toy_loop(tmp_path / "parts", ema_decay=ema_decay)
    loop.export = failing(2)
    with pytest.raises(RuntimeError, match="power cut"):
        loop.run()
    assert state_of(tmp_path / "parts")["step"] == 6
    again, exported = toy_loop(tmp_path / "parts", ema_decay=ema_decay)
    again.run()
    assert again.step == 6 and len(exported) == 1 and torch.equal(exported[0], expected[-1])


def breaking_at(step: int, value: float):
    """Batches of which one makes the loss `value`."""
    steps = iter(range(1, 100))

    def batches(generators: list[torch.Generator]) -> dict[str, torch.Tensor]:
        batch = toy_batches(generators)
        return batch if next(steps) != step else {"x": batch["x"] * value}

    return batches


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(tmp_path, value):
    loop, exported = toy_loop(tmp_path, breaking_at(5, value), log_every=1)
    with pytest.raises(UserError, match=r"the loss of step 5 is (nan|inf): .*lower learning_rate") as told:
        loop.run()
    assert "\n" not in str(told.value)
    assert state_of(tmp_path)["step"] == 3 and len(exported) == 1
    assert [row["step"] for row in losses_of(tmp_path)] == [1, 2, 3, 4]
    again, exported = toy_loop(tmp_path)
    again.run()
    assert again.step == 6 and exported[-1].isfinite().all()


def test_weights_that_are_not_finite_are_not_kept(tmp_path):
    toy_loop(tmp_path, max_train_steps=3)[0].run()
    loop, exported = toy_loop(tmp_path)
    step = loop.optimizer.optimizer.step

    def breaking(*arguments: object) -> None:
        step(*arguments)
        if loop.step == 5:
            loop.model.layer.bias.data.fill_(float("nan"))

    loop.optimizer.optimizer.step = breaking
    with pytest.raises(UserError, match=r"'layer\.bias' is not finite after step 6"):
        loop.run()
    assert state_of(tmp_path)["step"] == 3 and not exported


def test_two_runs_in_one_folder_are_one_line(tmp_path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    other = context.Process(target=hold, args=(tmp_path, ready))
    other.start()
    assert ready.wait(30)
    try:
        with pytest.raises(UserError, match="is in use by another run"):
            toy_loop(tmp_path)[0].run()
    finally:
        other.kill()
        other.join()
    toy_loop(tmp_path)[0].run()


def hold(folder: Path, ready) -> None:
    with locked(folder):
        ready.set()
        time.sleep(600)


def test_a_full_disk_is_one_line_and_the_run_goes_on_later(tmp_path, monkeypatch):
    def full(*_, **__):
        raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")

    toy_loop(tmp_path / "straight")[0].run()
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(UserError, match=r"cannot write .*state\.pt"):
            toy_loop(tmp_path / "parts")[0].run()
    toy_loop(tmp_path / "parts")[0].run()
    assert_same_state(state_of(tmp_path / "straight"), state_of(tmp_path / "parts"))
