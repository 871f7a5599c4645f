"""`stark sample-data` writes data and an encoder that fit each other."""

import pytest

from cli import main
from datamodules import GLUEDataModule
from lightning_modules import load_tokenizer


def test_every_task_can_be_read_with_the_sample_encoder(tmp_path, capsys):
    main(["sample-data", str(tmp_path / "sample")])
    assert str(tmp_path / "sample") in capsys.readouterr().out
    encoder = str(tmp_path / "sample/encoder")
    unknown = load_tokenizer(encoder).unk_token_id
    for task in ("rte", "mrpc", "stsb", "sst2", "qnli", "qqp", "mnli", "mnlimm"):
        data = GLUEDataModule(
            task, str(tmp_path / "sample"), encoder, cache_dir=str(tmp_path / "cache"), batch_size=512
        )
        rows = next(iter(data.test_dataloader()))
        assert len(rows["idx"]) >= 400
        assert not (rows["input_ids"] == unknown).any()


def test_needs_a_folder(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["sample-data"])
    assert stopped.value.code == 2
    assert "directory" in capsys.readouterr().err
