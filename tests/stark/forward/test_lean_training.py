import copy

import pytest
import torch
from torch import nn

from stark.forward.lean_training import CheapDropout, UsedRows, cheap_dropout_, follow_, plain_, use_rows_
from tests.tasks import differences, fit, make_trainer
from tests.tiny import FAMILIES, tiny_batch, tiny_classifier

USED = torch.arange(0, 60, 2)  # even ids; whether padding is among them depends on the family


def even_batch(seed):
    batch = tiny_batch(4, seed=seed)
    batch["input_ids"] = batch["input_ids"] // 2 * 2 % 60
    return batch


def train(model, steps, rows=None, clip=None):
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.1, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    if rows is not None:
        follow_(rows, optimizer)
    for step in range(steps):
        optimizer.zero_grad()
        model(**even_batch(step)).loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        schedule.step()
        yield model.state_dict()


def copies(family):
    model = tiny_classifier(family).eval()
    lean = copy.deepcopy(model)
    return model, lean, use_rows_(lean, USED)


@pytest.mark.parametrize("family", FAMILIES)
def test_training_has_the_bits_of_the_whole_embedding(family):
    model, lean, rows = copies(family)
    assert isinstance(rows, UsedRows)
    assert sum(p.numel() for p in lean.parameters()) < sum(p.numel() for p in model.parameters())
    for expected, found in zip(train(model, 5), train(lean, 5, rows), strict=True):
        assert differences(expected, found) == []
    # Without gradients, all tokens may occur.
    with torch.no_grad():
        assert torch.equal(lean(**tiny_batch()).logits, model(**tiny_batch()).logits)
    plain_(lean)
    assert type(lean.get_input_embeddings()) is nn.Embedding
    assert lean.get_input_embeddings().padding_idx == model.get_input_embeddings().padding_idx
    assert differences(model.state_dict(), lean.state_dict()) == []
    assert torch.equal(lean(**tiny_batch()).logits, model(**tiny_batch()).logits)


def test_clipping_differs_by_rounding_alone():
    model, lean, rows = copies("bert")
    *_, expected = train(model, 5, clip=0.1)
    *_, found = train(lean, 5, rows, clip=0.1)
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-6)


def test_decay_is_made_good_only_once_and_forgotten_with_other_weights():
    model, lean, rows = copies("bert")
    first = copy.deepcopy(lean.state_dict())
    *_, trained = train(lean, 3, rows)
    assert differences(trained, lean.state_dict()) == []
    name = next(name for name in trained if name.endswith("word_embeddings.weight"))
    assert not torch.equal(trained[name][1], first[name][1])  # an odd id
    rows.decay(0.5)
    lean.load_state_dict(first)
    assert differences(first, lean.state_dict()) == []
    assert differences(first, model.state_dict()) == []
    assert first[name].data_ptr() != lean.state_dict()[name].data_ptr()


def test_moving_it_moves_everything():
    _, lean, _ = copies("bert")
    lean.double()
    assert {tensor.dtype for tensor in lean.state_dict().values()} == {torch.float64}
    lean(**even_batch(0)).loss.backward()


def test_tokens_that_training_does_not_have_are_no_silent_mistake():
    _, lean, _ = copies("bert")
    with pytest.raises(IndexError):
        lean(input_ids=torch.tensor([[2, 3]]))


def test_an_embedding_whose_rows_are_all_used_stays():
    model = tiny_classifier()
    assert use_rows_(model, torch.arange(model.config.vocab_size)) is None
    assert type(model.get_input_embeddings()) is nn.Embedding


def test_dropout_is_replaced_everywhere_and_put_back():
    model = tiny_classifier().train()
    before = [module.p for module in model.modules() if type(module) is nn.Dropout]
    assert before
    cheap_dropout_(model)
    assert [module.p for module in model.modules() if type(module) is CheapDropout] == before
    assert not any(type(module) is nn.Dropout for module in model.modules())
    layer = next(module for module in model.modules() if type(module) is CheapDropout)
    assert torch.equal(layer.eval()(torch.ones(9)), torch.ones(9))
    assert sorted(set(layer.train()(torch.ones(2000)).tolist())) == pytest.approx([0.0, 65536 / (65536 - 6554)])
    plain_(model)
    assert [module.p for module in model.modules() if type(module) is nn.Dropout] == before


def test_a_fit_trains_used_rows_and_leaves_an_ordinary_classifier(tiny_task, tmp_path):
    module, data = tiny_task.finetuning(), tiny_task.data()
    trainer = make_trainer(tmp_path, max_epochs=1)
    weights = fit(trainer, module, data)
    embedding = module.classifier.get_input_embeddings()
    assert type(embedding) is nn.Embedding
    assert not any(isinstance(part, CheapDropout) for part in module.modules())
    (name,) = (name for name in weights if name.endswith("word_embeddings.weight"))
    assert len(weights[name]) == embedding.num_embeddings
    sizes = [len(state["exp_avg"]) for state in trainer.optimizers[0].state.values() if state["exp_avg"].ndim == 2]
    assert len(data.train_token_ids()) in sizes
    assert embedding.num_embeddings not in sizes
