import json
import math
import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
import pytorch_lightning as pl
import torch

from datamodules import GLUEDataModule, added
from datamodules.added import MASKED_LANGUAGE_MODEL
from datamodules.batches.grouping import evaluation_batches
from datamodules.sources.glue_files import TSVSource
from datamodules.sources.opening import open_source
from datamodules.tasks.glue import TASKS
from datamodules.tokens import tokenization
from tests.tasks import save_masked_language_model


def ignore_lightning(test):
    """Ignore two warnings: of a torch function that Lightning 2.6 uses, and of loaders without workers."""
    for warning in ("ignore:.*LeafSpec.*:FutureWarning", "ignore:.*does not have many workers.*"):
        test = pytest.mark.filterwarnings(warning)(test)
    return test


@pytest.fixture
def make(tokenizer_dir, sample_dir, shared_cache):
    def factory(task="mrpc", **kwargs):
        defaults = {"data_dir": str(sample_dir), "cache_dir": shared_cache, "batch_size": 16}
        return GLUEDataModule(task, model_name_or_path=str(tokenizer_dir), **(defaults | kwargs))

    return factory


def rows_of(loader):
    return [int(row) for batch in loader for row in batch["idx"]]


def labels_of(loader):
    return Counter(int(label) for batch in loader for label in batch["labels"])


def test_attributes_before_anything_is_read():
    data = GLUEDataModule("stsb", "nowhere", "nowhere")
    assert data.task is TASKS["stsb"]
    assert data.label_names == ["similarity"]
    assert data.metrics == ["pearson", "spearmanr"]


