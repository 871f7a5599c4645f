"""Work that is recorded for each shape, and the padding that makes shapes few."""

import pytest
import torch

from stark.forward.classifying import classify
from stark.forward.replaying import Recorded, Replayed, bucket_of, pad_batch
from tests.tiny import FAMILIES, tiny_batch, tiny_classifier


def remember(work):
    """Record work as a function; it is done at each replay and not at the recording."""
    result = torch.empty(())
    return Recorded(lambda: result.copy_(work()), result)


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
    padded = pad_batch({**batch, "labels": torch.ones(2)}, 5, 7)
    assert padded["input_ids"].tolist() == [[1, 1, 1, 7, 7]] * 2
    assert padded["teacher_logits"].shape == (2, 3)
    assert padded["hidden"].shape == (2, 5, 4)
    assert padded["hidden"][:, 3:].abs().sum() == 0
    assert padded["labels"].shape == (2,)


def test_each_shape_is_recorded_at_its_third_call_and_done_once_a_call():
    total, calls = torch.zeros(()), []

    def add(batch, twice):
        calls.append(tuple(batch["x"].shape))
        return total.add_(batch["x"].sum() * (2 if twice else 1)).clone()

    replayed = Replayed(add, remember)
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
