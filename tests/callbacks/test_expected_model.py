"""A fit trains the model with which its run began; test_run.py changes real files."""

import pytest
import torch

from callbacks.expected_model import ExpectedModel, loaded_digest
from stark.model_folders.model_folder import load_classifier, load_tokenizer
from tests.tasks import make_trainer


def test_another_model_is_refused_before_it_is_trained(tiny_task, tmp_path):
    tokenizer, names = load_tokenizer(tiny_task.encoder), tiny_task.data().label_names
    digest = loaded_digest(load_classifier(tiny_task.encoder, label_names=names), tokenizer, with_head=False)
    module = tiny_task.finetuning()
    trainer = make_trainer(tmp_path / "same", [ExpectedModel(digest, with_head=False)], max_steps=1)
    trainer.fit(module, tiny_task.data(), weights_only=True)  # its new head has other random weights
    assert trainer.global_step == 1
    # The trained model differs from the expected one.
    trainer = make_trainer(tmp_path / "other", [ExpectedModel(digest, with_head=False)], max_steps=1)
    with pytest.raises(ValueError, match=r"encoder changed while the run was working: the changed model was not"):
        trainer.fit(module, tiny_task.data(), weights_only=True)
    assert trainer.global_step == 0


def test_a_head_that_came_with_the_model_counts(tiny_task):
    model, tokenizer = load_classifier(tiny_task.teacher), load_tokenizer(tiny_task.teacher)
    before = [loaded_digest(model, tokenizer, with_head=with_head) for with_head in (False, True)]
    with torch.no_grad():
        model.classifier.weight.add_(1)
    after = [loaded_digest(model, tokenizer, with_head=with_head) for with_head in (False, True)]
    assert before[0] == after[0]
    assert before[1] != after[1]


@pytest.mark.parametrize("change", ["config", "tokenizer", "weights"])
def test_all_that_is_loaded_counts(tiny_task, change):
    def load():
        return load_classifier(tiny_task.teacher), load_tokenizer(tiny_task.teacher)

    model, tokenizer = load()
    tokenizer("padded", padding="max_length", max_length=8, truncation=True)  # changes nothing
    assert loaded_digest(model, tokenizer, with_head=True) == loaded_digest(*load(), with_head=True)
    if change == "config":
        model.config.hidden_dropout_prob = 0.5
    elif change == "tokenizer":
        tokenizer.add_tokens(["zzz"])
    else:
        model.base_model.embeddings.word_embeddings.weight.data[3, 3] += 1
    assert loaded_digest(model, tokenizer, with_head=True) != loaded_digest(*load(), with_head=True)
