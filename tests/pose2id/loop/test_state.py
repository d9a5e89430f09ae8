"""The state file: what a run may be resumed with, and what it says when it may not."""

import pytest
import torch

import pose2id.loop.loop
from pose2id.errors import UserError
from pose2id.loop.settings import LoopConfig
from pose2id.loop.state import BEFORE, STATE_FILE, fixed_settings, named_settings
from tests.pose2id.loop.toys import assert_same_state, state_of, toy_loop


@pytest.fixture
def run(tmp_path):
    toy_loop(tmp_path, max_train_steps=2)[0].run()
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"seed": 1}, "with seed=12580, not 1;"),
        ({"learning_rate": 0.1}, "with learning_rate=0.05, not 0.1;"),
        ({"batch_size": 4}, "with batch_size x gradient_accumulation x processes=8, not 4;"),
        ({"optimizer": "sgd"}, "with optimizer=adamw, not sgd;"),
        ({"ema_decay": 0.0}, "with ema_decay=0.9, not 0.0;"),
        ({"learning_rate_factors": {"layer.": 0.5}}, r"with learning_rate_factors=\{\}, not \{'layer\.': 0\.5\};"),
        ({"weight_decay_factors": {"bias": 0}}, r"with weight_decay_factors=\{\}, not \{'bias': 0\};"),
        ({"lr_power": 0.75}, r"with lr_power=0\.9, not 0\.75;"),
    ],
)
def test_settings_that_change_the_result_stay(run, changed, told):
    loop, _ = toy_loop(run, **changed)
    with pytest.raises(UserError, match=told) as error:
        loop.run()
    assert "output_dir" in str(error.value) and "\n" not in str(error.value)


def test_settings_of_model_and_batches_stay_too(tmp_path):
    fixed = named_settings("networks", {"trainable": ["ifr"], "lora_rank": 4})
    toy_loop(tmp_path, fixed=fixed, max_train_steps=2)[0].run()
    toy_loop(tmp_path, fixed=fixed, max_train_steps=3)[0].run()
    loop, _ = toy_loop(tmp_path, fixed=fixed | {"networks.lora_rank": 8})
    with pytest.raises(UserError, match=r"with networks\.lora_rank=4, not 8;"):
        loop.run()


def test_settings_of_how_long_and_how_often_may_change(run):
    loop, _ = toy_loop(run, max_train_steps=5, checkpoint_every=1, log_every=7, batch_size=4, gradient_accumulation=2)
    loop.run()
    assert state_of(run)["step"] == 5


def test_frozen_parameters_are_not_kept(run):
    assert set(state_of(run)["model"]) == {"layer.weight", "layer.bias", "unused"}


def test_a_state_of_before_settings_were_kept_can_be_resumed(run):
    state = state_of(run)
    for key in ("settings", "scaler"):
        del state[key]
    state["model"] = state["model"] | {"frozen": torch.ones(2)}
    torch.save(state, run / STATE_FILE)
    loop, _ = toy_loop(run)
    loop.run()
    assert loop.step == 6


def test_a_state_of_before_settings_were_added_goes_on_as_it_was(run, tmp_path_factory):
    straight = tmp_path_factory.mktemp("straight")
    toy_loop(straight)[0].run()
    state = state_of(run)
    for name in (*BEFORE, "lr_drop_factor"):
        del state["settings"][name]
    torch.save(state, run / STATE_FILE)
    for name in ("learning_rate_factors", "weight_decay_factors"):
        with pytest.raises(UserError, match=rf"with {name}=\{{\}}, not "):
            toy_loop(run, **{name: {"layer.": 0.5}})[0].run()
    toy_loop(run)[0].run()
    assert_same_state(state_of(straight), state_of(run))


def test_settings_that_were_added_did_nothing_before():
    settings = fixed_settings(LoopConfig(), 1)
    assert {name: settings[name] for name in BEFORE} == BEFORE


def test_a_damaged_state_is_one_line(run):
    content = (run / STATE_FILE).read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"not a state"):
        (run / STATE_FILE).write_bytes(damaged)
        with pytest.raises(UserError, match=r"state\.pt is damaged; delete it") as error:
            toy_loop(run)[0].run()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"unused": None}, r"another network \('unused'\)"),
        ({"more": torch.ones(1)}, r"another network \('more'\)"),
        ({"layer.bias": torch.ones(5)}, "other sizes"),
    ],
)
def test_the_state_of_another_network_is_one_line(run, change, told):
    state = state_of(run)
    tensors = state["model"] | change
    state["model"] = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    torch.save(state, run / STATE_FILE)
    loop, _ = toy_loop(run)
    with pytest.raises(UserError, match=told):
        loop.run()
    assert loop.step == 0


def test_a_folder_that_the_machines_do_not_share_is_one_line(run, monkeypatch):
    monkeypatch.setattr(pose2id.loop.loop, "gather", lambda steps: torch.cat([steps, torch.tensor([0])]))
    with pytest.raises(UserError, match="is not the same on all machines"):
        toy_loop(run)[0].run()


@pytest.mark.parametrize(
    "change",
    [
        {"step": "x"},
        {"model": None},
        {"settings": 5},
        {"optimizer": {"state": {}, "param_groups": []}},
        {"optimizer": {"state": {0: 1}, "param_groups": [1]}},
        {"ema": {"decay": "x"}},
        {"model": {"layer.weight": torch.ones(2, 2).to_sparse()}},
        {"model": {1: torch.ones(1)}},
    ],
)
def test_an_odd_state_is_one_line(run, change):
    torch.save(state_of(run) | change, run / STATE_FILE)
    with pytest.raises(UserError, match=r"state\.pt") as error:
        toy_loop(run)[0].run()
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("content", [[1], None, {}, torch.ones(2), "x"])
def test_what_is_no_state_is_one_line(run, content):
    torch.save(content, run / STATE_FILE)
    with pytest.raises(UserError, match=r"state\.pt holds no state of a training run"):
        toy_loop(run)[0].run()
