"""Work that is recorded for each shape, and the padding that makes shapes few."""

import warnings

import pytest
import torch

from stark.forward.classifying import classify
from stark.forward.replaying import CUDAGraphs, NotRecordedError, Recorded, Replayed, bucket_of, pad_batch
from tests.tiny import FAMILIES, tiny_batch, tiny_classifier


class Remember:
    """Records work as a function, which is called at each replay and not at the recording.

    Args:
        obstacle: Why nothing can be recorded.
    """

    def __init__(self, obstacle=""):
        self.obstacle = obstacle

    def rehearse(self, work):
        return work(), self.obstacle

    def record(self, work):
        result = torch.empty(0)

        def replay():
            new = work()
            result.resize_(new.shape).copy_(new)

        return Recorded(replay, result)


def test_buckets_are_few_and_never_shorter():
    buckets = [bucket_of(length, 512) for length in range(1, 513)]
    assert len(set(buckets)) == 10
    assert all(bucket >= length for length, bucket in enumerate(buckets, start=1))
    assert all(bucket < 2 * length for length, bucket in enumerate(buckets, start=1) if length > 16)
    assert bucket_of(100, 120) == 120
    assert bucket_of(700, 512) == 700  # a family without a limit, which says 0 or too little


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_changes_no_logit(family):
    model, batch = tiny_classifier(family), tiny_batch()
    padded = pad_batch(batch, 16, model.config.pad_token_id)
    assert padded["input_ids"].shape == padded["attention_mask"].shape == (3, 16)
    with torch.no_grad():
        torch.testing.assert_close(classify(model, padded), classify(model, batch))


def test_only_tensors_of_tokens_are_padded():
    batch = {"input_ids": torch.ones(2, 3), "teacher_logits": torch.ones(2, 3), "hidden": torch.ones(2, 3, 4)}
    padded = pad_batch({**batch, "labels": torch.ones(2), "many_labels": torch.ones(2, 3)}, 5, 7)
    assert padded["input_ids"].tolist() == [[1, 1, 1, 7, 7]] * 2
    assert padded["teacher_logits"].shape == padded["many_labels"].shape == (2, 3)
    assert padded["hidden"].shape == (2, 5, 4)
    assert padded["hidden"][:, 3:].abs().sum() == 0
    assert padded["labels"].shape == (2,)


def test_each_shape_is_recorded_at_its_third_call_and_done_once_a_call():
    total, calls = torch.zeros(()), []

    def add(batch, twice):
        calls.append(tuple(batch["x"].shape))
        return total.add_(batch["x"].sum() * (2 if twice else 1)).clone()

    replayed = Replayed(add, Remember())
    expected = 0.0
    results = []
    for number in range(5):
        for shape, twice in (((2,), False), ((3,), False), ((3,), True)):
            replayed({"x": torch.full(shape, float(number))}, twice)
            expected += number * shape[0] * (2 if twice else 1)
            results.append((replayed({"x": torch.zeros(shape)}, twice), expected))
    assert replayed.recordings == 3
    assert len(calls) == 30
    # No result is overwritten by a later call.
    assert [float(found) for found, _ in results] == [value for _, value in results]


def test_what_cannot_be_recorded_runs_as_usual():
    calls = []
    replayed = Replayed(lambda batch: calls.append(1) or batch["x"] + 1, Remember("it waits"))
    assert [float(replayed({"x": torch.tensor(float(number))})) for number in range(5)] == [1, 2, 3, 4, 5]
    assert (len(calls), replayed.recordings, replayed.obstacle) == (5, 0, "it waits")


def test_the_recording_that_was_not_used_for_the_longest_time_is_dropped():
    replayed = Replayed(lambda batch: batch["x"].sum(), Remember(), most=2)

    def call(size):
        assert float(replayed({"x": torch.ones(size)})) == size
        return sorted(own["x"].numel() for own, _ in replayed._recorded.values())

    for size in (1, 2):
        for _ in range(3):
            call(size)
    assert call(1) == [1, 2]
    assert [call(3) for _ in range(3)] == [[1, 2], [1, 2], [1, 3]]
    # Its shape is counted anew.
    assert [call(2) for _ in range(3)] == [[1, 3], [1, 3], [2, 3]]


class Refuse(Remember):
    """Records two pieces of work and no more."""

    left = 2

    def record(self, work):
        if not self.left:
            raise NotRecordedError("it differs")
        self.left -= 1
        return super().record(work)


def test_after_a_recording_that_fails_nothing_is_replayed():
    calls = []
    replayed = Replayed(lambda batch: calls.append(1) or batch["x"].sum(), Refuse())
    for size in (1, 2, 3):
        for _ in range(3):
            assert float(replayed({"x": torch.ones(size)})) == size
    assert (len(calls), replayed.recordings, replayed.obstacle) == (9, 0, "it differs")
    assert float(replayed({"x": torch.ones(1)})) == 1
    assert replayed.recordings == 0


def test_waiting_for_a_gpu_is_noticed(monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: None)

    def work(message):
        warnings.warn(message, stacklevel=1)
        return torch.ones(())

    result, obstacle = CUDAGraphs().rehearse(lambda: work("called a synchronizing CUDA operation"))
    assert (float(result), modes) == (1, ["warn", "default"])
    assert obstacle.startswith("it waits for the GPU (")
    with pytest.warns(UserWarning, match="of its own"):  # others are passed on
        assert CUDAGraphs().rehearse(lambda: work("of its own"))[1] == ""
