import functools
import json
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from lightning_modules.encoders import count_parameters, encoder_layers, kept_units, shrink_, unit_masks
from lightning_modules.model_folder import load_classifier
from lightning_modules.model_inputs import ModelInputs
from lightning_modules.sample_encoder import save_sample_encoder
from lightning_modules.stark_checkpoint import STARK_LABELS, import_stark_checkpoint
from tests.payload import Payload
from tests.tiny import GOLDEN_CASES, golden, golden_masks

LEVELS = ("50", "70", "90")
SIZES = {"tiny": ("sst2", ["0", "1"]), "tiny_reg": ("stsb", ["similarity"]), "empty": ("sst2", ["0", "1"])}
SIZES["small"] = ("other", ["a", "b", "c"])


def logits(model, batch):
    with torch.no_grad():
        return model(**{key: value for key, value in batch.items() if key != "labels"}).logits


@pytest.mark.parametrize("name", GOLDEN_CASES)
def test_dense_models_compute_what_the_released_code_does(name):
    case = golden(name)
    for number, batch in enumerate(case.batches):
        for model, expected in ((case.teacher, "teacher_logits"), (case.student, "student_logits")):
            expected = case.tensors[f"{expected}/{number}"]
            torch.testing.assert_close(logits(model, batch), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["tiny", "tiny_reg", "small"])
def test_pruned_students_compute_what_the_released_code_does(name, level):
    case = golden(name)
    masks = golden_masks(case, level, rounded=True)
    with unit_masks(case.teacher, *masks):
        masked = [logits(case.teacher, batch) for batch in case.batches]
    student = shrink_(case.teacher, *masks)
    empty = False
    for layer, shapes in zip(encoder_layers(student), case.expected["pruned_student"][level]["shapes"], strict=True):
        assert list(layer.query.weight.shape) == shapes["query"]
        assert list(layer.attention_output.weight.shape) == shapes["att_out"]
        assert list(layer.ffn_in.weight.shape) == shapes["inter"]
        assert list(layer.ffn_out.weight.shape) == shapes["out"]
        empty = empty or 0 in (layer.num_heads, layer.num_neurons)
    counts = case.expected["pruned_student"][level]["counts"]
    assert count_parameters(student)[1] == counts["encoder"]
    for number, batch in enumerate(case.batches):
        found = logits(student, batch)
        torch.testing.assert_close(found, masked[number], rtol=0, atol=1e-12)
        difference = (found - case.tensors[f"pruned_student/{level}/logits/{number}"]).abs().max()
        # The released code leaves an empty block out together with its bias.
        assert difference > 1e-3 if empty else difference < 1e-12
    assert empty == (level == "90") or name != "tiny"


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    return save_sample_encoder(tmp_path_factory.mktemp("sample") / "encoder", [f"w{number}" for number in range(80)])


def write_checkpoint(folder, name, vocabulary, *, pickled=False, **config):
    """The golden teacher as the released code would have saved it."""
    case = golden(name)
    folder.mkdir()
    inputs = load_file(f"tests/golden/{name}/inputs.safetensors")
    state = {key.removeprefix("teacher/"): value for key, value in inputs.items() if key.startswith("teacher/")}
    write_state(folder, state, pickled=pickled)
    (folder / "config.json").write_text(json.dumps(case.config | config))
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(vocabulary / file, folder)
    return case, state


def write_state(folder, state, *, pickled=False):
    if pickled:
        torch.save(state, folder / "pytorch_model.bin")
    else:
        save_file({key: value.contiguous() for key, value in state.items()}, folder / "model.safetensors")


