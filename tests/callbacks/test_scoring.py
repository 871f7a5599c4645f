import pytest
import torch

from callbacks.scoring import scoring_batches
from tests.tiny import tiny_batch


@pytest.mark.parametrize(("reduction", "grouped"), [("example", True), ("batch", False)])
def test_batches_for_scoring_keep_their_order_only_where_it_matters(reduction, grouped):
    class Data:
        def scoring_dataloader(self, split, grouped=True):
            asked.append((split, grouped))
            return [tiny_batch()]

    asked = []
    (batch,) = scoring_batches(Data(), "train", reduction, torch.device("cpu"))
    assert asked == [("train", grouped)]
    assert torch.equal(batch["input_ids"], tiny_batch()["input_ids"])


def test_a_data_module_without_batches_for_scoring_is_refused():
    with pytest.raises(TypeError, match=r"dict has no scoring_dataloader\(split, grouped\)"):
        next(iter(scoring_batches({}, "selection", "example", torch.device("cpu"))))
