"""Answers that are replayed, with functions in the place of CUDA graphs; tests/test_gpu.py has those."""

import threading

import pytest
import torch

from stark.encoders.cutting import shrink_
from stark.forward import replayed_answer as module
from stark.forward.classifying import classify
from stark.forward.replayed_answer import ReplayedAnswer, rows_of
from stark.forward.replaying import Recorded
from stark.telling import warn_once
from tests.stark.forward.test_replaying import Remember
from tests.tiny import FAMILIES, random_masks, tiny_batch, tiny_classifier


@pytest.fixture(autouse=True)
def untold():
    """Forget what other tests were told."""
    warn_once.cache_clear()


@pytest.fixture
def shapes(monkeypatch):
    """Names and shapes of the batches that the model classifies."""
    seen = []

    def watched(model, batch):
        seen.append((*batch["input_ids"].shape, "attention_mask" in batch))
        return classify(model, batch)

    monkeypatch.setattr(module, "classify", watched)
    return seen


def whole(rows, length, seed=0):
    """A batch whose mask masks nothing."""
    ids = tiny_batch(rows, length, seed=seed)["input_ids"].clamp(min=5)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def usual(model, batch):
    with torch.no_grad():
        return model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits


def test_rows_are_few_and_little_is_computed_in_vain():
    padded = [rows_of(rows) for rows in range(1, 65)]
    assert len(set(padded)) == 11
    assert all(rows <= found < max(2 * rows, 2) for rows, found in enumerate(padded, start=1))
    assert padded[31] == 32


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_are_those_of_the_model_at_each_call(family, dtype):
    model = tiny_classifier(family)
    answer = ReplayedAnswer(model.to(dtype), Remember())
    for seed in range(4):
        # Rows that are padded, rows as long as the model can read, and a batch that has the shape of a recording.
        for batch in (
            tiny_batch(3, 10, seed=seed),
            whole(3, 24, seed),
            tiny_batch(4, 16, seed=seed),
            whole(4, 16, seed),
        ):
            batch["idx"] = torch.arange(len(batch["input_ids"]))
            found = answer(batch)
            expected = usual(model, batch).float()
            torch.testing.assert_close(found, expected, atol=1e-5 if dtype == torch.float32 else 0.1, rtol=0)
            assert (found.dtype, found.device.type) == (torch.float32, "cpu")
    assert answer.recordings == 3


def test_a_pruned_model_is_replayed(shapes):
    model = tiny_classifier()
    shrink_(model, random_masks(model))
    answer = ReplayedAnswer(model, Remember())
    for seed in range(4):
        batch = tiny_batch(seed=seed)
        torch.testing.assert_close(answer(batch), usual(model, batch))
    assert answer.recordings == 1
    assert set(shapes) == {(4, 16, True)}


def test_a_mask_is_needed_for_padding_only(shapes):
    answer = ReplayedAnswer(tiny_classifier(), Remember())
    for batch in (whole(1, 16), whole(1, 15), tiny_batch(2, 16), {"input_ids": whole(1, 15)["input_ids"]}):
        answer(batch)
    assert shapes == [(1, 16, False), (1, 16, True), (2, 16, True), (1, 16, True)]


def test_large_batches_are_neither_padded_nor_recorded(shapes, monkeypatch):
    monkeypatch.setattr(module, "_MOST_TOKENS", 64)
    model = tiny_classifier()
    answer = ReplayedAnswer(model, Remember())
    for _ in range(3):
        for batch in (tiny_batch(5, 9), tiny_batch(4, 16)):
            torch.testing.assert_close(answer(batch), usual(model, batch))
    assert set(shapes) == {(5, 9, True), (4, 16, True)}
    assert answer.recordings == 1


def test_autocast_is_not_recorded():
    model = tiny_classifier()
    answer = ReplayedAnswer(model, Remember())
    with torch.autocast("cpu", torch.bfloat16):
        half = [answer(tiny_batch()) for _ in range(4)]
        torch.testing.assert_close(half[-1], usual(model, tiny_batch()).float())
    assert answer.recordings == 0
    assert not torch.equal(answer(tiny_batch()), half[-1])


class Broken(Remember):
    """Records work whose replay does something else, or nothing, or which cannot be recorded."""

    def __init__(self, kind):
        super().__init__("it waits for the GPU" if kind == "waits" else "")
        self.kind = kind

    def record(self, work):
        if self.kind == "fails":
            raise RuntimeError("operation failed due to a previous error during capture\nand more")
        if self.kind == "empty":
            return Recorded(lambda: None, work())
        return super().record(lambda: work() + 0.01)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("waits", "it waits for the GPU"),
        ("fails", "the recording failed (operation failed due to a previous error during capture)"),
        ("empty", "the first replay differs from the forward pass by nan"),
        ("wrong", "the first replay differs from the forward pass by 0.01"),
    ],
)
def test_what_cannot_be_trusted_is_not_replayed_and_told_once(kind, reason, shapes, caplog):
    model = tiny_classifier()
    answer = ReplayedAnswer(model, Broken(kind))
    for seed in range(5):
        batch = tiny_batch(seed=seed)
        torch.testing.assert_close(answer(batch), usual(model, batch))
    assert answer.recordings == 0
    assert shapes[-1] == (3, 10, True)  # not padded any more
    assert [record.message for record in caplog.records] == [
        f"a model's answers are not replayed as CUDA graphs: {reason}"
    ]


def test_logits_that_are_no_numbers_remain_so(caplog):
    model = tiny_classifier()
    with torch.no_grad():
        model.classifier.weight.fill_(float("nan"))
    answer = ReplayedAnswer(model, Remember())
    assert all(answer(tiny_batch()).isnan().all() for _ in range(4))
    assert (answer.recordings, caplog.text) == (1, "")


def test_recordings_are_limited(monkeypatch):
    monkeypatch.setattr(module, "_MOST_GRAPHS", 2)
    model = tiny_classifier()
    answer = ReplayedAnswer(model, Remember())
    for rows in (1, 2, 4, 1):
        for _ in range(3):
            torch.testing.assert_close(answer(tiny_batch(rows)), usual(model, tiny_batch(rows)))
    assert answer.recordings == 2


def test_threads_get_their_own_answers():
    model = tiny_classifier()
    answer = ReplayedAnswer(model, Remember())
    batches = [tiny_batch(seed=seed) for seed in range(8)]
    found = [[] for _ in batches]

    def ask(number):
        for _ in range(20):
            found[number].append(answer(batches[number]))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for batch, answers in zip(batches, found, strict=True):
        expected = usual(model, batch)
        assert len(answers) == 20
        for one in answers:
            torch.testing.assert_close(one, expected)
