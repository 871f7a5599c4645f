"""Cutting the student."""

from dataclasses import replace

import torch

from callbacks import Pruning
from pipeline.stages.prune import cut_student
from stark.encoders.layers import kept_units
from stark.model_folders.model_folder import load_classifier, load_tokenizer
from stark.vocabulary.factorizing import count_tokens, factorise
from tests.tasks import fit, make_trainer


def test_the_students_embeddings_are_factorised_after_the_cut(settings, tiny_task, tmp_path):
    cut_student(settings, tmp_path / "whole", tiny_task.teacher)
    ranked = replace(settings, student=replace(settings.student, embedding_rank=4))
    cut_student(ranked, tmp_path / "ranked", tiny_task.teacher)
    whole, factorised = (load_classifier(tmp_path / name / "model") for name in ("whole", "ranked"))
    assert kept_units(factorised) == kept_units(whole)
    embeddings = whole.get_input_embeddings().weight
    texts = [row.split("\t")[0] for row in (tiny_task.data_dir / "SST-2/train.tsv").read_text().splitlines()[1:]]
    counts = count_tokens(load_tokenizer(tiny_task.teacher), texts, len(embeddings))
    table, projection = factorise(embeddings, 4, counts)
    torch.testing.assert_close(factorised.get_input_embeddings().weight, table @ projection.T)


def test_cut_student_is_the_pruning_callback(settings, tiny_task, tmp_path):
    cut_student(settings, tmp_path / "prune", tiny_task.teacher)
    module = tiny_task.distillation()
    fit(make_trainer(tmp_path / "fit", [Pruning(0.5)], max_epochs=0), module, tiny_task.data())
    assert kept_units(load_classifier(tmp_path / "prune/model")) == kept_units(module.student)