def reorder(state, case):
    """Sort the units of each layer by falling score, as the released pruning script does."""
    state = dict(state)
    size = case.config["hidden_size"] // case.config["num_attention_heads"]
    for number in range(case.config["num_hidden_layers"]):
        layer = f"bert.encoder.layer.{number}."
        heads, neurons = (case.tensors[f"prune/{kind}_indices"][number] for kind in ("head", "neuron"))
        rows = torch.cat([torch.arange(head * size, (head + 1) * size) for head in heads.tolist()])
        for part in ("query", "key", "value"):
            for kind in ("weight", "bias"):
                state[f"{layer}attention.self.{part}.{kind}"] = state[f"{layer}attention.self.{part}.{kind}"][rows]
        for kind in ("weight", "bias"):
            state[f"{layer}intermediate.dense.{kind}"] = state[f"{layer}intermediate.dense.{kind}"][neurons]
        for part, order in (("attention.output", rows), ("output", neurons)):
            state[f"{layer}{part}.dense.weight"] = state[f"{layer}{part}.dense.weight"][:, order]
    return state


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize("name", GOLDEN_CASES)
def test_a_dense_checkpoint_is_imported(name, pickled, vocabulary, tmp_path):
    case, _ = write_checkpoint(tmp_path / "source", name, vocabulary, pickled=pickled)
    task, names = SIZES[name]
    state = torch.get_rng_state()
    folder = import_stark_checkpoint(tmp_path / "source", tmp_path / "model", task=task, label_names=names)
    assert torch.equal(torch.get_rng_state(), state)
    model = load_classifier(folder, label_names=names, new_head=False).double()
    assert model.config.model_type == "bert"
    for number, batch in enumerate(case.batches):
        expected = case.tensors[f"teacher_logits/{number}"]
        torch.testing.assert_close(logits(model, batch), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "task", "ours", "order"),
    [
        ("tiny", "rte", ["entailment", "not_entailment"], [1, 0]),
        ("tiny", "qnli", ["entailment", "not_entailment"], [1, 0]),
        ("tiny", "sst2", ["negative", "positive"], [0, 1]),
        ("small", "mnli", ["entailment", "neutral", "contradiction"], [2, 1, 0]),
        ("small", "mnlimm", ["neutral", "entailment", "contradiction"], [1, 2, 0]),
    ],
)
def test_labels_come_in_our_order(name, task, ours, order, vocabulary, tmp_path):
    case, _ = write_checkpoint(tmp_path / "source", name, vocabulary)
    inputs = ModelInputs(16, "stark", ("one", "two"), "classification", True, task)
    folder = import_stark_checkpoint(
        tmp_path / "source", tmp_path / "model", task=task, label_names=ours, inputs=inputs
    )
    model = load_classifier(folder, label_names=ours, new_head=False).double()
    assert ModelInputs.read(model.config) == inputs
    expected = case.tensors["teacher_logits/0"][:, order]
    torch.testing.assert_close(logits(model, case.batches[0]), expected, rtol=0, atol=1e-12)
    if task in STARK_LABELS:
        assert [STARK_LABELS[task][number] for number in order] == ours


@pytest.mark.parametrize(("chosen", "level"), [(None, "70"), ("30", "30"), ("0", "0"), ("90", "90")])
def test_a_sparsified_checkpoint_is_cut_as_its_map_says(chosen, level, vocabulary, tmp_path):
    case, state = write_checkpoint(tmp_path / "source", "tiny", vocabulary)
    sparsity_map = case.expected["prune"]["sparsity_map"]
    write_state(tmp_path / "source", reorder(state, case))
    config = case.config | {"sparsity": "70", "sparsity_map": sparsity_map}
    (tmp_path / "source" / "config.json").write_text(json.dumps(config))
    folder = import_stark_checkpoint(
        tmp_path / "source", tmp_path / "model", task="sst2", label_names=["0", "1"], sparsity=chosen
    )
    model = load_classifier(folder).double()
    assert model.config.model_type == ("bert" if level == "0" else "stark-bert")
    for number, units in enumerate(kept_units(model).neurons):
        assert units == tuple(range(64 - sparsity_map[level]["neuron"].get(str(number), 0)))
    masks = golden_masks(case, level, rounded=False)
    for heads, linear in zip(masks[0], [layer.attention_output for layer in encoder_layers(case.teacher)], strict=True):
        if not heads.any():
            torch.nn.init.zeros_(linear.bias)
    with unit_masks(case.teacher, *masks):
        for batch in case.batches:
            torch.testing.assert_close(logits(model, batch), logits(case.teacher, batch), rtol=0, atol=1e-12)


