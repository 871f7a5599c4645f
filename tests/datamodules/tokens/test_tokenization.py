import hashlib
import pickle
import random
import shutil

import pytest
import torch

from datamodules.sample import sample_vocabulary
from datamodules.sources.glue_files import TSVSource
from datamodules.sources.opening import open_source
from datamodules.tasks.glue import find_task
from datamodules.tokens import tokenization
from datamodules.tokens.tokenization import encode, load_tokenizer, tokenize_split, tokenizer_digest, truncate_pair
from stark.storage import write_tensors
from tests.payload import Payload


def rows_of(columns):
    return [columns[row] for row in range(len(columns))]


def truncated_slowly(a, b, budget):
    """The released code's loop."""
    a, b = list(a), list(b)
    while len(a) + len(b) > budget:
        if len(a) > len(b):
            a.pop()
        else:
            b.pop()
    return a, b


def test_truncation_is_the_released_codes():
    for len_a in range(13):
        for len_b in range(13):
            a, b = list(range(len_a)), list(range(100, 100 + len_b))
            for budget in range(1, 14):
                assert truncate_pair(a, b, budget) == truncated_slowly(a, b, budget), (len_a, len_b, budget)


@pytest.fixture(scope="module")
def pairs():
    draw = random.Random(0)
    words = [word for word in sample_vocabulary() if word.isalpha()]
    texts = [" ".join(draw.choices(words, k=draw.randrange(1, 30))) for _ in range(200)]
    return texts[:100], texts[100:]


def test_stark_segments_and_truncation(tokenizer, pairs):
    encoded = encode(tokenizer, *pairs, max_length=24, segment_ids="stark")
    over = 0
    for first, second, ids, segments in zip(*pairs, *encoded.values(), strict=True):
        whole = [tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)) for text in (first, second)]
        a, b = truncated_slowly(*whole, 21)
        over += len(whole[0]) + len(whole[1]) > 21
        assert ids == [tokenizer.cls_token_id, *a, tokenizer.sep_token_id, *b, tokenizer.sep_token_id]
        assert segments == ([0] * len(a) + [1] * (len(b) + 1) + [0, 0])
        assert len(segments) == len(ids)
    assert over > 50


def test_stark_example_of_the_reference(tokenizer):
    encoded = encode(tokenizer, ["the old train"], ["a new ship"], max_length=128, segment_ids="stark")
    assert encoded["token_type_ids"] == [[0, 0, 0, 1, 1, 1, 1, 0, 0]]


@pytest.mark.parametrize("text_b", [None, [""]])
def test_stark_single_texts(tokenizer, text_b):
    encoded = encode(tokenizer, ["the old train said no more"], text_b, max_length=5, segment_ids="stark")
    expected = encode(tokenizer, ["the old train"], None, max_length=5, segment_ids="tokenizer")
    assert encoded == expected


@pytest.mark.parametrize("max_length", [16, 128])
def test_tokenizer_mode_is_hugging_faces(tokenizer, pairs, max_length):
    ours = encode(tokenizer, *pairs, max_length=max_length, segment_ids="tokenizer")
    theirs = tokenizer(*pairs, truncation="longest_first", max_length=max_length)
    assert ours == {name: theirs[name] for name in ("input_ids", "token_type_ids")}


def test_digest_ignores_padding_and_truncation(tokenizer_dir):
    tokenizer = load_tokenizer(str(tokenizer_dir))
    before = tokenizer_digest(tokenizer)
    tokenizer(["a"], truncation=True, max_length=7, padding="max_length")
    assert tokenizer_digest(tokenizer) == before
    tokenizer.add_tokens(["zzz"])
    assert tokenizer_digest(tokenizer) != before


def test_load_failures_are_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"cannot load a tokenizer from '.*none'") as error:
        load_tokenizer(str(tmp_path / "none"))
    assert "\n" not in str(error.value)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match=r"the tokenizer of '.*' has no vocabulary"):
        load_tokenizer(str(tmp_path))


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "RTE"
    folder.mkdir()
    lines = ["h", "0\tthe old train\tthe train\tentailment", "1\ta new ship\tthe bank\tnot_entailment"]
    (folder / "train.tsv").write_text("\n".join(lines))
    (folder / "test.tsv").write_text("h\n1\tthe old train\tthe train\n0\ta\tb\n")
    return folder


