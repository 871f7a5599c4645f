import pytest
import torch

from callbacks.refitting import refit_on_train_
from stark.model_folders.model_folder import load_classifier


def test_data_without_rows_for_refitting_are_refused(tiny_task):
    model = load_classifier(tiny_task.teacher)
    with pytest.raises(TypeError, match=r"object has no refitting_dataloader\(tokens\), which refitting needs"):
        refit_on_train_(model, model, object(), torch.device("cpu"))