@pytest.mark.parametrize("leave_out_empty", [False, True])
@pytest.mark.parametrize(("name", "level"), [("tiny", "50"), ("tiny", "90"), ("small", "90")])
def test_a_cut_student_computes_what_the_released_code_does(name, level, leave_out_empty, vocabulary, tmp_path):
    """Also with an empty block, whose bias the released code keeps but never adds."""
    case, state = write_checkpoint(tmp_path / "source", name, vocabulary)
    state = reorder(state, case)
    for number, shapes in enumerate(case.expected["pruned_student"][level]["shapes"]):
        layer = f"bert.encoder.layer.{number}."
        width, neurons = shapes["query"][0], shapes["inter"][0]
        for part in ("query", "key", "value"):
            for kind in ("weight", "bias"):
                state[f"{layer}attention.self.{part}.{kind}"] = state[f"{layer}attention.self.{part}.{kind}"][:width]
        for kind in ("weight", "bias"):
            state[f"{layer}intermediate.dense.{kind}"] = state[f"{layer}intermediate.dense.{kind}"][:neurons]
        for part, size in (("attention.output", width), ("output", neurons)):
            state[f"{layer}{part}.dense.weight"] = state[f"{layer}{part}.dense.weight"][:, :size]
    if leave_out_empty:
        state = {key: value for key, value in state.items() if value.numel()}
    write_state(tmp_path / "source", state)
    config = case.config | {"sparsity": level, "sparsity_map": {level: case.expected["prune"]["sparsity_map"][level]}}
    (tmp_path / "source" / "config.json").write_text(json.dumps(config))
    task, names = SIZES[name]
    folder = import_stark_checkpoint(tmp_path / "source", tmp_path / "model", task=task, label_names=names)
    model = load_classifier(folder).double()
    for number, batch in enumerate(case.batches):
        expected = case.tensors[f"pruned_student/{level}/logits/{number}"]
        torch.testing.assert_close(logits(model, batch), expected, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match=f"stored cut at sparsity {level}: it has no sparsity 10"):
        import_stark_checkpoint(tmp_path / "source", tmp_path / "other", task=task, label_names=names, sparsity="10")


def test_what_cannot_be_imported_says_why(vocabulary, tmp_path):
    source = tmp_path / "source"
    _, state = write_checkpoint(source, "tiny", vocabulary)

    def attempt(message, task="sst2", names=("0", "1"), sparsity=None):
        with pytest.raises(ValueError, match=message) as error:
            import_stark_checkpoint(source, tmp_path / "model", task=task, label_names=names, sparsity=sparsity)
        assert "\n" not in str(error.value)
        assert str(error.value).startswith(f"cannot load {source}: ")

    attempt("it has no sparsity 70: one of 0 is stored", sparsity="70")
    attempt(r"released checkpoints of rte have the labels \['not_entailment', 'entailment'\]", "rte", ("yes", "no"))
    attempt("its classifier has 2 outputs", names=("a", "b", "c"))
    write_state(source, {key: value for key, value in state.items() if "layer.1" not in key})
    attempt("not a checkpoint of the released StarK code: it has no layer 1")
    write_state(source, {key: value for key, value in state.items() if "value.bias" not in key})
    attempt("2 weights differ, such as bert.encoder.layer.0.attention.self.value.bias")
    write_state(source, state | {"bert.extra": torch.ones(1)})
    attempt("1 weights differ, such as bert.extra")
    write_state(source, {key: value for key, value in state.items() if not key.startswith("cls.")})
    attempt("not a checkpoint of the released StarK code: it has no cls.0.bias")
    odd = {key: value[:12] if "self" in key and "layer.0" in key else value for key, value in state.items()}
    write_state(source, odd)
    attempt(r"attention widths \[12, 32\] are not multiples of the head size 8")
    (source / "model.safetensors").unlink()
    attempt("no model.safetensors or pytorch_model.bin in it")
    (source / "config.json").unlink()
    attempt("config.json")


@pytest.mark.parametrize("dump", [torch.save, functools.partial(pickle.dump, protocol=2)])
def test_pickled_code_does_not_run(vocabulary, tmp_path, dump):
    source = tmp_path / "source"
    write_checkpoint(source, "tiny", vocabulary, pickled=True)
    with (source / "pytorch_model.bin").open("wb") as file:
        dump({"bert.x": Payload(tmp_path / "ran")}, file)
    with pytest.raises(ValueError, match=f"cannot load {source}: "):
        import_stark_checkpoint(source, tmp_path / "model", task="sst2", label_names=("0", "1"))
    assert not (tmp_path / "ran").exists()
