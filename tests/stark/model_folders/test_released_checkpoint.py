import functools
import json
import pickle
import random
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from stark.encoders.cutting import shrink_
from stark.encoders.layers import count_parameters, encoder_layers, kept_units
from stark.encoders.masking import unit_masks
from stark.model_folders.model_folder import load_classifier
from stark.model_folders.model_inputs import ModelInputs
from stark.model_folders.released_checkpoint import STARK_LABELS, import_stark_checkpoint
from stark.model_folders.sample_encoder import save_sample_encoder
from tests.payload import Payload
from tests.tiny import GOLDEN_CASES, golden, golden_masks, tiny_batch, tiny_classifier

LEVELS = ("50", "70", "90")


def labels_of(config):
    """A task whose classes the released code did not reorder, and one label name per class of the classifier."""
    count = config.get("num_labels", 2)
    return "own", [f"label {number}" for number in range(count)]


def assert_same(found, expected):
    """Equal within float64 rounding, because all values are computed in float64 from float32 weights."""
    assert found.dtype == expected.dtype == torch.float64
    torch.testing.assert_close(found, expected)


def logits(model, batch):
    with torch.no_grad():
        return model(**{key: value for key, value in batch.items() if key != "labels"}).logits


@pytest.mark.parametrize("name", GOLDEN_CASES)
def test_dense_models_compute_what_the_released_code_does(name):
    case = golden(name)
    for number, batch in enumerate(case.batches):
        for model, expected in ((case.teacher, "teacher_logits"), (case.student, "student_logits")):
            expected = case.tensors[f"{expected}/{number}"]
            assert_same(logits(model, batch), expected)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["tiny", "tiny_reg", "small"])
def test_pruned_students_compute_what_the_released_code_does(name, level):
    case = golden(name)
    masks = golden_masks(case, level, rounded=True)
    with unit_masks(case.teacher, masks):
        masked = [logits(case.teacher, batch) for batch in case.batches]
    student = shrink_(case.teacher, masks)
    for layer, shapes in zip(encoder_layers(student), case.expected["pruned_student"][level]["shapes"], strict=True):
        assert list(layer.into_heads[0].linear.weight.shape) == shapes["query"]
        assert list(layer.attention_output.weight.shape) == shapes["att_out"]
        assert list(layer.into_neurons[0].linear.weight.shape) == shapes["inter"]
        assert list(layer.ffn_out.weight.shape) == shapes["out"]
    counts = case.expected["pruned_student"][level]["counts"]
    assert count_parameters(student)[1] == counts["encoder"]
    for batch, expected in zip(case.batches, masked, strict=True):
        assert_same(logits(student, batch), expected)
    # The released code skips an empty block together with its bias.
    for layer in encoder_layers(student):
        for linear in (layer.attention_output, layer.ffn_out):
            if linear.in_features == 0:
                torch.nn.init.zeros_(linear.bias)
    for number, batch in enumerate(case.batches):
        assert_same(logits(student, batch), case.tensors[f"pruned_student/{level}/logits/{number}"])


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    return save_sample_encoder(tmp_path_factory.mktemp("sample") / "encoder", [f"w{number}" for number in range(80)])


def write_checkpoint(folder, name, vocabulary, *, pickled=False, **config):
    """Write the golden teacher as the released code would have saved it."""
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
    task, names = labels_of(case.config)
    state = torch.get_rng_state()
    folder = import_stark_checkpoint(tmp_path / "source", tmp_path / "model", task=task, label_names=names)
    assert torch.equal(torch.get_rng_state(), state)
    model = load_classifier(folder, label_names=names, new_head=False).double()
    assert model.config.model_type == "bert"
    for number, batch in enumerate(case.batches):
        expected = case.tensors[f"teacher_logits/{number}"]
        assert_same(logits(model, batch), expected)


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
    assert_same(logits(model, case.batches[0]), expected)
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
    with unit_masks(case.teacher, masks):
        for batch in case.batches:
            assert_same(logits(model, batch), logits(case.teacher, batch))