def test_columns(files, tokenizer, tmp_path):
    task = find_task("rte")
    kwargs = {"max_length": 32, "segment_ids": "tokenizer", "cache_dir": str(tmp_path / "cache")}
    source = open_source(task, str(files))
    train, content = tokenize_split(source, task, "train", tokenizer, **kwargs)
    assert content == source.digest("train")
    assert [set(row) for row in rows_of(train)] == [{"input_ids", "token_type_ids", "labels", "idx"}] * 2
    assert train.lengths.tolist() == [8, 8] == [len(row["input_ids"]) for row in rows_of(train)]
    assert train.fields["labels"].tolist() == [0, 1]
    test = tokenize_split(source, task, "test", tokenizer, **kwargs)[0]
    assert "labels" not in test.fields
    assert test.fields["idx"].tolist() == [1, 0]


def test_tokenised_once_until_something_changes(files, tokenizer, tmp_path, monkeypatch):
    calls = []
    original = tokenization.encode
    monkeypatch.setattr(tokenization, "encode", lambda *a, **k: calls.append(1) or original(*a, **k))
    task = find_task("rte")

    def rows(split="train", tokenizer=tokenizer, max_length=32, segment_ids="tokenizer"):
        return tokenize_split(
            open_source(task, str(files)),
            task,
            split,
            tokenizer,
            max_length=max_length,
            segment_ids=segment_ids,
            cache_dir=str(tmp_path / "cache"),
        )[0]

    first = rows()
    assert rows_of(rows()) == rows_of(first)
    assert len(calls) == 1
    other = load_tokenizer(tokenizer.name_or_path)
    other.add_tokens(["zzz"])
    for number, change in enumerate(
        [{"max_length": 16}, {"segment_ids": "stark"}, {"split": "test"}, {"tokenizer": other}], start=2
    ):
        rows(**change)
        rows(**change)
        assert len(calls) == number
    file = files / "train.tsv"
    file.write_bytes(file.read_bytes().replace(b"ship", b"shop"))
    assert rows_of(rows()) != rows_of(first)
    assert len(calls) == 6
    names = [path.name for path in (tmp_path / "cache").iterdir()]
    assert len(names) == 6
    assert not [name for name in names if name.startswith(".")]


def flipped(content):
    return bytes([content[0] ^ 1]) + content[1:]


def last_flipped(content):
    return content[:-1] + flipped(content[-1:])


