import contextlib
import json
import logging
import os
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import BertForMaskedLM

from stark.encoders.cutting import shrink_
from stark.encoders.layers import kept_units
from stark.encoders.units import KeptUnits, UnitMasks
from stark.model_folders.model_folder import load_classifier, load_tokenizer, model_digest, save_classifier
from stark.model_folders.sample_encoder import save_sample_encoder
from stark.problems.table import set_labels_
from stark.storage import CHECKSUMS_FILE, DamagedError, ReadError, write_checksums
from tests.passing import PASSING, unreadable
from tests.tiny import FAMILIES, random_masks, tiny_batch, tiny_classifier

NAMES = ["entailment", "neutral", "contradiction"]


def named_classifier(names=NAMES, family="bert", **sizes):
    model = tiny_classifier(family, num_labels=len(names), **sizes)
    set_labels_(model.config, names)
    return model


def logits(model):
    with torch.no_grad():
        return model(**{k: v for k, v in tiny_batch().items() if k != "labels"}).logits


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory):
    return save_sample_encoder(tmp_path_factory.mktemp("sample") / "encoder", [f"word{n}" for n in range(120)])


@pytest.mark.parametrize("shrunk", ["dense", "uneven", "empty blocks"])
@pytest.mark.parametrize("family", FAMILIES)
def test_reloading_is_bit_identical(family, shrunk, tmp_path, capfd):
    model = named_classifier(family=family)
    if shrunk != "dense":
        empty = {"empty_heads": 0, "empty_neurons": 0} if shrunk == "empty blocks" else {}
        shrink_(model, random_masks(model, **empty))
    folder = save_classifier(model.train(), tmp_path / "deep" / "model")
    for names in (NAMES, None):
        loaded = load_classifier(folder, label_names=names, new_head=False)
        assert type(loaded) is type(model)
        assert not loaded.training
        assert torch.equal(logits(loaded), logits(model.eval()))
        assert kept_units(loaded) == kept_units(model)
        assert loaded.config.id2label == dict(enumerate(NAMES))
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize("family", FAMILIES)
def test_labels_in_another_order_or_case_are_taken_by_their_names(family, tmp_path, caplog):
    model = named_classifier(family=family).eval()
    folder = save_classifier(model, tmp_path / "model")
    loaded = load_classifier(folder, label_names=["Contradiction", "entailment", "NEUTRAL"], new_head=False)
    torch.testing.assert_close(logits(loaded), logits(model)[:, [2, 0, 1]], rtol=0, atol=1e-6)
    assert loaded.config.id2label == {0: "Contradiction", 1: "entailment", 2: "NEUTRAL"}
    (line,) = caplog.messages
    assert line.endswith(f"its labels {NAMES} are taken as ['Contradiction', 'entailment', 'NEUTRAL'], by their names")
    again = save_classifier(loaded, tmp_path / "again")
    assert torch.equal(logits(load_classifier(again)), logits(loaded))
    with pytest.raises(ValueError, match="name the task's labels as the model does"):
        load_classifier(folder, label_names=["entailment", "neutral", "other"])


def test_float16_weights_come_back_as_float32(tmp_path):
    folder = save_classifier(named_classifier().half(), tmp_path / "model")
    assert {parameter.dtype for parameter in load_classifier(folder).parameters()} == {torch.float32}


def test_config_is_readable(tmp_path):
    model = named_classifier()
    shrink_(model, random_masks(model))
    config = json.loads((save_classifier(model, tmp_path / "model") / "config.json").read_text())
    assert config["model_type"] == "stark-bert"
    assert config["id2label"] == {"0": "entailment", "1": "neutral", "2": "contradiction"}
    assert config["kept_units"] == kept_units(model).to_json()
    assert config["num_attention_heads"] == 4
    assert "architectures" not in model.config.to_dict() or model.config.architectures is None


def test_the_weights_are_readable_by_whom_the_rest_is(tmp_path):
    folder = save_classifier(named_classifier(), tmp_path / "model")
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_saving_replaces_only_what_it_wrote(tmp_path):
    folder = save_classifier(named_classifier(), tmp_path / "model")
    first = model_digest(folder)
    save_classifier(named_classifier(seed=1), folder)
    assert model_digest(folder) != first
    save_classifier(named_classifier(), folder)
    assert model_digest(folder) == first
    (tmp_path / "nothing").mkdir()
    save_classifier(named_classifier(), tmp_path / "nothing")


