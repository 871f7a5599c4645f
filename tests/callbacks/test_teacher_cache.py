import logging

import pytest
import torch
from pytorch_lightning import Callback

from callbacks import Pruning, Rewinding, TeacherCache, TeacherSparsification
from stark.forward.classifying import classify, outputs_of
from stark.losses.hidden_states import HiddenStates
from stark.storage import read_tensors
from stark.storage.space import gigabytes
from stark.telling import warn_once
from tests.tasks import StopAt, Stopped, differences, fit, make_trainer


class Passes(Callback):
    """Counts how often the teacher runs, and records the teacher's logits at each step."""

    def __init__(self):
        self.asked, self.keys, self.gaps = 0, [], []

    def on_train_start(self, trainer, module):
        self._watch(module)

    def _watch(self, module):
        self.watched = module.teacher
        module.teacher.register_forward_hook(lambda *_: setattr(self, "asked", self.asked + 1))

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if module.teacher is not self.watched:
            self._watch(module)
        self.keys.append(module.teacher_outputs.key)
        told = module.teacher_outputs.logits(batch["idx"])
        asked = self.asked
        with torch.no_grad():
            now = classify(module.teacher, batch)
        self.gaps.append((told - now).abs().max().item())
        self.asked = asked


def distil(task, folder, callbacks, ckpt_path=None, data=None, **settings):
    module = task.distillation()
    return fit(make_trainer(folder, callbacks, **settings), module, data or task.data(), ckpt_path)


def test_the_teacher_is_asked_once_about_each_row_and_says_the_same(tiny_task, tmp_path):
    passes = Passes()
    cached = distil(tiny_task, tmp_path / "a", [passes, TeacherCache()], max_epochs=3)
    assert passes.asked == 7  # 108 rows in batches of 16, in three epochs
    assert len(passes.gaps) == 21
    assert max(passes.gaps) < 1e-5
    plain = distil(tiny_task, tmp_path / "b", [], max_epochs=3)
    for name, weight in cached.items():
        torch.testing.assert_close(weight, plain[name], rtol=0, atol=1e-4)


def test_a_file_serves_other_fits_and_is_known_by_teacher_rows_and_precision(tiny_task, tmp_path):
    folder = tmp_path / "answers"
    passes = Passes()
    first = distil(tiny_task, tmp_path / "a", [TeacherCache(str(folder))])
    (file,) = folder.iterdir()
    again = distil(tiny_task, tmp_path / "b", [passes, TeacherCache(str(folder))])
    assert passes.asked == 0
    assert differences(first, again) == []
    assert list(folder.iterdir()) == [file]
    distil(tiny_task, tmp_path / "c", [TeacherCache(str(folder))], data=tiny_task.data(train_limit=60))
    distil(tiny_task, tmp_path / "d", [TeacherCache(str(folder))], precision="bf16-mixed")
    distil(tiny_task, tmp_path / "e", [TeacherCache(str(folder), hidden_states=[-1])])
    distil(tiny_task, tmp_path / "f", [TeacherCache(str(folder))], data=tiny_task.data(max_length=8))
    assert len(list(folder.iterdir())) == 5


def test_a_damaged_file_and_one_under_a_wrong_name_are_made_again(tiny_task, tmp_path, caplog):
    folder = tmp_path / "answers"
    distil(tiny_task, tmp_path / "a", [TeacherCache(str(folder))], max_epochs=1)
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-5] + b"other")
    with caplog.at_level(logging.WARNING):
        distil(tiny_task, tmp_path / "b", [TeacherCache(str(folder))], max_epochs=1)
    assert f"{file} is damaged" in caplog.text
    assert file.read_bytes() == whole
    distil(tiny_task, tmp_path / "c", [TeacherCache(str(folder))], max_epochs=1, precision="bf16-mixed")
    (other,) = set(folder.iterdir()) - {file}
    other.replace(file)
    distil(tiny_task, tmp_path / "d", [TeacherCache(str(folder))], max_epochs=1)
    assert f"{file} holds the outputs of another teacher" in caplog.text
    assert file.read_bytes() == whole


