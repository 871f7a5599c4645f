import pytest
import torch

from callbacks import SubmissionWriter
from tests.tasks import make_trainer


@pytest.mark.parametrize(("task", "file"), [("sst2", "SST-2.tsv"), ("mnli", "MNLI-m.tsv"), ("stsb", "STS-B.tsv")])
def test_the_file_has_the_prediction_of_every_row_of_the_test_split(tiny_task, tmp_path, task, file):
    module, data = tiny_task.finetuning(task), tiny_task.data(task, batch_size=7)
    make_trainer(tmp_path, [SubmissionWriter()]).predict(module, data, return_predictions=False)
    expected = {}
    for batch in data.predict_dataloader():
        with torch.no_grad():
            logits = module.eval()(batch)
        for idx, row in zip(batch["idx"].tolist(), logits, strict=True):
            if task == "stsb":
                expected[idx] = f"{min(max(row.item(), 0), 5):.3f}"
            else:
                label = int(row.argmax())
                expected[idx] = data.label_names[label] if task == "mnli" else str(label)
    lines = (tmp_path / file).read_text().splitlines()
    assert lines == ["index\tprediction", *(f"{idx}\t{expected[idx]}" for idx in range(len(expected)))]
    assert len(expected) > 7


def test_predicting_twice_writes_the_same_file_again(tiny_task, tmp_path):
    module, trainer = tiny_task.finetuning(), make_trainer(tmp_path, [SubmissionWriter()])
    texts = []
    for _ in range(2):
        trainer.predict(module, tiny_task.data(), return_predictions=False)
        texts.append((tmp_path / "SST-2.tsv").read_text())
    assert texts[0] == texts[1]


def test_other_data_is_refused(tiny_task, tmp_path):
    data = tiny_task.data()
    data.setup("predict")
    with pytest.raises(TypeError, match="SubmissionWriter needs a TextDataModule, got NoneType"):
        make_trainer(tmp_path, [SubmissionWriter()]).predict(tiny_task.finetuning(), data.predict_dataloader())