def add_notes(folder):
    (folder / "notes.txt").write_text("years of work")


def add_folder(folder):
    (folder / "sub").mkdir()
    add_notes(folder / "sub")


def edit(folder):
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")


def become_foreign(folder):
    (folder / CHECKSUMS_FILE).unlink()


def become_notes(folder):
    shutil.rmtree(folder)
    folder.mkdir()
    add_notes(folder)


def become_file(folder):
    shutil.rmtree(folder)
    folder.write_text("")


@pytest.mark.parametrize("change", [add_notes, add_folder, edit, become_foreign, become_notes, become_file])
def test_saving_keeps_what_it_did_not_write(change, tmp_path):
    folder = save_classifier(named_classifier(), tmp_path / "model")
    change(folder)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(
        ValueError, match="model exists and is not a model folder that this project wrote, or was changed"
    ):
        save_classifier(named_classifier(seed=1), folder)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_failed_save_leaves_the_old_folder_and_no_litter(tmp_path):
    class BadTokenizer:
        def save_pretrained(self, folder):
            raise OSError("disk full")

    folder = save_classifier(named_classifier(), tmp_path / "model")
    before = model_digest(folder)
    with pytest.raises(OSError, match="disk full"):
        save_classifier(named_classifier(seed=1), folder, BadTokenizer())
    assert model_digest(folder) == before
    assert os.listdir(tmp_path) == ["model"]


def test_a_plain_encoder_gets_a_head_from_the_random_state(encoder_folder, capfd):
    torch.manual_seed(5)
    first = load_classifier(encoder_folder, label_names=NAMES)
    torch.manual_seed(5)
    again = load_classifier(encoder_folder, label_names=NAMES)
    other = load_classifier(encoder_folder, label_names=NAMES)
    assert first.classifier.weight.shape == (3, 128)
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    assert torch.equal(first.bert.pooler.dense.weight, other.bert.pooler.dense.weight)
    assert first.config.problem_type == "single_label_classification"
    assert "".join(capfd.readouterr()) == ""


def test_one_name_is_regression(encoder_folder, tmp_path):
    model = load_classifier(encoder_folder, label_names=["similarity"])
    assert (model.config.num_labels, model.config.problem_type) == (1, "regression")
    again = load_classifier(save_classifier(model, tmp_path / "model"), label_names=["similarity"], new_head=False)
    assert again.config.problem_type == "regression"
    assert torch.equal(logits(again), logits(model))


def test_a_masked_language_model_gets_pooler_and_head(tmp_path):
    config = tiny_classifier().config
    BertForMaskedLM(config).save_pretrained(tmp_path)
    torch.manual_seed(1)
    first = load_classifier(tmp_path, label_names=NAMES)
    torch.manual_seed(1)
    assert torch.equal(logits(first), logits(load_classifier(tmp_path, label_names=NAMES)))


def test_unnamed_classifier_is_taken_if_it_fits_and_replaced_if_not(tmp_path, caplog):
    model = tiny_classifier(num_labels=2)
    folder = save_classifier(model, tmp_path / "model")
    taken = load_classifier(folder, label_names=["no", "yes"], new_head=False)
    assert torch.equal(logits(taken), logits(model))
    assert taken.config.label2id == {"no": 0, "yes": 1}
    assert load_classifier(folder, label_names=NAMES).classifier.weight.shape == (3, 32)
    with pytest.raises(ValueError, match="it has no trained classifier for these labels"):
        load_classifier(folder, label_names=NAMES, new_head=False)
    messages = [r.getMessage() for r in caplog.records if r.name == "stark.model_folders.model_folder"]
    assert "taken for ['no', 'yes']" in messages[0]
    assert "replaced by a new one for ['entailment'" in messages[1]
    assert logging.getLogger("transformers").level != logging.ERROR


@pytest.mark.parametrize("names", [[*NAMES[:2], "other"], ["no", "yes"]])
def test_other_label_names_are_refused(names, tmp_path):
    folder = save_classifier(named_classifier(), tmp_path / "model")
    with pytest.raises(ValueError, match="labels") as error:
        load_classifier(folder, label_names=names)
    assert str(NAMES) in str(error.value)
    assert str(names) in str(error.value)


def break_config(folder):
    (folder / "config.json").unlink()


def break_json(folder):
    (folder / "config.json").write_text("{")


