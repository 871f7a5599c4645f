"""Tiny random models and the golden numbers, shared by the tests."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)

from stark.encoders.families.table import FAMILIES as SUPPORTED
from stark.encoders.layers import encoder_layers
from stark.encoders.units import UnitMasks
from stark.forward.classifying import Outputs
from stark.losses.soft_targets import SoftTargets
from stark.model_folders.released_checkpoint import plain_state
from stark.problems.problem import Problem
from stark.problems.table import problem_for
from stark.pruning import choose_units
from stark.scores.knowledgeableness import Knowledgeableness
from stark.scores.score import Distilled
from stark.scores.scoring import score_units

FAMILIES = (
    *("bert", "roberta", "xlm-roberta", "electra", "distilbert"),
    *("roberta-prelayernorm", "albert", "mpnet", "deberta-v2", "modernbert"),
)
# Families whose models compute the same as another family's: tests/stark/encoders/families/test_clones.py shows it.
CLONES = {"camembert": "roberta", "data2vec-text": "roberta", "ernie": "bert"}
# Families whose last layer computes its first token only, and those with torch's attention kernel.
LEAN = tuple(name for name in FAMILIES if SUPPORTED[name].lean_last_layer)
SDPA = tuple(
    name for name in FAMILIES if MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[CONFIG_MAPPING[name]]._supports_sdpa
)
# Settings of families whose published models differ from the defaults of transformers.
FURTHER: dict[str, dict[str, Any]] = {
    "deberta-v2": {  # as DeBERTa-v3, but with linears of their own for positions
        "relative_attention": True,
        "position_buckets": 8,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "norm_rel_ebd": "layer_norm",
        "type_vocab_size": 0,
    },
    # The head reads the mean of all tokens, and every second layer attends to near tokens only.
    "modernbert": {
        "classifier_pooling": "mean",
        "local_attention": 6,
        "global_attn_every_n_layers": 2,
        **dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 1),
    },
}
# Families each of whose layers is computed once, so that it can be refitted.
OWN_LAYERS = tuple(name for name in FAMILIES if not SUPPORTED[name].shares_layers)
VOCAB_SIZE = 120
MAX_LENGTH = 24


def tiny_classifier(
    family: str = "bert",
    *,
    num_labels: int = 2,
    layers: int = 2,
    hidden: int = 32,
    heads: int = 4,
    neurons: int = 64,
    tokens: int = VOCAB_SIZE,
    further: dict[str, Any] | None = None,
    seed: int = 0,
) -> PreTrainedModel:
    """A random classifier in eval mode, with weights so large that logits differ between inputs.

    Its configuration has `FURTHER` settings of the family, or others.
    """
    sizes = {"vocab_size": tokens, "max_position_embeddings": MAX_LENGTH + 8, "num_labels": num_labels}
    if family == "distilbert":
        sizes |= {"n_layers": layers, "dim": hidden, "n_heads": heads, "hidden_dim": neurons}
    else:
        sizes |= {"num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads}
        sizes |= {"intermediate_size": neurons}
    sizes |= FURTHER.get(family, {}) if further is None else further
    if family in ("electra", "albert"):
        sizes |= {"embedding_size": hidden // 2}
    config = AutoConfig.for_model(family, initializer_range=0.25, pad_token_id=0, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_config(config)
        # Biases and norms start at 0 and 1, so a cut that skips one of them would not be noticed without this.
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                torch.nn.init.normal_(parameter, mean=float("norm.weight" in name.lower()), std=0.25)
    return model.eval()


def tiny_batch(batch_size: int = 3, length: int = 10, *, seed: int = 0, num_labels: int = 2) -> dict[str, Tensor]:
    """Random inputs padded to different lengths, and labels (floats for one label)."""
    generator = torch.Generator().manual_seed(seed)
    input_ids = torch.randint(5, VOCAB_SIZE, (batch_size, length), generator=generator)
    lengths = torch.randint(length // 2, length + 1, (batch_size,), generator=generator)
    attention_mask = (torch.arange(length) < lengths[:, None]).long()
    if num_labels == 1:
        labels = torch.rand(batch_size, generator=generator) * 5
    else:
        labels = torch.randint(num_labels, (batch_size,), generator=generator)
    return {"input_ids": input_ids * attention_mask, "attention_mask": attention_mask, "labels": labels}


def random_masks(
    model: PreTrainedModel, *, seed: int = 0, keep: float = 0.6, empty_heads: int = -1, empty_neurons: int = -1
) -> UnitMasks:
    """Uneven boolean head and neuron masks; the layers `empty_heads` and `empty_neurons` (-1: none) lose all units."""
    generator = torch.Generator().manual_seed(seed)
    masks = UnitMasks([], [])
    for number, layer in enumerate(encoder_layers(model)):
        for chosen, size, empty in zip(
            masks, (layer.num_heads, layer.num_neurons), (empty_heads, empty_neurons), strict=True
        ):
            order = torch.randperm(size, generator=generator)
            kept = int(torch.randint(1, max(2, round(2 * keep * size)), (), generator=generator))
            chosen.append(torch.isin(torch.arange(size), order[: 0 if number == empty else kept]))
    return masks


@dataclass(frozen=True)
class Golden:
    """One case of tests/golden, weights and batches in float64."""

    config: dict[str, Any]
    expected: dict[str, Any]
    tensors: dict[str, Tensor]
    teacher: PreTrainedModel
    student: PreTrainedModel
    batches: list[dict[str, Tensor]]


GOLDEN_CASES = ("tiny", "tiny_reg", "small", "empty")


def golden(case: str) -> Golden:
    """Read a case; its models are plain BERT classifiers in eval mode."""
    folder = Path(__file__).parent / "golden" / case
    inputs = load_file(folder / "inputs.safetensors")
    models = []
    for prefix, file in (("teacher/", "config.json"), ("student_dropped/", "student_config.json")):
        values = json.loads((folder / file).read_text())
        model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(**values)).double()
        state = {key.removeprefix(prefix): value for key, value in inputs.items() if key.startswith(prefix)}
        model.load_state_dict(plain_state(state), strict=True)
        models.append(model.eval())
    names = {"text_indices": "input_ids", "text_mask": "attention_mask", "text_segments": "token_type_ids"}
    expected = json.loads((folder / "expected.json").read_text())
    batches: list[dict[str, Tensor]] = []
    for number in range(expected["num_batches"]):
        batch = {new: inputs[f"batch{number}/{old}"] for old, new in names.items()}
        batch["attention_mask"] = batch["attention_mask"].long()
        label = inputs[f"batch{number}/label"]
        batches.append(batch | {"labels": label.double() if label.is_floating_point() else label})
    config = json.loads((folder / "config.json").read_text())
    return Golden(config, expected, load_file(folder / "expected.safetensors"), *models, batches)


def golden_masks(case: Golden, level: str, *, rounded: bool) -> UnitMasks:
    """Masks of the pruned teacher at a level (percent), from the golden ranking and map.

    Args:
        case: Read by `golden`.
        level: Sparsity in percent, such as "70".
        rounded: Whether to cut as the released code does: the removed rows of each matrix are a multiple of eight.
    """
    mapped = case.expected["prune"]["sparsity_map"][level]
    masks = UnitMasks([], [])
    widths = (case.config["hidden_size"] // case.config["num_attention_heads"], 1)
    for chosen, kind, width in zip(masks, ("head", "neuron"), widths, strict=True):
        for number, ranking in enumerate(case.tensors[f"prune/{kind}_indices"]):
            dropped = mapped[kind].get(str(number), 0)
            if rounded:
                dropped = min(round(dropped * width / 8) * 8 // width, len(ranking))
            kept = ranking[: len(ranking) - dropped]
            chosen.append(torch.isin(torch.arange(len(ranking)), kept))
    return masks


def logits(model, batch=None):
    inputs = {name: tensor for name, tensor in (batch or tiny_batch()).items() if name != "labels"}
    with torch.no_grad():
        return model(**inputs).logits


def ones(model):
    layers = encoder_layers(model)
    return UnitMasks(
        [torch.ones(layer.num_heads) for layer in layers], [torch.ones(layer.num_neurons) for layer in layers]
    )


def problem(num_labels: int = 2) -> Problem:
    """The kind of label for this number of label names."""
    return problem_for([f"label_{number}" for number in range(num_labels)])


def distillation_loss(*, student_logits, teacher_logits, labels, reduction="mean", loss=None, **settings):
    """A distillation loss that compares only logits, by default `SoftTargets` with these settings."""
    loss = SoftTargets(**settings) if loss is None else loss
    kind = problem(student_logits.shape[-1])
    return loss(kind, Outputs(student_logits), Outputs(teacher_logits), {"labels": labels}, reduction)


def scores_against(teacher, student, batches, loss=None, reduction="example"):
    """Expressiveness and friendliness of the teacher's units."""
    return score_units(teacher, batches, [Knowledgeableness()], Distilled(student, loss or SoftTargets()), reduction)


def lowest_masks(scores, lam, sparsity):
    """Masks of the sparse teacher with a lam and a sparsity."""
    return choose_units(None, Knowledgeableness(lam), scores, sparsity)