def cut(state, config, level):
    """Slice a state dict as the released ``sparsify`` and ``densify`` do, negative sizes included."""
    state, widths = dict(state), released_widths(config, level)
    for number, (attention, ffn) in enumerate(widths):
        layer = f"bert.encoder.layer.{number}."
        inputs = [(f"attention.self.{part}.", attention) for part in ("query", "key", "value")]
        for part, width in (*inputs, ("intermediate.dense.", ffn)):
            for kind in ("weight", "bias"):
                state[layer + part + kind] = state[layer + part + kind][:width]
        for part, width in (("attention.output.", attention), ("output.", ffn)):
            state[f"{layer}{part}dense.weight"] = state[f"{layer}{part}dense.weight"][:, :width]
    return state


def released_widths(config, level):
    """Widths of each attention and FFN; removed widths are rounded to multiples of 8, ties to even multiples."""
    dropped = config["sparsity_map"][level]
    head = config["hidden_size"] // config["num_attention_heads"]
    sizes = (("head", head, config["hidden_size"]), ("neuron", 1, config["intermediate_size"]))
    return [
        [size - 8 * round(dropped[kind].get(str(number), 0) * unit / 8) for kind, unit, size in sizes]
        for number in range(config["num_hidden_layers"])
    ]


def released_logits(state, config, level, batch):
    """The logits that the released code computes for a stored student, implemented from its description."""
    state = {name: tensor.double() for name, tensor in state.items()}

    def dense(name, x):
        return functional.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(name, x):
        weight, bias = state[f"{name}.LayerNorm.weight"], state[f"{name}.LayerNorm.bias"]
        return functional.layer_norm(x, weight.shape, weight, bias, config.get("layer_norm_eps", 1e-12))

    def heads_of(x):
        return x.unflatten(-1, (-1, config["hidden_size"] // config["num_attention_heads"])).transpose(1, 2)

    embedding = "bert.embeddings."
    x = state[embedding + "word_embeddings.weight"][batch["input_ids"]]
    x = x + state[embedding + "position_embeddings.weight"][: x.shape[1]]
    x = norm(embedding[:-1], x + state[embedding + "token_type_embeddings.weight"][batch["token_type_ids"]])
    ignored = (batch["attention_mask"] == 0)[:, None, None, :]
    for number, (attention, ffn) in enumerate(released_widths(config, level)):
        layer = f"bert.encoder.layer.{number}."
        # A block narrower than 8 is skipped together with its bias; only the norm is applied.
        added = 0.0
        if attention >= 8:
            q, k, v = (heads_of(dense(f"{layer}attention.self.{part}", x)) for part in ("query", "key", "value"))
            scores = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).masked_fill(ignored, -torch.inf)
            context = (scores.softmax(-1) @ v).transpose(1, 2).flatten(-2)
            added = dense(f"{layer}attention.output.dense", context)
        x = norm(f"{layer}attention.output", x + added)
        added = 0.0
        if ffn >= 8:
            added = dense(f"{layer}output.dense", functional.gelu(dense(f"{layer}intermediate.dense", x)))
        x = norm(f"{layer}output", x + added)
    return dense("cls.3", dense("cls.0", x[:, 0]).tanh())


@pytest.mark.parametrize("leave_out_empty", [False, True])
@pytest.mark.parametrize(
    ("name", "level"), [("tiny", "50"), ("tiny", "90"), ("small", "90"), *(("empty", level) for level in LEVELS)]
)
def test_a_cut_student_computes_what_the_released_code_does(name, level, leave_out_empty, vocabulary, tmp_path):
    """This includes blocks that the released code skips: some FFNs of ``empty`` have 4 stored neurons."""
    case, state = write_checkpoint(tmp_path / "source", name, vocabulary)
    sparsity_map = {level: case.expected["prune"]["sparsity_map"][level]}
    config = case.config | {"sparsity": level, "sparsity_map": sparsity_map}
    state = cut(reorder(state, case), config, level)
    for number, shapes in enumerate(case.expected["pruned_student"][level]["shapes"]):
        assert len(state[f"bert.encoder.layer.{number}.intermediate.dense.bias"]) == shapes["inter"][0]
    stored = {key: value for key, value in state.items() if value.numel() or not leave_out_empty}
    write_state(tmp_path / "source", stored)
    (tmp_path / "source" / "config.json").write_text(json.dumps(config))
    task, names = labels_of(case.config)
    folder = import_stark_checkpoint(tmp_path / "source", tmp_path / "model", task=task, label_names=names)
    model = load_classifier(folder).double()
    for number, batch in enumerate(case.batches):
        expected = case.tensors[f"pruned_student/{level}/logits/{number}"]
        assert_same(released_logits(state, config, level, batch), expected)
        assert_same(logits(model, batch), expected)
    with pytest.raises(ValueError, match=f"stored cut at sparsity {level}: it has no sparsity 10"):
        import_stark_checkpoint(tmp_path / "source", tmp_path / "other", task=task, label_names=names, sparsity="10")


@pytest.mark.parametrize("draw", range(12))
def test_a_cut_student_of_any_size_is_the_same_function(draw, vocabulary, tmp_path):
    """FFN sizes are no multiples of 8, heads have unusual sizes, and rounding may remove more than a block has."""
    drawn = random.Random(draw)
    head_size = drawn.choice([4, 6, 8, 12, 16])
    heads, neurons, layers = drawn.randint(1, 4), drawn.randint(3, 45), 3
    hidden = heads * head_size

    def dropped():
        """A number of dropped heads that the released code can compute; other numbers leave a part of a head."""
        widths = {count: hidden - 8 * round(count * head_size / 8) for count in range(heads + 1)}
        return drawn.choice([count for count, width in widths.items() if width < 8 or width % head_size == 0])

    head_map = {str(number): dropped() for number in range(layers)}
    neuron_map = {str(number): drawn.choice([drawn.randint(0, neurons), neurons]) for number in range(layers)}
    model = tiny_classifier(layers=layers, hidden=hidden, heads=heads, neurons=neurons, num_labels=3, seed=draw)
    config = {
        **model.config.to_dict(),
        "sparsity": "60",
        "sparsity_map": {"60": {"head": head_map, "neuron": neuron_map}},
    }
    released_names = (("bert.pooler.dense", "cls.0"), ("classifier", "cls.3"))
    state = model.state_dict()
    for ours, theirs in released_names:
        state = {name.replace(ours, theirs): tensor for name, tensor in state.items()}
    state = cut(state, config, "60")
    source = tmp_path / "source"
    source.mkdir()
    write_state(source, state)
    (source / "config.json").write_text(json.dumps(config))
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(vocabulary / file, source)
    names = ["a", "b", "c"]
    folder = import_stark_checkpoint(source, tmp_path / "model", task="own", label_names=names)
    batch = tiny_batch(seed=draw)
    batch["token_type_ids"] = batch["input_ids"] % 2
    assert_same(logits(load_classifier(folder).double(), batch), released_logits(state, config, "60", batch))


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
    attempt(r"its attention blocks have \[12, 32\] rows and its FFNs \[64, 64\]: that is neither dense nor")
    (source / "model.safetensors").unlink()
    attempt("no model.safetensors or pytorch_model.bin in it")
    (source / "config.json").unlink()
    attempt("config.json")


def test_a_student_that_the_released_code_cannot_compute_is_refused(vocabulary, tmp_path):
    """One of three heads of size 12 is removed: rounding removes 16 of 36 rows, which leaves 1 2/3 heads."""
    model = tiny_classifier(hidden=36, heads=3, layers=1)
    state = model.state_dict()
    for ours, theirs in (("bert.pooler.dense", "cls.0"), ("classifier", "cls.3")):
        state = {name.replace(ours, theirs): tensor for name, tensor in state.items()}
    sparsity_map = {"30": {"head": {"0": 1}, "neuron": {}}}
    config = {**model.config.to_dict(), "sparsity": "30", "sparsity_map": sparsity_map}
    (tmp_path / "source").mkdir()
    write_state(tmp_path / "source", cut(state, config, "30"))
    (tmp_path / "source" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"its attention widths \[20\] are not multiples of the head size 12"):
        import_stark_checkpoint(tmp_path / "source", tmp_path / "model", task="own", label_names=["a", "b"])


@pytest.mark.parametrize("dump", [torch.save, functools.partial(pickle.dump, protocol=2)])
def test_pickled_code_does_not_run(vocabulary, tmp_path, dump):
    source = tmp_path / "source"
    write_checkpoint(source, "tiny", vocabulary, pickled=True)
    with (source / "pytorch_model.bin").open("wb") as file:
        dump({"bert.x": Payload(tmp_path / "ran")}, file)
    with pytest.raises(ValueError, match=f"cannot load {source}: "):
        import_stark_checkpoint(source, tmp_path / "model", task="sst2", label_names=("0", "1"))
    assert not (tmp_path / "ran").exists()
