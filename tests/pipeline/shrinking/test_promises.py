"""Finding the sparsity that keeps a promise."""

import pytest

from pipeline.deploy.export.export import megabytes_of
from pipeline.shrinking.promises import Form, Promise, cost_of, read_promise, sparsity_within
from stark.errors import StarkError
from stark.model_folders.model_folder import load_classifier, load_tokenizer

SIZE = Promise("size", 5.0, 128)


@pytest.mark.parametrize(
    "cost",
    [
        lambda sparsity: 9 - 8 * sparsity,
        lambda sparsity: 1 + 8 * (1 - sparsity) ** 2,
        lambda sparsity: 9 - 8 * sparsity**3,
        lambda sparsity: 9.0 if sparsity < 0.5 else 4.0,
    ],
)
def test_it_is_the_smallest_of_the_steps_that_costs_no_more(cost):
    asked = []

    def counted(sparsity):
        asked.append(sparsity)
        return cost(sparsity)

    allowed = 0.97 * 5
    expected = next(step / 50 for step in range(49) if cost(step / 50) <= allowed)
    assert sparsity_within(counted, SIZE) == pytest.approx(expected)
    assert len(set(asked)) < 30


def test_a_model_that_costs_little_is_not_cut():
    assert sparsity_within(lambda _: 4.0, SIZE) == 0


def test_a_promise_that_cannot_be_kept_is_refused():
    with pytest.raises(StarkError, match=r"size cannot be 5.00 MB: with a sparsity of 0.96 it is still 6.00 MB"):
        sparsity_within(lambda _: 6.0, SIZE)


def test_latencies_leave_room_for_a_busy_machine():
    assert sparsity_within(lambda sparsity: 10 - 10 * sparsity, Promise("latency", 5.0, 128)) == pytest.approx(0.54)


def test_the_cost_is_that_of_the_written_model(tiny_task, tmp_path):
    model, tokenizer, told = load_classifier(tiny_task.teacher), load_tokenizer(tiny_task.teacher), []
    cost = cost_of(model, tokenizer, Form(None, int8=False), SIZE, lambda *now: told.append(now))
    assert cost(0.0) == pytest.approx(megabytes_of(tiny_task.teacher), rel=0.02)
    assert cost(0.5) < cost(0.0)
    assert cost(0.5) == cost(0.5)
    assert len(told) == 2  # each sparsity is measured once
    latency = Promise("latency", 5.0, 16)
    assert cost_of(model, tokenizer, Form(None, int8=False), latency, lambda *_: None)(0.5) > 0


@pytest.mark.parametrize("text", ["5", "ms", "0ms", "5 MB", "-5ms"])
def test_numbers_need_their_unit(text):
    with pytest.raises(StarkError, match="give a number with its unit, such as 5ms"):
        read_promise("latency", text, 128)
