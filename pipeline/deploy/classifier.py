"""Classifiers as they are used: a model folder or an exported one, from texts to labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from datamodules import PadCollator, TokenColumns, evaluation_batches
from datamodules.settings import SegmentIds
from datamodules.sources.source import Rows
from datamodules.tokens.tokenization import tokenize_rows
from pipeline.deploy.export.opening import is_exported, open_exported
from pipeline.deploy.model_data import config_of, settings_of
from stark.errors import StarkError
from stark.forward.classifying import Batch, classify
from stark.model_folders.input_checks import check_inputs, most_tokens
from stark.model_folders.model_folder import load_classifier, load_tokenizer
from stark.model_folders.model_inputs import ModelInputs, lowercases
from stark.problems.problem import Problem
from stark.problems.table import problem_of

__all__ = ["Answer", "Classified", "Classifier", "answer_of", "open_answer", "open_classifier"]

_USUAL_LENGTH = 128
_SENSIBLE = 100_000

Answer = Callable[[Batch], Tensor]
"""From a batch to its logits."""


class Classified(NamedTuple):
    """What a classifier says of rows.

    Args:
        predictions: ``(rows,)``: numbers of classes, or scores.
        probabilities: ``(rows, num_labels)``: of each label, or the scores once more; see `Problem.probabilities`.
    """

    predictions: Tensor
    probabilities: Tensor


@dataclass(frozen=True)
class Classifier:
    """A model with what turns texts into its inputs and its logits into labels.

    Args:
        answer: The model.
        tokenizer: Its tokenizer.
        problem: The kind of label, with the names of the labels in the order of the logits.
        max_length: The most tokens of a row; longer ones are cut.
        segment_ids: Segment ids, as the model was trained with.
        device: Device that the model computes on.
    """

    answer: Answer
    tokenizer: PreTrainedTokenizerFast
    problem: Problem
    max_length: int
    segment_ids: SegmentIds
    device: str

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels in the order of the logits."""
        return self.problem.label_names

    def __call__(self, texts: Sequence[str], pairs: Sequence[str] | None = None, batch_size: int = 32) -> Classified:
        """Classify texts, or pairs of texts; batches are formed by length.

        Args:
            texts: One text or more.
            pairs: The second texts.
            batch_size: Rows at a time.

        Returns:
            Predictions and probabilities in the order of the rows.

        Raises:
            StarkError: If the model gives something else than numbers for a row.
        """
        return self.classify(self.tokenize(texts, pairs), batch_size)

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> TokenColumns:
        """Turn texts, or pairs of texts, into the model's inputs.

        Args:
            texts: One text or more.
            pairs: The second texts.

        Returns:
            The rows, for `classify`.
        """
        own = Rows(list(texts), None if pairs is None else list(pairs), None, list(range(len(texts))))
        return TokenColumns.from_tensors(tokenize_rows(own, self.tokenizer, self.max_length, self.segment_ids))

    def classify(self, rows: TokenColumns, batch_size: int = 32) -> Classified:
        """Classify rows that are tokenised already.

        Args:
            rows: The rows, from `tokenize`.
            batch_size: Rows at a time.

        Returns:
            As when the model is called.
        """
        collate = PadCollator(self.tokenizer.pad_token_id, self.tokenizer.pad_token_type_id)
        batches = [rows.select(numbers) for numbers in evaluation_batches(rows.lengths, batch_size)]
        logits = torch.cat([self.answer(collate(batch)).cpu() for batch in batches])
        if not bool(logits.isfinite().all()):
            raise StarkError("the model's logits are infinite or not a number: it is damaged, or was exported wrongly")
        ordered = logits[torch.cat([batch.fields["idx"] for batch in batches]).argsort()]
        return Classified(self.problem.predictions(ordered), self.problem.probabilities(ordered))


def open_classifier(folder: Path, max_length: int | None = None) -> Classifier:
    """Load a classifier for use.

    Args:
        folder: A model folder, or one that `stark export` wrote.
        max_length: None for that of the model's configuration; where an earlier version or somebody else made the
            model, that of the run that it lies in, or else what tokenizer and encoder admit.

    Returns:
        The classifier, on the GPU if it is a model folder and there is one.

    Raises:
        StarkError: If nothing usable is there, or the encoder's tables are too small for the tokenizer or the length.
    """
    tokenizer, config = load_tokenizer(folder), config_of(folder)
    inputs = ModelInputs.read(config)
    if inputs is not None and inputs.lowercase != lowercases(tokenizer):
        kinds = {True: "turns texts into lower case", False: "keeps the case of texts"}
        raise StarkError(
            f"the tokenizer of {folder} {kinds[not inputs.lowercase]}, that of its training {kinds[inputs.lowercase]}: "
            "restore its files"
        )
    known = settings_of(folder) if inputs is None else vars(inputs)
    longest = known.get("max_length", _default_length(config, tokenizer)) if max_length is None else max_length
    is_pair = inputs is not None and inputs.is_pair
    check_inputs(config, tokenizer, longest, is_pair=is_pair, where=str(folder), option="--max_length")
    device = "cuda" if torch.cuda.is_available() and not is_exported(folder) else "cpu"
    answer = open_answer(folder, device)
    return Classifier(answer, tokenizer, problem_of(config), longest, known.get("segment_ids", "tokenizer"), device)


def _default_length(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast) -> int:
    """The most tokens of a row where nothing says with which a model was trained."""
    said = tokenizer.model_max_length  # a huge number where nobody said anything
    return min(most_tokens(config), said if said <= _SENSIBLE else _USUAL_LENGTH)


def open_answer(folder: Path, device: str = "cpu") -> Answer:
    """Load what answers with logits, with as many threads as torch has now.

    Args:
        folder: A model folder, or one that `stark export` wrote.
        device: Device of a model folder; exported models run on the CPU.

    Returns:
        The model; it computes in float32 wherever weights are no int8.

    Raises:
        StarkError: If nothing usable is there.
    """
    if is_exported(folder):
        return open_exported(folder)
    # Its own method, as transformers' from the mixin of accelerate is annotated otherwise.
    return answer_of(torch.nn.Module.to(load_classifier(folder), device))


def answer_of(model: PreTrainedModel) -> Answer:
    """A loaded model as what answers with logits.

    Args:
        model: The model, in eval mode.

    Returns:
        What moves a batch from the CPU to the model's device and classifies it.
    """

    def answer(batch: Batch) -> Tensor:
        # Asked on the CPU, where nothing has to be waited for: a mask that masks nothing costs each layer of a GPU some
        # kernels, and the fast ones of attention.
        masks = "attention_mask" in batch and not bool(batch["attention_mask"].all())
        needed = {name: values for name, values in batch.items() if masks or name != "attention_mask"}
        with torch.inference_mode():
            return classify(model, {name: values.to(model.device) for name, values in needed.items()})

    return answer
