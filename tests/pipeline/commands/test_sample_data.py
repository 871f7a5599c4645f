"""`stark sample-data` writes data and an encoder that fit each other."""

import shutil
import subprocess
from functools import partial

import pytest

from cli import main
from datamodules import GLUEDataModule, write_sample_data
from stark.model_folders.model_folder import load_tokenizer


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


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr("pipeline.commands.sample_data.write_sample_data", partial(write_sample_data, rows=120))


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Sample data as the command wrote it. Copy it before you change it."""
    folder = tmp_path_factory.mktemp("sample") / "data"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pipeline.commands.sample_data.write_sample_data", partial(write_sample_data, rows=120))
        main(["sample-data", str(folder)])
    return folder


def contents(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("version", ["this", "one before checksums", "one of other data"])
def test_it_writes_over_its_own(version, small, sample, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "data"
    shutil.copytree(sample, folder)
    (folder / "mine.txt").write_text("mine")
    if version == "one before checksums":
        (folder / "SHA256SUMS").unlink()
    if version == "one of other data":
        for name in ("RTE/dev.tsv", "encoder/config.json"):
            (folder / name).write_text("other")
        names = [str(path) for path in contents(sample) if path.name != "SHA256SUMS" or path.parent.name]
        listed = subprocess.run(["sha256sum", *names], cwd=folder, capture_output=True, text=True, check=True).stdout
        (folder / "SHA256SUMS").write_text(listed)
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    main(["sample-data", "data"])
    assert capsys.readouterr().err == "stark: loading the libraries\nstark: writing data\n"
    assert (folder / "mine.txt").read_text() == "mine"
    (folder / "mine.txt").unlink()
    assert contents(folder) == contents(sample)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)


@pytest.mark.parametrize(
    "name", ["SST-2/train.tsv", "MNLI/test_matched.tsv", "encoder/model.safetensors", "encoder/notes.txt", "SHA256SUMS"]
)
@pytest.mark.parametrize("rest", ["nothing", "ours"])
def test_files_of_others_are_kept(name, rest, small, sample, tmp_path, capsys):
    folder = tmp_path / "data"
    if rest == "ours":
        shutil.copytree(sample, folder)
    theirs = folder / name
    theirs.parent.mkdir(parents=True, exist_ok=True)
    theirs.write_text("theirs")
    before = contents(folder)
    with pytest.raises(SystemExit) as stopped:
        main(["sample-data", str(folder)])
    assert stopped.value.code == 2
    assert f"{theirs} exists and is not an earlier output of this command" in capsys.readouterr().err
    assert contents(folder) == before


def test_checksums_of_others_prove_nothing(small, sample, tmp_path):
    """Real data may come with its own list of checksums."""
    folder = tmp_path / "data"
    (folder / "RTE").mkdir(parents=True)
    (folder / "RTE/train.tsv").write_text("theirs")
    listed = subprocess.run(
        ["sha256sum", "RTE/train.tsv"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    (folder / "SHA256SUMS").write_text(listed)
    before = contents(folder)
    with pytest.raises(SystemExit):
        main(["sample-data", str(folder)])
    assert contents(folder) == before
    (folder / "encoder").symlink_to(sample / "encoder")
    main(["sample-data", str(folder), "--overwrite"])
    assert contents(folder) == contents(sample)
    assert not (folder / "encoder").is_symlink()