@pytest.mark.parametrize("task", ["rte", "mrpc", "stsb", "sst2", "qnli", "qqp", "mnli", "mnlimm"])
def test_parts_of_every_task(make, task):
    data = make(task)
    data.prepare_data()
    data.setup("fit")
    size = 300 if task in ("sst2", "mrpc") else 200
    train, selection = rows_of(data.train_dataloader()), rows_of(data.val_dataloader())
    assert sorted(train + selection) == list(range(size))
    assert len(selection) == size // 10
    assert sorted(rows_of(data.test_dataloader())) == list(range(size // 5))
    assert sorted(rows_of(data.predict_dataloader())) == list(range(size // 10))
    batch = next(iter(data.train_dataloader()))
    assert batch["labels"].dtype == (torch.float32 if task == "stsb" else torch.int64)
    assert set(batch) == {"input_ids", "attention_mask", "token_type_ids", "labels", "idx"}
    assert "labels" not in next(iter(data.predict_dataloader()))


def test_batches_hold_the_files_rows(make, sample_dir, tokenizer):
    rows = open_source(TASKS["mrpc"], str(sample_dir)).rows("train")
    for batch in make().train_dataloader():
        index = batch["idx"].tolist()
        texts = [rows.text_a[i] for i in index], [rows.text_b[i] for i in index]
        expected = tokenizer(*texts, padding=True, pad_to_multiple_of=8, return_tensors="pt")
        assert all(torch.equal(batch[name], expected[name]) for name in expected)
        assert batch["labels"].tolist() == [rows.labels[i] for i in index]


def test_selection_part_is_stratified_and_seeded(make):
    assert labels_of(make().val_dataloader()) == {0: 15, 1: 15}
    chosen = set(rows_of(make().val_dataloader()))
    assert chosen == set(rows_of(make(batch_size=7).val_dataloader()))
    assert chosen != set(rows_of(make(seed=1).val_dataloader()))
    scores = sorted(
        float(y) for batch in make("stsb", selection_fraction=0.3).val_dataloader() for y in batch["labels"]
    )
    assert all(8 <= count <= 12 for count in Counter(scores).values())


def test_selection_from_validation_leaves_train_whole(make):
    data = make(selection="validation")
    assert sorted(rows_of(data.train_dataloader())) == list(range(300))
    assert rows_of(data.val_dataloader()) == rows_of(data.test_dataloader())


def test_train_limit_comes_before_the_selection_part(make):
    data = make(train_limit=100)
    train, selection = rows_of(data.train_dataloader()), rows_of(data.val_dataloader())
    assert len(set(train) | set(selection)) == 100
    assert len(selection) == 10
    assert labels_of(data.train_dataloader()) + labels_of(data.val_dataloader()) == {0: 50, 1: 50}
    whole = make(train_limit=100, selection="validation")
    assert sorted(rows_of(whole.train_dataloader())) == sorted(train + selection)
    with pytest.raises(ValueError, match=r"selection_fraction is 0.1: of 4 rows of train that makes .* 0 rows"):
        make(train_limit=4).val_dataloader()


@pytest.mark.parametrize("task", ["mrpc", "stsb"])
def test_rows_without_a_label(make, task):
    whole, few = make(task), make(task, labelled_limit=40)

    def labels_by_row(data):
        batches = list(data.train_dataloader())
        rows, labels = (torch.cat([batch[name] for batch in batches]).tolist() for name in ("idx", "labels"))
        return dict(zip(rows, labels, strict=True))

    every, known = labels_by_row(whole), labels_by_row(few)
    assert len(known) == 40
    assert known.items() <= every.items()
    assert sorted(rows_of(few.val_dataloader())) == sorted(rows_of(whole.val_dataloader()))
    mixed = make(task, labelled_limit=40, use_unlabelled=True).train_dataloader()
    assert rows_of(mixed) == rows_of(whole.train_dataloader())
    for batch in mixed:
        for row, label in zip(batch["idx"].tolist(), batch["labels"].tolist(), strict=True):
            if row in known:
                assert label == known[row]
            else:
                assert math.isnan(label) if task == "stsb" else label == -100
    if task == "mrpc":
        assert max(Counter(known.values()).values()) - min(Counter(known.values()).values()) <= 1  # half of each class
    assert make(task, labelled_limit=10**6).fingerprint("train") == whole.fingerprint("train")
    assert few.fingerprint("train") != whole.fingerprint("train")


@pytest.fixture
def more_rows(tmp_path, sample_dir):
    """Files of rows without labels; the first 3 rows are in dev, the next 30 in train."""
    lines = {split: (sample_dir / f"SST-2/{split}.tsv").read_text().splitlines()[1:] for split in ("dev", "train")}
    texts = [line.split("\t")[0] for line in (*lines["dev"][:3], *lines["train"][:30])]
    texts += [f"a new row of number {number}" for number in range(100)]
    (tmp_path / "more.tsv").write_text("\n".join(["sentence", *texts[:50]]) + "\n")
    (tmp_path / "more.jsonl").write_text("".join(json.dumps({"sentence": text}) + "\n" for text in texts[50:]))
    return [str(tmp_path / "more.tsv"), str(tmp_path / "more.jsonl")]


def test_rows_of_other_files(make, more_rows):
    """A row of train that is in the selection part is left out, too, as that is where models are chosen."""
    plain = make("sst2")
    every = make("sst2", unlabelled=more_rows, use_unlabelled=True)
    every.setup("fit")
    selection = rows_of(plain.val_dataloader())
    labels = dict(pairs_of(every.train_dataloader()))
    added = sorted(labels.keys() - set(rows_of(plain.train_dataloader())))
    left_out = {0, 1, 2, *(3 + row for row in selection if row < 30)}
    assert len(left_out) > 3
    assert added == [300 + row for row in range(133) if row not in left_out]
    assert {labels[row] for row in added} == {-100}
    assert -100 not in {label for row, label in labels.items() if row < 300}
    assert rows_of(every.val_dataloader()) == selection
    assert rows_of(make("sst2", unlabelled=more_rows).train_dataloader()) == rows_of(plain.train_dataloader())


def test_epochs_with_a_ratio(make, more_rows):
    data = make("sst2", unlabelled=more_rows, use_unlabelled=True, labelled_limit=40, unlabelled_ratio=1.5)
    loader = data.train_dataloader()
    for epoch in range(2):
        loader.batch_sampler.set_epoch(epoch)
        counts = labels_of(loader)
        assert (counts[-100], counts.total(), len(loader)) == (60, 100, 7)
    # Scoring, such as the pass for the teacher's outputs, gives each row once.
    assert len(rows_of(data.scoring_dataloader("train"))) == len(loader.dataset) > 300


def test_changed_rows_are_rows_without_labels(make, caplog):
    plain = make("mrpc")
    data = make("mrpc", changed_rows=1.5, changes=["swap", "mix"], use_unlabelled=True)
    train = rows_of(plain.train_dataloader())
    labels = dict(pairs_of(data.train_dataloader()))
    added = sorted(labels.keys() - set(train))
    assert added[0] >= 300
    assert 0.95 * 1.5 * len(train) <= len(added) <= 1.5 * len(train)  # a few may be in dev
    assert {labels[row] for row in added} == {-100}
    assert rows_of(data.val_dataloader()) == rows_of(plain.val_dataloader())
    # The rows are those of the cut, for any seed of the fit.
    one, same = (make("mrpc", changed_rows=1, use_unlabelled=True, seed=seed, cut_seed=4) for seed in (1, 2))
    assert one.fingerprint("train") == same.fingerprint("train") != data.fingerprint("train")
    assert sorted(pairs_of(one.train_dataloader())) == sorted(pairs_of(same.train_dataloader()))
    few = make("mrpc", changed_rows=1, use_unlabelled=True, labelled_limit=40)
    assert len(rows_of(few.train_dataloader())) == len(train)
    assert f"no row is changed, because there are {len(train) - 40} rows without a label for 40 with one" in caplog.text


@pytest.fixture
def filled(make, masked_language_model, tmp_path):
    """Makes data with rows that a masked language model changes, in a cache of its own."""
    settings = {"changed_rows": 1, "changes": ["masked_lm"], "use_unlabelled": True, "cache_dir": str(tmp_path / "a")}
    return lambda **more: make(
        "mrpc", **{**settings, "masked_language_model": str(masked_language_model), "cut_seed": 4, **more}
    )


def tokens_of(data):
    rows = data.scoring_dataloader("train").dataset
    return {row["idx"]: row["input_ids"] for row in (rows[place] for place in range(len(rows)))}


def test_rows_that_a_masked_language_model_changes(filled, monkeypatch):
    data = filled()
    tokens = tokens_of(data)
    originals = [row for row in tokens if row < 300]
    added = {row: ids for row, ids in tokens.items() if row >= 300}
    assert 0.9 * len(originals) < len(added) <= len(originals)
    shares = []
    for row, ids in added.items():
        # The rows take turns; those that are in dev are left out, but counted.
        before = tokens[originals[row - 300]]
        assert len(ids) == len(before)
        shares.append(sum(new != old for new, old in zip(ids, before, strict=True)) / len(ids))
    assert 0.08 < sum(shares) / len(shares) < 0.18
    # Another process or stage gets the same rows from the cache, and does not open the model.
    monkeypatch.setattr("datamodules.changes.changed.open_filler", None)
    again = filled(seed=7)
    assert tokens_of(again) == tokens
    assert again.fingerprint("train") == data.fingerprint("train")
    monkeypatch.undo()
    one, other = (tokens_of(filled(selection="validation", cut_seed=seed)) for seed in (4, 5))
    assert {row: ids for row, ids in one.items() if row < 300} == {row: ids for row, ids in other.items() if row < 300}
    assert one != other


def test_the_content_of_the_masked_language_model_counts(filled, masked_language_model, tokenizer_dir, tmp_path):
    data = filled()
    state = data.state_dict()
    assert state["content"].keys() == {"train", "dev", "test", MASKED_LANGUAGE_MODEL}
    assert data.contents() == {**state["content"], "dev": data.digest("dev")}
    elsewhere = shutil.copytree(masked_language_model, tmp_path / "elsewhere")
    moved = filled(masked_language_model=str(elsewhere))
    moved.load_state_dict(state)
    assert moved.fingerprint("train") == data.fingerprint("train")
    other = filled(masked_language_model=str(save_masked_language_model(tmp_path / "b", tokenizer_dir, seed=1)))
    assert other.fingerprint("train") != data.fingerprint("train")
    with pytest.raises(ValueError, match=r"data.masked_language_model is .*: it is not what the checkpoint"):
        other.load_state_dict(state)
    assert MASKED_LANGUAGE_MODEL not in filled(changes=["swap"]).contents()
    assert MASKED_LANGUAGE_MODEL not in filled(use_unlabelled=False).state_dict()["content"]


def test_a_masked_language_model_that_changes_while_the_run_works(filled, masked_language_model, tmp_path, monkeypatch):
    folder = shutil.copytree(masked_language_model, tmp_path / "model")
    data, original = filled(masked_language_model=str(folder)), added.changed_rows
    data.contents()
    monkeypatch.setattr(
        added, "changed_rows", lambda *args: (folder / "vocab.txt").write_text("other") and original(*args)
    )
    with pytest.raises(ValueError, match=f"^{folder} changed while the run was working: give the same command again"):
        tokens_of(data)
    assert not list((tmp_path / "a").glob("mrpc-changed*"))
    monkeypatch.undo()
    tokens_of(filled())
    with pytest.raises(ValueError, match=f"^{masked_language_model} changed while the run was working"):
        tokens_of(filled(expected_content={MASKED_LANGUAGE_MODEL: "0" * 64}))


def test_one_process_makes_the_rows_for_all_of_them(filled, tmp_path, monkeypatch):
    first = filled()
    first.trainer = SimpleNamespace(state=SimpleNamespace(fn="test"))
    first.prepare_data()
    assert not list((tmp_path / "a").glob("mrpc-changed*"))
    first.trainer.state.fn = "fit"
    first.prepare_data()
    monkeypatch.setattr("datamodules.changes.changed.open_filler", None)
    other = filled()
    other.setup("fit")
    assert tokens_of(other) == tokens_of(first)


def test_answers_of_files_are_found_by_their_texts(make, sample_dir, tmp_path):
    lines = [line.split("\t")[0] for line in (sample_dir / "SST-2/train.tsv").read_text().splitlines()[1:]]
    labels = "probability_positive", "probability_negative"
    for teacher, shift in (("a", 0), ("b", 10)):
        answers = [
            {
                "sentence": text,
                **dict(zip(labels, (0.2 + (n + shift) % 7 / 10, 0.8 - (n + shift) % 7 / 10), strict=True)),
            }
            for n, text in enumerate(lines)
        ]
        (tmp_path / f"{teacher}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers[::-1]))
    data = make("sst2")
    files = [str(tmp_path / f"{teacher}.jsonl") for teacher in "ab"]
    idx, values = data.train_answers(files)
    assert sorted(idx.tolist()) == sorted(rows_of(data.train_dataloader()))
    # Equal texts have the mean of all their answers.
    known = {}
    for number, text in enumerate(lines):
        known.setdefault(text, []).append(sum(0.2 + (number + shift) % 7 / 10 for shift in (0, 10)) / 2)
    expected = [sum(known[lines[row]]) / len(known[lines[row]]) for row in idx.tolist()]
    torch.testing.assert_close(values[:, 1], torch.tensor(expected))
    torch.testing.assert_close(values.sum(1), torch.ones(len(idx)))
    (tmp_path / "a.jsonl").write_text((tmp_path / "a.jsonl").read_text().split("\n", 1)[0] + "\n")
    with pytest.raises(ValueError, match=r"a.jsonl: no answer for 2\d\d of 270 rows, such as '"):
        data.train_answers(files[:1])
    with pytest.raises(ValueError, match=r"data.changed_rows make rows that no file has answers for"):
        make("sst2", changed_rows=1, use_unlabelled=True).train_answers(files)


def test_epochs_of_a_number_of_batches(make):
    whole, data = make("sst2"), make("sst2", batches_per_epoch=10)
    passes, loader = whole.train_dataloader(), data.train_dataloader()
    assert (len(passes), len(loader)) == (17, 10)
    expected, found = [], []
    for epoch in range(2):
        passes.batch_sampler.set_epoch(epoch)
        expected += rows_of(passes)
        loader.batch_sampler.set_epoch(epoch)
        found += rows_of(loader)
    assert found == expected[: len(found)]
    assert len(found) > 300
    with pytest.raises(ValueError, match=r"data.batches_per_epoch is 10 but the checkpoint was made with None"):
        data.load_state_dict(whole.state_dict())


def pairs_of(loader):
    return [pair for batch in loader for pair in zip(batch["idx"].tolist(), batch["labels"].tolist(), strict=True)]


def test_the_content_of_other_files_is_known(make, more_rows):
    plain, data = make("sst2"), make("sst2", unlabelled=more_rows, use_unlabelled=True)
    assert plain.contents().keys() == {"train", "dev"}
    assert data.contents().keys() == {"train", "dev", "test", "unlabelled"}
    state = data.state_dict()
    before = data.fingerprint("train")
    assert before != plain.fingerprint("train")
    assert data.fingerprint("selection") != plain.fingerprint("train")
    Path(more_rows[0]).write_text("sentence\nnothing but this\n")
    changed = make("sst2", unlabelled=more_rows, use_unlabelled=True)
    assert changed.fingerprint("train") != before
    with pytest.raises(ValueError, match=r"^what is in \S*more.tsv, \S*more.jsonl is not what the checkpoint was"):
        changed.load_state_dict(state)


def test_scoring_order_is_fixed(make):
    data = make()
    chosen = sorted(rows_of(data.val_dataloader()))
    assert rows_of(data.scoring_dataloader("selection", grouped=False)) == chosen
    assert rows_of(data.scoring_dataloader("validation", grouped=False)) == list(range(60))
    assert sorted(rows_of(data.scoring_dataloader("train"))) == sorted(rows_of(data.train_dataloader()))
    grouped = data.scoring_dataloader("selection")
    assert sorted(rows_of(grouped)) == chosen
    assert rows_of(grouped) == rows_of(grouped)
    widths = [batch["input_ids"].shape[1] for batch in grouped]
    assert widths == sorted(widths)
    with pytest.raises(ValueError, match="split is 'dev': choose one of selection, validation, train"):
        data.scoring_dataloader("dev")


def test_refitting_reads_random_rows_of_train_until_they_have_enough_tokens(make):
    data = make()
    train = sorted(rows_of(data.train_dataloader()))
    batches = list(data.refitting_dataloader(150))
    found = rows_of(batches)
    lengths = [int(mask.sum()) for batch in batches for mask in batch["attention_mask"]]
    assert set(found) < set(train)
    assert len(set(found)) == len(found)
    assert 150 <= sum(lengths) < 150 + max(lengths)
    assert lengths == sorted(lengths)
    assert found == rows_of(make().refitting_dataloader(150))
    assert set(found) <= set(rows_of(data.refitting_dataloader(200)))
    assert set(found) != set(rows_of(make(seed=8).refitting_dataloader(150)))
    assert sorted(rows_of(data.refitting_dataloader(10**6))) == train


def test_train_order_follows_set_epoch(make):
    loader = make().train_dataloader()
    first = rows_of(loader)
    assert rows_of(make().train_dataloader()) == first
    loader.batch_sampler.set_epoch(1)
    second = rows_of(loader)
    assert second != first
    loader.batch_sampler.set_epoch(1, first_batch=3)
    assert rows_of(loader) == second[len(second) - len(rows_of(loader)) :]
    assert len(loader) == 17


def test_loaders_leave_the_global_random_state_alone(make):
    data = make()
    state = torch.get_rng_state()
    for loader in (
        data.train_dataloader(),
        data.val_dataloader(),
        data.test_dataloader(),
        data.predict_dataloader(),
        data.scoring_dataloader("train"),
    ):
        rows_of(loader)
    assert torch.equal(torch.get_rng_state(), state)


def test_segment_ids_and_padding(make):
    batch = next(iter(make(segment_ids="stark", pad_to_multiple_of=32).val_dataloader()))
    assert batch["input_ids"].shape[1] % 32 == 0
    last = batch["attention_mask"].sum(1) - 1
    assert batch["token_type_ids"].gather(1, last[:, None]).sum() == 0
    assert batch["token_type_ids"].sum() > 0


def test_rows_are_cut_at_the_most_tokens(make):
    assert max(batch["input_ids"].shape[1] for batch in make(max_length=16).train_dataloader()) == 16


class Rank:
    """The attributes of a trainer that the data module reads."""

    def __init__(self, world_size, rank):
        self.world_size, self.global_rank = world_size, rank


def on_ranks(make, world_size):
    ranks = [make() for _ in range(world_size)]
    for rank, data in enumerate(ranks):
        data.trainer = Rank(world_size, rank)
    return ranks


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("multiple", [8, 16])
def test_token_budget(make, world_size, multiple):
    ranks = on_ranks(partial(make, tokens_per_batch=256, pad_to_multiple_of=multiple), world_size)
    loaders = [data.train_dataloader() for data in ranks]
    rows, shapes = Counter(), set()
    for loader in loaders:
        loader.batch_sampler.set_epoch(2)
        batches = list(loader)
        assert len(batches) == len(loader) == len(loaders[0])
        for batch in batches:
            rows.update(batch["idx"].tolist())
            shapes.add(tuple(batch["input_ids"].shape))
    assert rows.keys() == set(rows_of(make().train_dataloader()))
    assert all(count * width <= 256 and width % multiple == 0 for count, width in shapes)
    assert max(Counter(width for _, width in shapes).values()) <= 2
    assert len({count for count, _ in shapes}) > 2
    # Evaluation still uses batches of batch_size rows.
    assert len(ranks[0].test_dataloader()) == len(make().test_dataloader()) / world_size


@pytest.mark.parametrize("world_size", [2, 7])
def test_ranks_share_the_work(make, world_size):
    ranks = on_ranks(make, world_size)
    for name in ("val_dataloader", "test_dataloader", "predict_dataloader"):
        whole = rows_of(getattr(make(), name)())
        assert sorted(row for data in ranks for row in rows_of(getattr(data, name)())) == sorted(whole)
    batches = list(evaluation_batches(ranks[0]._splits.rows("dev").lengths, min(16, 60 // world_size)))
    assert [batch["idx"].tolist() for batch in ranks[1].test_dataloader()] == batches[1::world_size]
    train = [rows_of(data.train_dataloader()) for data in ranks]
    assert len({len(data.train_dataloader()) for data in ranks}) == 1
    assert set().union(*train) == set(rows_of(make().train_dataloader()))
    scored = [rows_of(data.scoring_dataloader("selection")) for data in ranks]
    assert all(rows == scored[0] for rows in scored)
    ranks[0].setup("test")
    assert ranks[0].allow_zero_length_dataloader_with_multiple_devices


def test_every_rank_has_a_batch_but_no_row_twice(make):
    """On a rank without a batch, Lightning skips the evaluation together with its hooks."""
    ranks = on_ranks(make, 61)
    for name in ("test_dataloader", "predict_dataloader"):
        batches = [list(getattr(data, name)()) for data in ranks]
        assert [len(of_rank) for of_rank in batches] == [1] * 61
        rows = [row for of_rank in batches for row in of_rank[0]["idx"].tolist()]
        assert len(rows) < 61
        assert [len(of_rank[0]["idx"]) for of_rank in batches] == [1] * len(rows) + [0] * (61 - len(rows))
        assert sorted(rows) == list(range(len(rows)))


def test_rows_that_were_not_expected_are_refused(make, tmp_path):
    expected = {"train": make().digest("train")}
    same = make(expected_content=expected)
    same.setup("fit")
    with pytest.raises(ValueError, match=r"the train split of task 'mrpc' in .* changed while the run was working: "):
        make(expected_content={"train": "0" * 64}).setup("fit")
    make(expected_content={"train": "0" * 64}).setup("test")  # reads only dev


def test_the_content_is_that_of_the_rows_that_were_loaded(make, monkeypatch):
    """The file may have changed by the time of the call."""
    data, digest = make(), make().digest("train")
    data.setup("fit")
    monkeypatch.setattr(TSVSource, "digest", lambda *_: "changed")
    assert data.digest("train") == digest
    asked_before = make()
    assert asked_before.digest("train") == "changed"
    monkeypatch.undo()
    with pytest.raises(ValueError, match="changed while the run was working"):
        asked_before.setup("fit")


def test_settings_of_a_checkpoint_are_compared(make):
    data = make()
    state = data.state_dict()
    assert state["task"] == "mrpc"
    assert state["train_limit"] is None
    assert all(isinstance(value, str | int | float | None) for name, value in state.items() if name != "content")
    assert state["content"] == {"train": data.digest("train")}
    with pytest.raises(ValueError, match=r"the train split of task 'mrpc' in .* is not what the checkpoint"):
        data.load_state_dict({**state, "content": {"train": "0" * 64}})
    with pytest.raises(ValueError, match=r"^the tokenizer of .* is not the one that the checkpoint was made with"):
        data.load_state_dict({**state, "tokenizer": "0" * 64})
    make().load_state_dict(state)
    earlier = {name: value for name, value in state.items() if name != "tokenizer"}
    make().load_state_dict(earlier)
    changes = (
        {"batch_size": 32},
        {"tokens_per_batch": 512},
        {"seed": 3},
        {"selection": "validation"},
        {"train_limit": 50},
        {"task": "rte"},
    )
    for change in changes:
        (name, value), *_ = change.items()
        message = f"^data.{name} is {value} but the checkpoint was made with {state[name]}: resume with the same"
        with pytest.raises(ValueError, match=message):
            make(**change).load_state_dict(state)


def test_a_fingerprint_is_that_of_rows_tokens_and_batches(make):
    same = [make(), make(seed=0), make(num_workers=1)]
    assert len({data.fingerprint("train") for data in same}) == 1
    other = [make(seed=1), make(batch_size=8), make(train_limit=90), make(max_length=9), make(task="rte")]
    other += [make(pad_to_multiple_of=1), make(selection="validation"), make(segment_ids="stark")]
    prints = [data.fingerprint("train") for data in (make(), *other)]
    assert len(set(prints)) == len(prints)
    assert len({make().fingerprint(split) for split in ("train", "selection", "validation")}) == 3
    assert make(selection="validation").fingerprint("selection") == make().fingerprint("validation")


def test_ax_has_no_fit(make, tmp_path):
    data = make("ax", data_dir=str(tmp_path))
    with pytest.raises(ValueError, match=r"^task 'ax' has only a test split: models trained on mnli predict it$"):
        data.setup("fit")
    (tmp_path / "diagnostic.tsv").write_text("index\tsentence1\tsentence2\n1\tthe cat\tno cat\n0\ta\tb\n")
    data.prepare_data()
    data.setup("predict")
    assert sorted(rows_of(data.predict_dataloader())) == [0, 1]


def test_saved_data_set_gives_the_same_batches(make, sample_dir, tmp_path):
    rows = open_source(TASKS["mrpc"], str(sample_dir)).rows("train")
    columns = {"sentence1": rows.text_a, "sentence2": rows.text_b, "label": rows.labels, "idx": rows.idx}
    datasets.DatasetDict(train=datasets.Dataset.from_dict(columns)).save_to_disk(str(tmp_path))
    for ours, theirs in zip(make().train_dataloader(), make(data_dir=str(tmp_path)).train_dataloader(), strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


class Recorder(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.rows = Counter()

    def training_step(self, batch, _):
        self.rows["train"] += len(batch["idx"])
        return self.layer(batch["labels"][:, None].float()).mean()

    def validation_step(self, batch, _):
        self.rows["val"] += len(batch["idx"])

    def test_step(self, batch, batch_idx):
        self.rows["test"] += len(batch["idx"])

    def predict_step(self, batch, _):
        return batch["idx"]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def trainer(tmp_path):
    return pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
    )


@ignore_lightning
def test_with_a_trainer(make, trainer, tmp_path):
    model = Recorder()
    data = make()
    trainer.fit(model, data)
    trainer.test(model, data, verbose=False)
    assert model.rows == {"train": 270, "val": 30, "test": 60}
    predicted = torch.cat(trainer.predict(model, data))
    assert sorted(predicted.tolist()) == list(range(30))
    checkpoint = tmp_path / "x.ckpt"
    trainer.save_checkpoint(checkpoint)
    # other batches are allowed for a test, but not for resuming the fit
    trainer.test(model, make(batch_size=8), ckpt_path=checkpoint, weights_only=True, verbose=False)
    with pytest.raises(ValueError, match=r"data.batch_size is 8 but the checkpoint was made with 16"):
        trainer.fit(model, make(batch_size=8), ckpt_path=checkpoint, weights_only=True)


@ignore_lightning
def test_only_needed_splits_must_exist(make, trainer, tmp_path, sample_dir):
    folder = tmp_path / "MRPC"
    folder.mkdir()
    (folder / "train.tsv").write_bytes((sample_dir / "MRPC" / "train.tsv").read_bytes())
    data = make(data_dir=str(tmp_path))
    model = Recorder()
    trainer.fit(model, data)
    for run, file in ((trainer.test, "dev"), (trainer.predict, "test")):
        with pytest.raises(
            FileNotFoundError, match=rf"MRPC/{file}.tsv: no such file \(the {file} split of task 'mrpc'\)"
        ):
            run(model, data)
    with pytest.raises(FileNotFoundError, match=r"MRPC/dev.tsv"):
        trainer.fit(model, make(data_dir=str(tmp_path), selection="validation"))


def test_setup_reads_what_prepare_data_wrote(make, tmp_path, monkeypatch):
    make(cache_dir=str(tmp_path)).prepare_data()

    def never(*_, **__):
        raise AssertionError("tokenised again")

    monkeypatch.setattr(tokenization, "encode", never)
    data = make(cache_dir=str(tmp_path))
    data.setup("fit")
    assert len(rows_of(data.train_dataloader())) == 270


@pytest.mark.parametrize("selection", ["train", "validation"])
def test_labelled_texts_are_those_of_the_batches(make, selection):
    data = make(labelled_limit=20, selection=selection)
    data.setup("fit")
    data.setup("test")
    loaders = {"train": data.train_dataloader, "selection": data.val_dataloader, "dev": data.test_dataloader}
    for part, loader in loaders.items():
        rows = data.labelled_texts(part)
        batches = list(loader())
        expected = {
            int(row): int(label) for batch in batches for row, label in zip(batch["idx"], batch["labels"], strict=True)
        }
        assert dict(zip(rows.idx, rows.labels, strict=True)) == {row: expected[row] for row in sorted(expected)}
        tokens = {int(row): ids for batch in batches for row, ids in zip(batch["idx"], batch["input_ids"], strict=True)}
        for row, first, second in zip(rows.idx, rows.text_a, rows.text_b, strict=True):
            ids = data.tokenizer(first, second, truncation=True, max_length=data.max_length)["input_ids"]
            assert tokens[row][: len(ids)].tolist() == ids


def test_a_row_without_a_label_is_not_among_labelled_texts(tmp_path, make, tokenizer_dir, shared_cache):
    (tmp_path / "train.csv").write_text("text,label\n" + "a film,good\na film again,\nanother film,bad\n" * 10)
    (tmp_path / "dev.csv").write_text("text,label\nx,good\ny,bad\n")
    (tmp_path / "own.yaml").write_text("train: train.csv\ndev: dev.csv\ntext: text\nlabel: label\n")
    data = make(task=str(tmp_path / "own.yaml"), data_dir=None)
    rows = [data.labelled_texts(part) for part in ("train", "selection")]
    assert sorted([*rows[0].idx, *rows[1].idx]) == [row for row in range(30) if row % 3 != 1]
    assert set(rows[0].text_a) | set(rows[1].text_a) == {"a film", "another film"}
    (tmp_path / "train.csv").write_text("text,label\n" + "another,good\nbad film,bad\n" * 20)
    with pytest.raises(ValueError, match="the train split of task 'own' changed"):
        data.labelled_texts("train")


def test_training_texts_are_all_of_train_and_of_the_files_without_labels(tmp_path, make):
    (tmp_path / "train.csv").write_text("text,label\n" + "a film,good\nno label,\nbad film,bad\n" * 10)
    (tmp_path / "dev.csv").write_text("text,label\nx,good\ny,bad\n")
    (tmp_path / "more.csv").write_text("text\none more\n")
    (tmp_path / "even_more.csv").write_text("text\nand another\n")
    (tmp_path / "own.yaml").write_text(
        "train: train.csv\ndev: dev.csv\nunlabelled: [more.csv]\ntext: text\nlabel: label\n"
    )
    data = make(task=str(tmp_path / "own.yaml"), data_dir=None, unlabelled=[str(tmp_path / "even_more.csv")])
    assert data.training_texts() == ["a film", "no label", "bad film"] * 10 + ["one more", "and another"]
