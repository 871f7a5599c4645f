from pathlib import Path

import pytest
from transformers import AutoTokenizer, BertTokenizerFast

from datamodules.sample import sample_vocabulary, write_sample_data
from tests.tasks import save_masked_language_model

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *sample_vocabulary()]), encoding="utf-8")
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def masked_language_model(tmp_path_factory, tokenizer_dir):
    return save_masked_language_model(tmp_path_factory.mktemp("masked_language_model"), tokenizer_dir)


@pytest.fixture(scope="session")
def tokenizer(tokenizer_dir):
    return AutoTokenizer.from_pretrained(tokenizer_dir)


@pytest.fixture(scope="session")
def sample_dir(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample_data(folder, rows=300)
    return folder


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("cache"))
