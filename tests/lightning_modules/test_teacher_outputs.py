import pytest
import torch

from lightning_modules.teacher_outputs import TeacherOutputs, ask_teacher
from stark.forward.classifying import classify, outputs_of
from stark.storage import DamagedError
from tests.tiny import tiny_batch, tiny_classifier


def numbered(size, seed, first):
    """A padded batch whose row numbers are unordered and have gaps."""
    batch = tiny_batch(size, seed=seed)
    return {**batch, "idx": torch.arange(first, first + 3 * size, 3).flip(0)}


@pytest.fixture
def batches():
    return [numbered(4, 1, first=40), numbered(3, 2, first=2)]


@pytest.fixture
def teacher():
    return tiny_classifier(layers=3).eval()


def test_every_row_has_the_logits_that_the_model_gives_it(teacher, batches):
    outputs = ask_teacher(teacher, batches, "key")
    assert len(outputs) == 7
    for batch in batches:
        with torch.no_grad():
            expected = classify(teacher, batch)
        order = torch.randperm(len(expected))
        assert torch.equal(outputs.logits(batch["idx"][order]), expected[order])
        assert not outputs.logits(batch["idx"]).requires_grad


def test_rows_that_it_was_not_asked_about_are_nan(teacher, batches):
    assert ask_teacher(teacher, batches, "key").logits(torch.tensor([0, 1, 39])).isnan().all()


def test_hidden_states_are_the_models_with_zeros_for_padding(teacher, batches):
    outputs = ask_teacher(teacher, batches, "key", hidden_states=[0, -1])
    for batch in batches:
        real = batch["attention_mask"].bool()
        assert not real.all()
        width = real.shape[1] + 5
        found = outputs.hidden_states(batch["idx"], width)
        with torch.no_grad():
            states = outputs_of(teacher, batch, (0, -1)).hidden_states
        assert found.keys() == {0, -1}
        for layer, values in found.items():
            assert values.dtype == torch.float32
            rounded = states[layer].bfloat16().float()
            assert torch.equal(values[:, : real.shape[1]], rounded * real[:, :, None])
            assert not values[:, real.shape[1] :].any()


def test_saved_outputs_are_the_same(teacher, batches, tmp_path):
    outputs = ask_teacher(teacher, batches, "key", hidden_states=[1])
    outputs.save(tmp_path / "new" / "file.safetensors")
    again = TeacherOutputs.load(tmp_path / "new" / "file.safetensors", "key")
    assert len(again) == len(outputs)
    for batch in batches:
        assert torch.equal(again.logits(batch["idx"]), outputs.logits(batch["idx"]))
        assert torch.equal(again.hidden_states(batch["idx"], 9)[1], outputs.hidden_states(batch["idx"], 9)[1])


def test_outputs_of_something_else_are_refused(teacher, batches, tmp_path):
    path = tmp_path / "file.safetensors"
    ask_teacher(teacher, batches, "key").save(path)
    with pytest.raises(ValueError, match=r"file.safetensors holds the outputs of another teacher"):
        TeacherOutputs.load(path, "other")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedError, match=r"file.safetensors"):
        TeacherOutputs.load(path, "key")


def test_there_must_be_rows(teacher):
    with pytest.raises(ValueError, match="no row"):
        ask_teacher(teacher, [], "key")
