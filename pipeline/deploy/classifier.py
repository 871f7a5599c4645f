"""Classifies texts with a model folder or an exported model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from datamodules import PadCollator, TokenColumns, evaluation_batches
from datamodules.settings import SegmentIds
from datamodules.sources.source import Rows
from datamodules.tokens.tokenization import tokenize_rows
from datamodules.tokens.truncation import Truncation
from datamodules.tokens.windows import tokenize_windows
from pipeline.deploy.export.opening import is_exported, open_exported
from pipeline.deploy.model_data import config_of, settings_of
from stark.errors import StarkError
from stark.forward.classifying import Batch, classify, needed_inputs
from stark.forward.replayed_answer import ReplayedAnswer
from stark.forward.replaying import CUDAGraphs
from stark.model_folders.input_checks import check_inputs, most_tokens
from stark.model_folders.model_folder import load_classifier, load_tokenizer
from stark.model_folders.model_inputs import ModelInputs, lowercases
from stark.problems.problem import Problem
from stark.problems.table import problem_of

__all__ = ["Answer", "Classified", "Classifier", "answer_of", "open_answer", "open_classifier"]

_USUAL_LENGTH = 128
_SENSIBLE = 100_000
_REPLAYED_ON = "cuda"

Answer = Callable[[Batch], Tensor]
"""A function from a batch to its logits."""


class Classified(NamedTuple):
    """A classifier's predictions for rows.

    Args:
        predictions: ``(rows,)``: class numbers, or scores; where a row may have several labels, 1 or 0 for each,
            ``(rows, num_labels)``.
        probabilities: ``(rows, num_labels)``: probability of each label, or the scores again; see
            `Problem.probabilities`.
        truncation: How many rows and tokens were cut off because rows are too long.
        in_windows: Number of rows that were too long, but were classified in several windows.
        windows: Number of the windows of these rows.
    """

    predictions: Tensor
    probabilities: Tensor
    truncation: Truncation = Truncation()
    in_windows: int = 0
    windows: int = 0


@dataclass(frozen=True)
class Classifier:
    """A model with everything that is needed to turn texts into its inputs and its logits into labels.

    Args:
        answer: The model, as a function from batches to logits.
        tokenizer: The model's tokenizer.
        problem: The kind of label, with the names of the labels in the order of the logits.
        max_length: Maximum number of tokens of a row; longer rows are truncated, which `Classified` counts.
        segment_ids: Kind of segment ids that the model was trained with.
        device: Device that the model computes on.
        separator: What separates the labels of a row in the data that the model was trained on; None for lists.
        windows: Whether longer rows are classified in overlapping windows instead, see `tokenize_windows`; the mean of
            the windows' probabilities, or scores, is then the row's.
    """

    answer: Answer
    tokenizer: PreTrainedTokenizerFast
    problem: Problem
    max_length: int
    segment_ids: SegmentIds
    device: str
    separator: str | None = None
    windows: bool = False

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels in the order of the logits."""
        return self.problem.label_names

    def __call__(self, texts: Sequence[str], pairs: Sequence[str] | None = None, batch_size: int = 32) -> Classified:
        """Classify texts, or pairs of texts; batches are formed by length.

        Args:
            texts: One or more texts.
            pairs: Second texts of pairs; None for single texts.
            batch_size: Number of rows per batch.

        Returns:
            Predictions and probabilities in the order of the rows.

        Raises:
            StarkError: If a logit is infinite or NaN.
        """
        return self.classify(self.tokenize(texts, pairs), batch_size)

    def tokenize(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> TokenColumns:
        """Turn texts, or pairs of texts, into the model's inputs.

        Args:
            texts: One or more texts.
            pairs: Second texts of pairs; None for single texts.

        Returns:
            The rows, for `classify`.

        Raises:
            StarkError: If pairs need windows, and the model has the released code's segment ids.
        """
        own = Rows(list(texts), None if pairs is None else list(pairs), None, list(range(len(texts))))
        if not self.windows:
            return TokenColumns.from_tensors(tokenize_rows(own, self.tokenizer, self.max_length, self.segment_ids))
        if pairs is not None and self.segment_ids == "stark":
            raise StarkError("there are no windows of pairs with segment_ids 'stark': classify them without windows")
        return tokenize_windows(own, self.tokenizer, self.max_length)

    def classify(self, rows: TokenColumns, batch_size: int = 32) -> Classified:
        """Classify rows that are already tokenised.

        Args:
            rows: The rows, from `tokenize`.
            batch_size: Number of rows per batch.

        Returns:
            Predictions and probabilities in the order of the rows.

        Raises:
            StarkError: If a logit is infinite or NaN.
        """
        numbers = rows.fields["idx"]
        count = int(numbers.max()) + 1
        firsts, others = rows.select(torch.arange(count)), rows.select(torch.arange(count, len(rows)))
        # The first windows are batched apart, so that short rows have the same batches, and bits, as without windows.
        logits = self._logits(firsts, batch_size)
        if not len(others):
            return Classified(self.problem.predictions(logits), self.problem.probabilities(logits), Truncation.of(rows))
        every = torch.cat([logits, self._logits(others, batch_size)])
        probabilities = self.problem.probabilities(every)
        windows = numbers.bincount()
        means = torch.zeros_like(probabilities[:count]).index_add_(0, numbers, probabilities) / windows[:, None]
        long = windows > 1
        logits[long] = self.problem.logits_of(means[long])
        return Classified(
            self.problem.predictions(logits), means, Truncation.of(firsts), int(long.sum()), int(windows[long].sum())
        )

    def _logits(self, rows: TokenColumns, batch_size: int) -> Tensor:
        """The logits of rows, in their order."""
        collate = PadCollator(self.tokenizer.pad_token_id, self.tokenizer.pad_token_type_id)
        batches = evaluation_batches(rows.lengths, batch_size)
        logits = torch.cat([self.answer(collate(rows.select(places))).cpu() for places in batches])
        if not bool(logits.isfinite().all()):
            raise StarkError("the model's logits are infinite or not a number: it is damaged, or was exported wrongly")
        return logits[torch.tensor(list(chain.from_iterable(batches))).argsort()]


def open_classifier(folder: Path, max_length: int | None = None, *, windows: bool = False) -> Classifier:
    """Load a classifier for use.

    Args:
        folder: A model folder, or one that `stark export` wrote.
        max_length: Maximum number of tokens of a row; None for the length in the model's configuration. If that has
            none (models of earlier versions or of others), the run that the model lies in gives it, or else tokenizer
            and encoder.
        windows: Whether longer rows are classified in overlapping windows, whose probabilities are averaged, instead
            of being truncated.

    Returns:
        The classifier. A model folder is loaded onto the GPU if there is one.

    Raises:
        StarkError: If there is no usable model, its tokenizer was changed, or the encoder's embedding tables are too
            small for the tokenizer or the length.
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
    segment_ids, separator = known.get("segment_ids", "tokenizer"), None if inputs is None else inputs.separator
    return Classifier(answer, tokenizer, problem_of(config), longest, segment_ids, device, separator, windows)


def _default_length(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast) -> int:
    """The maximum number of tokens of a row if the length of the model's training is unknown."""
    said = tokenizer.model_max_length  # a huge number if the tokenizer has no limit
    return min(most_tokens(config), said if said <= _SENSIBLE else _USUAL_LENGTH)


def open_answer(folder: Path, device: str = "cpu") -> Answer:
    """Load a model as a function from batches to logits, with torch's current number of threads.

    Args:
        folder: A model folder, or one that `stark export` wrote.
        device: Device of a model folder; exported models run on the CPU.

    Returns:
        The function; it computes in float32 except with int8 weights.

    Raises:
        StarkError: If there is no usable model.
    """
    if is_exported(folder):
        return open_exported(folder)
    # Module.to, because transformers annotates its own `to` differently.
    return answer_of(torch.nn.Module.to(load_classifier(folder), device))


def answer_of(model: PreTrainedModel) -> Answer:
    """Turn a loaded model into a function from batches to logits.

    Args:
        model: The model, in eval mode. It must not be changed afterwards.

    Returns:
        A function that moves a batch from the CPU to the model's device and returns its logits; on a GPU a
        `ReplayedAnswer`.
    """
    if model.device.type == _REPLAYED_ON:
        return ReplayedAnswer(model, CUDAGraphs(model.device))

    def answer(batch: Batch) -> Tensor:
        with torch.inference_mode():
            return classify(model, {name: values.to(model.device) for name, values in needed_inputs(batch).items()})

    return answer
