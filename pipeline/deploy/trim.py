"""`stark trim`: writes a classifier with fewer tokens or factorised embeddings, and checks the result."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from jsonargparse import Namespace
from rich.table import Table
from torch import Tensor
from transformers import PreTrainedModel

from datamodules import GLUEDataModule, OwnTask
from pipeline.deploy.classifier import answer_of
from pipeline.deploy.export.export import megabytes_of
from pipeline.deploy.model_data import data_of
from pipeline.parsing.plain_text import PlainConsole
from pipeline.parsing.progress import step
from stark.encoders.layers import count_parameters
from stark.errors import StarkError
from stark.model_folders.model_folder import check_free, load_classifier, load_tokenizer, save_classifier
from stark.vocabulary.factorizing import check_rank, count_tokens, factorise_embeddings_
from stark.vocabulary.needed import needed_tokens, with_frequent_tokens
from stark.vocabulary.trimming import count_changed, trim_embeddings_, trim_tokenizer

__all__ = ["Trimmed", "trim", "trim_model"]


@dataclass(frozen=True)
class Side:
    """A model before or after its tokens were removed.

    Args:
        tokens: Number of tokens of the vocabulary.
        parameters: Number of parameters.
        megabytes: Size of the folder.
        score: The task's score on dev.
    """

    tokens: int
    parameters: int
    megabytes: float
    score: float


@dataclass(frozen=True)
class Trimmed:
    """What removing tokens and factorising embeddings did.

    Args:
        before: The model with all tokens.
        after: The model without those that are not needed.
        texts: Number of texts of the training data.
        changed: Number of them that are split into other tokens now; 0, as far as the tokenizer works as it says.
        dev_texts: Number of texts of dev.
        dev_changed: Number of them that are split into other tokens now.
        rank: Rank of the embeddings; None if they are whole.
        kept_share: Share of their squared norm that is kept, in the texts of the training data.
    """

    before: Side
    after: Side
    texts: int
    changed: int
    dev_texts: int
    dev_changed: int
    rank: int | None = None
    kept_share: float = 1.0


def trim(options: Namespace) -> None:
    """Run `stark trim`.

    Args:
        options: Its command line, parsed.

    Raises:
        StarkError: If the score falls by more than the options allow; nothing is kept then.
    """
    folder = Path(options.model)
    named = folder.resolve() if folder.name in ("", "..") else folder
    target = Path(options.output) if options.output else named.with_name(f"{named.name}-trimmed")
    with step(f"making the embeddings of {folder} smaller"):
        data = data_of(folder, options.data.task, options.data.data_dir, options.data.unlabelled)
        found = trim_model(folder, target, data, options.tokens, options.max_score_loss, options.rank)
    _show(found, target)


def trim_model(
    folder: Path,
    target: Path,
    data: GLUEDataModule,
    tokens: int = 0,
    max_score_loss: float = 0.01,
    rank: int | None = None,
) -> Trimmed:
    """Write a model without the tokens that the texts of its training do not need.

    Without a rank, rows of the training data give the same logits, bit for bit. A word that does not occur in them is
    split into smaller tokens if its token was removed.

    Args:
        folder: Folder of the model.
        target: Folder to write; see `save_classifier`.
        data: Data module with the model's tokenizer: the texts of train and of the files without labels are the corpus,
            and the score is measured on dev.
        tokens: Number of tokens to keep at least; see `with_frequent_tokens`.
        max_score_loss: Largest allowed loss of the task's score on dev.
        rank: Rank of the embeddings of the tokens that are left, see `factorise_embeddings_`; None leaves them whole.

    Returns:
        What it did.

    Raises:
        StarkError: If nothing can be removed, something else has the target's name, or the score falls by more than
            allowed; nothing is written then.
    """
    check_free(target)
    model, tokenizer = load_classifier(folder), load_tokenizer(folder)
    if rank is not None:
        check_rank(model, rank)  # before the model is measured
    texts = data.training_texts()
    keep = with_frequent_tokens(tokenizer, needed_tokens(tokenizer, texts), tokens)
    if len(keep) == len(tokenizer) and rank is None:
        raise StarkError(f"{folder}: all of its {len(keep)} tokens would be kept: there is nothing to remove")
    trimmed = trim_tokenizer(tokenizer, keep)
    dev = data.labelled_texts("dev")
    dev_texts = [text for column in (dev.text_a, dev.text_b) if column is not None for text in column]
    before = _side(model, len(tokenizer), folder, data)
    trim_embeddings_(model, keep)
    share = 1.0
    if rank is not None:
        share = factorise_embeddings_(model, rank, count_tokens(trimmed, texts, int(model.config.vocab_size)))
    with tempfile.TemporaryDirectory() as temporary:
        made = save_classifier(model, Path(temporary, "model"), trimmed)
        after = _side(model, len(trimmed), made, _same_rows(data, made))
    found = Trimmed(
        before=before,
        after=after,
        texts=len(texts),
        changed=count_changed(tokenizer, trimmed, keep, texts),
        dev_texts=len(dev_texts),
        dev_changed=count_changed(tokenizer, trimmed, keep, dev_texts),
        rank=rank,
        kept_share=share,
    )
    if not before.score - after.score <= max_score_loss:
        ranked, more = ("", "") if rank is None else (f" and with rank {rank}", " or --rank")
        raise StarkError(
            f"without {before.tokens - after.tokens} tokens{ranked} the score on dev is {after.score:.4f}, before "
            f"{before.score:.4f}: it lost more than --max_score_loss {max_score_loss:g}, nothing was kept; keep more "
            f"by --tokens{more}, or name files with more texts by --data.unlabelled"
        )
    save_classifier(model, target, trimmed)
    return found


def _same_rows(data: GLUEDataModule, folder: Path) -> GLUEDataModule:
    """The same rows, tokenised for another model folder."""
    task = data.task
    name = str(task.description) if isinstance(task, OwnTask) else task.name
    return GLUEDataModule(
        name,
        data.data_dir,
        str(folder),
        max_length=data.max_length,
        segment_ids=data.segment_ids,
        cache_dir=data.cache_dir,
    )


def _side(model: PreTrainedModel, tokens: int, folder: Path, data: GLUEDataModule) -> Side:
    answer = answer_of(model)
    data.setup("test")
    logits: list[Tensor] = []
    labels: list[Tensor] = []
    for batch in data.test_dataloader():
        logits.append(answer(batch))
        labels.append(batch["labels"])
    problem = data.task.problem.of_model(model.config)
    score = problem.score_function(data.score_metrics)(problem.for_metrics(torch.cat(logits)), torch.cat(labels))
    return Side(tokens, count_parameters(model)[0], megabytes_of(folder), score)


def _show(found: Trimmed, target: Path) -> None:
    table = Table()
    for header in ("", "model", "trimmed"):
        table.add_column(header, justify="right" if header else "left", no_wrap=True)
    sides = (found.before, found.after)
    table.add_row("tokens", *(f"{side.tokens:,}" for side in sides))
    table.add_row("parameters", *(f"{side.parameters:,}" for side in sides))
    table.add_row("size, MB", *(f"{side.megabytes:.1f}" for side in sides))
    table.add_row("dev score", *(f"{side.score:.4f}" for side in sides))
    console = PlainConsole()
    console.print(table)
    console.print(
        f"texts that are split into other tokens: {found.changed:,} of {found.texts:,} of the training data, "
        f"{found.dev_changed:,} of {found.dev_texts:,} of dev",
        highlight=False,
        soft_wrap=True,
    )
    if found.rank is not None:
        console.print(
            f"embeddings of rank {found.rank}: {found.kept_share:.1%} of the squared norm in the training data is kept",
            highlight=False,
            soft_wrap=True,
        )
    console.print(f"{target}", soft_wrap=True, highlight=False)