@pytest.mark.parametrize("first", [True, False])
def test_a_sparsified_teacher_is_asked_anew_whatever_the_order_of_callbacks(tiny_task, tmp_path, first):
    method = [Pruning(0.5), TeacherSparsification(0.5, 0.3), Rewinding(1)]
    passes, cache = Passes(), TeacherCache()
    callbacks = [cache, *method, passes] if first else [*method, cache, passes]
    distil(tiny_task, tmp_path, callbacks, max_epochs=2, min_epochs=2)
    trial, actual = set(passes.keys[:7]), set(passes.keys[7:])
    assert len(trial) == len(actual) == 1
    assert trial != actual
    assert len(passes.keys) == 14
    assert max(passes.gaps) < 1e-5


@pytest.mark.parametrize("folder", [None, "answers"])
def test_a_resumed_fit_gets_the_same_bits(tiny_task, tmp_path, folder):
    cache = [TeacherCache(folder and str(tmp_path / folder))]
    whole = distil(tiny_task, tmp_path / "whole", cache)
    path = tmp_path / "stopped.ckpt"
    with pytest.raises(Stopped):
        distil(tiny_task, tmp_path / "stopped", [*cache, StopAt(path, ("batch", 10))])
    assert differences(whole, distil(tiny_task, tmp_path / "resumed", cache, path)) == []


def test_it_needs_a_teacher(tiny_task, tmp_path):
    with pytest.raises(TypeError, match="TeacherCache needs a DistillationModule, got FinetuningModule"):
        fit(make_trainer(tmp_path, [TeacherCache()]), tiny_task.finetuning(), tiny_task.data())


def test_hidden_states_are_read_from_the_file_and_their_size_is_told(tiny_task, tmp_path, caplog):
    folder = tmp_path / "answers"
    seen = []

    class Look(Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            told = module.ask(batch).hidden_states
            now = outputs_of(module.teacher, batch, module.loss.teacher_layers).hidden_states
            real = batch["attention_mask"].bool()
            seen.append(max((told[n] - now[n])[real].abs().max() / now[n].abs().max() for n in now))

    def train(name, *callbacks):
        module = tiny_task.distillation(loss=HiddenStates())
        fit(make_trainer(tmp_path / name, list(callbacks), max_epochs=1), module, tiny_task.data())
        return module

    with caplog.at_level(logging.INFO, "pytorch_lightning.utilities.rank_zero"):  # `stark run` makes it silent
        first = train("a", TeacherCache(str(folder)), Look())
    (file,) = folder.iterdir()
    tensors, _ = read_tensors(file)
    states = [tensor for name, tensor in tensors.items() if name.startswith("hidden_states/")]
    assert {state.dtype for state in states} == {torch.bfloat16}
    size = sum(2 * state.numel() for state in states)
    assert f"the teacher's hidden states of {len(states)} layers take {gigabytes(size)}" in caplog.text
    assert max(seen) < 1 / 256
    again = train("b", TeacherCache(str(folder)))
    assert differences(first.state_dict(), again.state_dict()) == []


@pytest.mark.parametrize(("name", "place"), [("free_memory", "memory"), ("free_disk", "the disk of")])
def test_without_room_the_teacher_is_asked_at_every_step(tiny_task, tmp_path, monkeypatch, caplog, name, place):
    monkeypatch.setattr(f"callbacks.teacher_cache.{name}", lambda *_: 1000)
    module = tiny_task.distillation(loss=HiddenStates())
    warn_once.cache_clear()
    folder = tmp_path / "answers"
    fit(make_trainer(tmp_path / "a", [TeacherCache(str(folder))], max_epochs=1), module, tiny_task.data())
    assert module.teacher_outputs is None
    assert not folder.exists()
    (line,) = [record.message for record in caplog.records if "TeacherCache needs" in record.message]
    assert place in line
    # Logits are small, so that they are stored.
    plain = tiny_task.distillation()
    fit(make_trainer(tmp_path / "b", [TeacherCache(str(folder))], max_epochs=1), plain, tiny_task.data())
    assert plain.teacher_outputs is not None