def halved(content):
    return content[: len(content) // 2]


@pytest.mark.parametrize("damage", [flipped, last_flipped, halved, lambda _: b"", lambda _: b"\x89PNG\r\n"])
def test_damaged_data_is_named_and_made_again(files, tokenizer, tmp_path, caplog, damage):
    task = find_task("rte")
    kwargs = {"max_length": 32, "segment_ids": "tokenizer", "cache_dir": str(tmp_path / "cache")}
    first = rows_of(tokenize_split(open_source(task, str(files)), task, "train", tokenizer, **kwargs)[0])
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert rows_of(tokenize_split(open_source(task, str(files)), task, "train", tokenizer, **kwargs)[0]) == first
    assert "made again" in caplog.text
    assert file.name in caplog.text
    caplog.clear()
    tokenize_split(open_source(task, str(files)), task, "train", tokenizer, **kwargs)
    assert not caplog.text


def test_pickled_code_in_the_cache_does_not_run(files, tokenizer, tmp_path):
    task = find_task("rte")
    kwargs = {"max_length": 32, "segment_ids": "tokenizer", "cache_dir": str(tmp_path / "cache")}
    first = rows_of(tokenize_split(open_source(task, str(files)), task, "train", tokenizer, **kwargs)[0])
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    assert rows_of(tokenize_split(open_source(task, str(files)), task, "train", tokenizer, **kwargs)[0]) == first
    assert not (tmp_path / "ran").exists()


def test_other_tensors_in_the_cache_are_made_again(files, tokenizer, tmp_path, caplog):
    """They are created again although their checksum is right."""
    task = find_task("rte")
    kwargs = {"max_length": 32, "segment_ids": "tokenizer", "cache_dir": str(tmp_path / "cache")}
    first = rows_of(tokenize_split(open_source(task, str(files)), task, "train", tokenizer, **kwargs)[0])
    (file,) = (tmp_path / "cache").iterdir()
    write_tensors(file, {"weight": torch.ones(3)})
    assert rows_of(tokenize_split(open_source(task, str(files)), task, "train", tokenizer, **kwargs)[0]) == first
    assert "made again: columns of tokenised rows were expected, not weight" in caplog.text


def test_an_intact_file_of_another_split_is_made_again(files, tokenizer, tmp_path, caplog):
    task, source = find_task("rte"), open_source(find_task("rte"), str(files))
    kwargs = {"max_length": 32, "segment_ids": "tokenizer", "cache_dir": str(tmp_path / "cache")}
    first = {split: rows_of(tokenize_split(source, task, split, tokenizer, **kwargs)[0]) for split in ("train", "test")}
    of = {split: next((tmp_path / "cache").glob(f"rte-{split}-*")) for split in first}
    shutil.copy(of["test"], of["train"])
    assert rows_of(tokenize_split(source, task, "train", tokenizer, **kwargs)[0]) == first["train"]
    assert f"{of['train']}: tokenised data is made again: it holds another split or other rows" in caplog.text


def test_rows_are_filed_under_the_content_that_they_were_parsed_from(files, tokenizer, tmp_path, monkeypatch):
    """They are not stored under the digest of the content that the file has before and after parsing."""
    task, source = find_task("rte"), open_source(find_task("rte"), str(files))
    kwargs = {"max_length": 32, "segment_ids": "tokenizer", "cache_dir": str(tmp_path / "cache")}
    file, original = files / "train.tsv", TSVSource.rows
    before = file.read_bytes()

    def changed(self, split):
        file.write_bytes(before.replace(b"a new ship", b"a new bank"))
        rows = original(self, split)
        file.write_bytes(before)
        return rows

    with monkeypatch.context() as patch:
        patch.setattr(TSVSource, "rows", changed)
        rows, content = tokenize_split(source, task, "train", tokenizer, **kwargs)
    assert "a new bank" in tokenizer.decode(rows[1]["input_ids"])
    assert content == hashlib.sha256(before.replace(b"a new ship", b"a new bank")).hexdigest()
    rows, content = tokenize_split(source, task, "train", tokenizer, **kwargs)
    assert "a new ship" in tokenizer.decode(rows[1]["input_ids"])
    assert content == hashlib.sha256(before).hexdigest()


def test_a_concurrent_winner_is_taken_over(files, tokenizer, tmp_path, monkeypatch):
    task = find_task("rte")
    kwargs = {"max_length": 32, "segment_ids": "tokenizer", "cache_dir": str(tmp_path / "cache")}
    original = tokenization.tokenize_rows

    def overtaken(*args, **options):
        monkeypatch.setattr(tokenization, "tokenize_rows", original)
        tokenize_split(open_source(task, str(files)), task, "train", tokenizer, **kwargs)
        return original(*args, **options)

    monkeypatch.setattr(tokenization, "tokenize_rows", overtaken)
    assert len(tokenize_split(open_source(task, str(files)), task, "train", tokenizer, **kwargs)[0]) == 2
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_long_splits_are_tokenised_in_chunks(files, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(tokenization, "CHUNK", 1)
    task = find_task("rte")
    kwargs = {"max_length": 32, "segment_ids": "tokenizer", "cache_dir": str(tmp_path / "cache")}
    train = tokenize_split(open_source(task, str(files)), task, "train", tokenizer, **kwargs)[0]
    assert train.fields["idx"].tolist() == [0, 1]
    assert tokenizer.decode(train[1]["input_ids"]) == "[CLS] a new ship [SEP] the bank [SEP]"