def break_type(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))


def break_weights(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def break_to_pickle(folder):
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")


def break_layer(folder):
    state = load_file(folder / "model.safetensors")
    del state["bert.encoder.layer.1.output.dense.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def break_units(folder):
    config = json.loads((folder / "config.json").read_text())
    config["num_hidden_layers"] = 1
    (folder / "config.json").write_text(json.dumps(config))


def test_a_path_is_asked_of_no_hub(monkeypatch):
    monkeypatch.setattr("stark.model_folders.model_folder.PreTrainedConfig.get_config_dict", None)
    monkeypatch.setattr("stark.model_folders.model_folder.AutoTokenizer", None)
    for load in (load_classifier, load_tokenizer):
        with pytest.raises(ValueError, match=r"^cannot load runs/nowhere: there is no such folder$"):
            load(Path("runs/nowhere"))


def break_to_stark(folder):
    state = load_file(folder / "model.safetensors")
    save_file(
        {k.replace("classifier", "cls.3"): v for k, v in state.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "there is no such folder"),
        (break_config, "no config.json in it"),
        (break_json, "not a valid JSON"),
        (break_type, "no family for model type 't5'"),
        (break_weights, "incomplete|MetadataIncompleteBuffer|[Hh]eader"),
        (break_to_pickle, "no file named model.safetensors"),
        (break_layer, "1 weights are missing or do not fit config.json, such as encoder.layer.1.output.dense.weight"),
        (break_units, "16 weights are missing or do not fit config.json, such as encoder.layer.1."),
        (break_to_stark, "layout of a published StarK checkpoint"),
    ],
)
def test_what_cannot_be_loaded_says_why_in_one_line(damage, message, tmp_path):
    folder = save_classifier(named_classifier(), tmp_path / "model")
    (folder / CHECKSUMS_FILE).unlink()  # as in a folder that another program wrote
    damage(folder)
    with pytest.raises(ValueError, match=message) as error:
        load_classifier(folder, label_names=NAMES)
    assert str(error.value).startswith(f"cannot load {folder}: ")
    assert "\n" not in str(error.value)


def test_other_things_that_cannot_be_loaded(encoder_folder):
    with pytest.raises(ValueError, match="it has no classifier"):
        load_classifier(encoder_folder)
    with pytest.raises(ValueError, match="it has no trained classifier for these labels"):
        load_classifier(encoder_folder, label_names=NAMES, new_head=False)
    with pytest.raises(ValueError, match=r"label names must be given and differ: \['a', 'a'\]"):
        load_classifier(encoder_folder, label_names=["a", "a"])
    with pytest.raises(ValueError, match="cannot load no-such/model: ") as error:
        load_classifier("no-such/model")
    assert "\n" not in str(error.value)


def test_tokenizer(encoder_folder, tmp_path):
    tokenizer = load_tokenizer(encoder_folder)
    folder = save_classifier(named_classifier(), tmp_path / "model", tokenizer)
    assert load_tokenizer(folder)("word1 word2").input_ids == tokenizer("word1 word2").input_ids
    with pytest.raises(ValueError, match=r"cannot load .*bare: no tokenizer"):
        load_tokenizer(save_classifier(named_classifier(), tmp_path / "bare"))


def test_a_loaded_classifier_is_saved_with_the_tokenizer_that_it_came_with(encoder_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(encoder_folder.parent)
    model = load_classifier(encoder_folder.name, label_names=["no", "yes"])
    monkeypatch.chdir(tmp_path)  # a relative path now names another place
    heads, neurons = random_masks(model)
    folder = save_classifier(shrink_(model, UnitMasks(heads, neurons)), tmp_path / "small")
    assert load_tokenizer(folder).get_vocab() == load_tokenizer(encoder_folder).get_vocab()
    assert str(encoder_folder) not in (folder / "config.json").read_text()
    assert transformers.pipeline("text-classification", model=str(folder))("a b")[0]["label"] in ("no", "yes")


def test_hash_needs_a_model_folder(tmp_path):
    with pytest.raises(ValueError, match=r"is not a model folder: it needs config.json"):
        model_digest(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_flipped_bit_is_named(name, tmp_path):
    folder = save_classifier(named_classifier(), tmp_path / "model")
    content = bytearray((folder / name).read_bytes())
    content[-20] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(DamagedError, match=f"{name} is damaged"):
        load_classifier(folder)


@pytest.mark.parametrize("name", ["special_tokens_map.json", "added_tokens.json", "merges.txt", "adapter_config.json"])
def test_a_file_that_the_checksums_do_not_list_is_not_read(tiny_task, tmp_path, name):
    """transformers would read it, and it could for instance give [PAD] another id."""
    folder = Path(shutil.copytree(tiny_task.teacher, tmp_path / "model"))
    (folder / "README.md").write_text("# A card, which is no part of the model\n")
    load_classifier(folder)
    load_tokenizer(folder)
    digest = model_digest(folder)
    (folder / name).write_text("{}")
    load = load_classifier if name == "adapter_config.json" else load_tokenizer
    with pytest.raises(DamagedError, match=f"it does not list {name}"):
        load(folder)
    assert model_digest(folder) != digest


def test_a_damaged_tokenizer_is_named(tmp_path):
    folder = save_sample_encoder(tmp_path / "encoder", ["good", "bad"])
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text().replace("good", "evil"))
    with pytest.raises(DamagedError, match=r"tokenizer\.json is damaged"):
        load_tokenizer(folder)
    load_classifier(folder, label_names=NAMES)  # reads no tokenizer


def test_no_code_of_a_folder_is_run(tmp_path, monkeypatch):
    """The folder has Python classes for the model, its configuration and its tokenizer."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # the user is not asked either
    folder = save_sample_encoder(tmp_path / "encoder", ["good", "bad"])
    (folder / CHECKSUMS_FILE).unlink()
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    change_json(
        folder / "config.json",
        auto_map={"AutoConfig": "evil.Evil", "AutoModelForSequenceClassification": "evil.Evil"},
        trust_remote_code=True,
    )
    change_json(
        folder / "tokenizer_config.json",
        auto_map={"AutoTokenizer": [None, "evil.Evil"]},
        tokenizer_class="Evil",
        trust_remote_code=True,
    )
    load_classifier(folder, label_names=NAMES)  # with transformers' class
    with contextlib.suppress(ValueError):
        load_tokenizer(folder)
    change_json(folder / "config.json", model_type="evil")
    for load in (load_classifier, load_tokenizer):
        with pytest.raises(ValueError, match=r"evil|trust|custom"):
            load(folder)
    assert not (tmp_path / "ran").exists()


def change_json(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    "content",
    ["", "[]", "null", "3", '{"model_type": 3}', '{"model_type": "bert", "num_hidden_layers": "x"}', "\x89PNG"],
)
def test_foreign_configurations_are_one_line(content, tmp_path):
    folder = save_classifier(named_classifier(), tmp_path / "model")
    (folder / CHECKSUMS_FILE).unlink()
    (folder / "config.json").write_text(content)
    with pytest.raises(ValueError, match=f"cannot load {folder}: ") as error:
        load_classifier(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["", "[]", "null", "{}", "\x89PNG"])
def test_foreign_tokenizers_are_one_line(content, tmp_path):
    folder = save_sample_encoder(tmp_path / "encoder", ["good", "bad"])
    (folder / CHECKSUMS_FILE).unlink()
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(ValueError, match=f"cannot load {folder}: ") as error:
        load_tokenizer(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        *((name, {name: 10**9}) for name in (
            "num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size", "max_position_embeddings",
            "type_vocab_size", "num_attention_heads", "num_labels",
        )),
        ("num_hidden_layers", {"num_hidden_layers": 1e9}),
        ("config.json describes", {"num_hidden_layers": 40, "hidden_size": 120, "intermediate_size": 2000}),
        ("kept_units names the unit 999999999", {"kept_units": {"heads": ["", ""], "neurons": ["0-999999999", ""]}}),
        ("kept_units names more layers", {"kept_units": {"heads": ["0-3"] * 1000, "neurons": ["0-63"] * 1000}}),
    ],
)  # fmt: skip
def test_sizes_that_cannot_be_are_refused_before_building(name, values, tmp_path, monkeypatch):
    folder = save_classifier(named_classifier(), tmp_path / "model")
    (folder / CHECKSUMS_FILE).unlink()
    change_json(folder / "config.json", model_type="stark-bert" if "kept_units" in values else "bert", **values)
    monkeypatch.setattr("stark.model_folders.model_folder.AutoModelForSequenceClassification.from_pretrained", None)
    with pytest.raises(ValueError, match=f"^cannot load {folder}: {name}") as error:
        load_classifier(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_billion_layers_are_refused_in_every_family(family, tmp_path):
    folder = save_classifier(named_classifier(family=family), tmp_path / "model")
    (folder / CHECKSUMS_FILE).unlink()
    change_json(folder / "config.json", num_hidden_layers=10**9, n_layers=10**9)
    with pytest.raises(ValueError, match=r"layers is 1000000000, but (its weights allow )?at most"):
        load_classifier(folder)


def test_ranges_that_would_take_all_memory_are_refused():
    with pytest.raises(ValueError, match="not a list of ranges"):
        KeptUnits.from_json({"heads": ["0"], "neurons": ["0-9," * 10**6]})


@pytest.mark.parametrize("name", ["num_labels", "num_hidden_layers"])
def test_a_tokenizer_with_a_billion_labels_is_refused(name, tmp_path):
    folder = save_sample_encoder(tmp_path / "encoder", ["good", "bad"])
    (folder / CHECKSUMS_FILE).unlink()
    change_json(folder / "config.json", **{name: 10**9})
    with pytest.raises(ValueError, match=f"^cannot load {folder}: {name} is 1000000000, but at most"):
        load_tokenizer(folder)


def shard(folder):
    """Store the weights in two files with an index, as transformers does for models above 50 GB."""
    state = load_file(folder / "model.safetensors")
    names = sorted(state)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, own in parts.items():
        save_file({name: state[name] for name in own}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, own in parts.items() for name in own}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize("with_checksums", [False, True])
def test_sharded_weights_are_read_like_a_single_file(with_checksums, tmp_path):
    model = named_classifier()
    folder = save_classifier(model, tmp_path / "model")
    whole = model_digest(folder)
    shard(folder)
    (folder / CHECKSUMS_FILE).unlink()
    if with_checksums:
        write_checksums(folder)
    assert torch.equal(logits(load_classifier(folder)), logits(model))
    sharded = model_digest(folder)
    assert sharded != whole
    path = folder / "model-00002-of-00002.safetensors"
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    assert model_digest(folder) != sharded
    if with_checksums:
        with pytest.raises(DamagedError, match=f"{path.name} is damaged"):
            load_classifier(folder)
    path.unlink()
    with pytest.raises(ValueError, match=rf"{path.name}( is|, which is) missing"):
        load_classifier(folder)


@pytest.mark.parametrize("target", ["/etc/passwd", "../other.safetensors"])
def test_shards_lie_in_the_folder(target, tmp_path):
    folder = save_classifier(named_classifier(), tmp_path / "model")
    (folder / CHECKSUMS_FILE).unlink()
    shard(folder)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    change_json(folder / "model.safetensors.index.json", weight_map=dict.fromkeys(index["weight_map"], target))
    with pytest.raises(ValueError, match=r"is no index of weights: .*leads out of"):
        load_classifier(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["classifier.bias", "bert.embeddings.word_embeddings.weight"])
def test_weights_that_are_no_numbers_are_refused(name, value, tmp_path):
    model = named_classifier()
    model.get_parameter(name).data.view(-1)[1] = value
    folder = save_classifier(model, tmp_path / "model")
    with pytest.raises(ValueError, match=rf"cannot load {folder}: 1 weights are infinite .*, such as {name}"):
        load_classifier(folder)


@pytest.mark.parametrize("code", PASSING)
@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "model"])
def test_what_cannot_be_read_now_is_no_wrong_model(name, checked, code, encoder_folder, tmp_path):
    folder = save_classifier(named_classifier(), tmp_path / "model", load_tokenizer(encoder_folder))
    if not checked:
        (folder / CHECKSUMS_FILE).unlink()
    loads = [load_tokenizer] if name == "tokenizer.json" else [load_classifier, model_digest]
    for load in loads:
        with unreadable(name, code), pytest.raises(ReadError, match=r"could not be read \(.*nothing was changed"):
            load(folder)
        load(folder)


def test_links_to_files_are_followed(encoder_folder, tmp_path):
    """The hub's cache has such links."""
    blobs, snapshot = Path(shutil.copytree(encoder_folder, tmp_path / "blobs")), tmp_path / "snapshot"
    snapshot.mkdir()
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(f"../blobs/{file.name}")
    assert model_digest(snapshot) == model_digest(encoder_folder)
    load_classifier(snapshot, label_names=NAMES)
    load_tokenizer(snapshot)
