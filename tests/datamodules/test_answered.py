"""Answers for rows; test_text.py has those of a data module."""

import torch

from datamodules.answered import mean_answers
from tests.datamodules.columns import columns


def test_answers_are_the_mean_of_rows_with_the_same_tokens():
    answered = columns([[1, 2], [3], [1, 2], [4]])
    answers = torch.tensor([[0.25, 0.75], [1.0, 0.0], [0.75, 0.25], [0.5, 0.5]])
    means, lacking = mean_answers(columns([[3], [1, 2], [5], [1], [1, 2]]), answered, answers)
    assert lacking == [2, 3]
    assert means[[0, 1, 4]].tolist() == [[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]]
    assert means[lacking].isnan().all()
