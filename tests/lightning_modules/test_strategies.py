"""Strategies and random streams."""

import random

import pytest
import torch
from pytorch_lightning import seed_everything
from pytorch_lightning.strategies import DDPStrategy, FSDPStrategy, SingleDeviceStrategy, StrategyRegistry

from lightning_modules.strategies import check_strategy, reset_random_streams, settle_buckets_
from tests.tasks import make_trainer


def test_streams_of_processes_differ_and_the_first_is_that_of_a_single_process():
    def draws():
        return torch.rand(4).tolist(), random.random()

    seed_everything(3, verbose=False)
    alone = draws()
    streams = []
    for rank in (0, 1, 2, 1):
        reset_random_streams(rank)
        streams.append(draws())
    assert streams[0] == alone
    assert streams[1] == streams[3]
    for kind in range(2):  # torch, Python
        assert len({str(stream[kind]) for stream in streams}) == 3
    seed_everything(4, verbose=False)
    reset_random_streams(1)
    assert draws() != streams[1]


def test_buckets_are_left_alone_where_there_are_none():
    def unexpected(*_):
        raise AssertionError

    module = torch.nn.Linear(1, 1)
    module.forward = unexpected
    for model in (module, None):
        settle_buckets_(model, {}, [])


def test_without_a_seed_nothing_is_reset(monkeypatch):
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    state = torch.get_rng_state()
    reset_random_streams(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_strategies_that_train_whole_weights_are_taken():
    names = [name for name in StrategyRegistry if name.startswith("ddp")]
    assert len(names) > 4
    for strategy in ("auto", "single_device", *names, DDPStrategy, DDPStrategy(), SingleDeviceStrategy("cpu")):
        check_strategy(strategy)
    check_strategy("pytorch_lightning.strategies.DDPStrategy")


@pytest.mark.parametrize(
    "strategy",
    [
        *("fsdp", "fsdp_cpu_offload", "deepspeed", "deepspeed_stage_2", "xla", "no_such_strategy"),
        *("pytorch_lightning.strategies.FSDPStrategy", "pytorch_lightning.strategies.NoSuchStrategy"),
        *("lightning.no.such.Module", FSDPStrategy),
    ],
)
def test_other_strategies_are_refused_by_name(strategy):
    name = strategy if isinstance(strategy, str) else "FSDPStrategy"
    with pytest.raises(ValueError, match=rf"^trainer\.strategy is '{name}': .* use auto or ddp$"):
        check_strategy(strategy)


def test_a_fit_by_the_api_is_refused_as_well(tiny_task, tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path, max_epochs=1)
    monkeypatch.setattr("lightning_modules.strategies.DDPStrategy", int)
    monkeypatch.setattr("lightning_modules.strategies.SingleDeviceStrategy", int)
    with pytest.raises(ValueError, match=r"trainer\.strategy is 'SingleDeviceStrategy'"):
        trainer.fit(tiny_task.finetuning(), tiny_task.data())
