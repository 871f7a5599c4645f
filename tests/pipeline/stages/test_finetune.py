"""Finetuning the encoder."""

import shutil

import pytest
from safetensors.torch import load_file, save_file

from cli import main
from pipeline.stages import fit
from tests.pipeline.runs import options


@pytest.mark.parametrize("changed", ["model.safetensors", "config.json", "tokenizer.json"])
def test_an_encoder_that_changes_while_the_run_works(tiny_task, tmp_path, monkeypatch, capsys, changed):
    encoder = shutil.copytree(tiny_task.encoder, tmp_path / "encoder")
    (encoder / "SHA256SUMS").unlink()  # as in a model of another program
    if changed == "model.safetensors":
        weights = load_file(encoder / changed)
        next(iter(weights.values())).add_(1)
        save_file(weights, tmp_path / changed, metadata={"format": "pt"})
    else:
        values = {"config.json": ("0.1", "0.2"), "tokenizer.json": ('"good"', '"gut"')}[changed]
        text = (encoder / changed).read_text()
        assert values[0] in text
        (tmp_path / changed).write_text(text.replace(*values))
    original = fit.run_fit

    def meanwhile(*args):
        shutil.copy(tmp_path / changed, encoder / changed)
        original(*args)

    monkeypatch.setattr("pipeline.stages.finetune.run_fit", meanwhile)
    command = options(tiny_task, tmp_path / "runs", "--model_name_or_path", str(encoder))
    with pytest.raises(SystemExit, match="2"):
        main(command)
    assert f"{encoder} changed while the run was working" in capsys.readouterr().err
    assert not list((tmp_path / "runs").rglob("*.ckpt"))
