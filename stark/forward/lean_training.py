"""Training shortcuts for a classifier, installed for a fit and removed afterwards."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from stark.encoders.token_table import set_token_table_, token_table
from stark.forward.dropout import dropout

__all__ = ["CheapDropout", "HasTokenIds", "UsedRows", "cheap_dropout_", "follow_", "plain_", "use_rows_"]

# Number of values that decay together on a CPU: they stay in its cache while all skipped decay steps are applied.
_CHUNK = 1 << 16


@runtime_checkable
class HasTokenIds(Protocol):
    """A data module that knows which tokens occur in training."""

    def train_token_ids(self) -> Tensor:
        """Ids of these tokens and of padding, ascending."""


class CheapDropout(nn.Dropout):
    """`nn.Dropout` that uses `dropout` on a CPU, and torch's kernel on other devices."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply dropout, in training only."""
        # Compiled code has its own way to draw random numbers.
        if not self.training or not self.p or input.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(input)
        return dropout(input, self.p)


class UsedRows(nn.Embedding):
    """An embedding that trains only the rows of tokens that occur in training.

    The other rows have no gradient, so AdamW only applies weight decay to them: at each step it multiplies them by
    1 - learning rate * weight decay. Here they are not parameters: no gradient, moments or norm is computed for them.
    The skipped decay steps are applied later, step by step with the same rounding, when the rows are needed: for a
    checkpoint, or outside training, where all tokens may occur. Its `state_dict` is that of an ordinary embedding of
    full size.

    Args:
        embedding: The embedding that it replaces.
        used: Ids of the tokens that occur in training, ascending, ``(rows,)``.
    """

    def __init__(self, embedding: nn.Embedding, used: Tensor) -> None:
        """Separate the trained rows from the others."""
        size, width = embedding.weight.shape
        nn.Module.__init__(self)
        self.num_embeddings, self.embedding_dim = size, width
        self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse = None, 2.0, False, False
        device = embedding.weight.device
        used = used.to(device)
        is_used = torch.zeros(size, dtype=torch.bool, device=device)
        is_used[used] = True
        # Plain attributes, because DDP would broadcast buffers before each step.
        self._used, self._rest_ids = used, (~is_used).nonzero().flatten()
        self._place = torch.full((size,), -1, device=device)
        self._place[used] = torch.arange(len(used), device=device)
        self._pending: list[float] = []
        self._full: tuple[int, Tensor] | None = None
        whole = embedding.weight.detach()
        self._rest = whole[self._rest_ids]
        self.weight = nn.Parameter(whole[used], requires_grad=embedding.weight.requires_grad)
        padding = embedding.padding_idx
        self.padding_idx = None if padding is None or not is_used[padding] else int(self._place[padding])
        self._padding = padding
        self.train(embedding.training)

    def forward(self, input: Tensor) -> Tensor:
        """Look up rows; while the weights are trained, only tokens that occur in training are allowed."""
        if self.weight.requires_grad and torch.is_grad_enabled():
            return nn.functional.embedding(self._place[input], self.weight, self.padding_idx)
        return nn.functional.embedding(input, self._whole())

    @property
    def known_id(self) -> int:
        """Id of a token that occurs in training."""
        return int(self._used[0])

    def decay(self, factor: float) -> None:
        """Record the decay that an optimizer step would have applied to the other rows.

        Args:
            factor: Factor by which the step would have multiplied them.
        """
        if factor != 1:
            self._pending.append(factor)

    def plain(self) -> nn.Embedding:
        """An ordinary embedding of full size, with the current values of all rows."""
        embedding = nn.Embedding(
            self.num_embeddings, self.embedding_dim, self._padding, _weight=self._whole().detach().clone()
        )
        embedding.weight.requires_grad_(self.weight.requires_grad)
        return embedding.train(self.training)

    def _whole(self) -> Tensor:
        """All rows; they are assembled again only after a change."""
        # Not an inference tensor, because the result is kept and may be used in training later.
        with torch.inference_mode(False), torch.no_grad():
            self._catch_up()
            if self._full is None or self._full[0] != self.weight._version:
                whole = self.weight.new_empty(self.num_embeddings, self.embedding_dim)
                whole[self._used] = self.weight
                whole[self._rest_ids] = self._rest
                self._full = self.weight._version, whole
            return self._full[1]

    def _catch_up(self) -> None:
        if not self._pending:
            return
        flat = self._rest.view(-1)
        for chunk in flat.split(_CHUNK) if flat.device.type == "cpu" else (flat,):
            for factor in self._pending:
                chunk.mul_(factor)
        self._pending, self._full = [], None

    def _apply(self, fn: Any, recurse: bool = True) -> UsedRows:  # noqa: ANN401 - torch's signature
        super()._apply(fn, recurse)
        self._full = None
        for name in ("_used", "_rest_ids", "_place", "_rest"):
            setattr(self, name, fn(getattr(self, name)))
        return self

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        # A copy, so that the caller's tensor and the kept one stay independent.
        destination[f"{prefix}weight"] = self._whole().clone()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:  # noqa: ANN401 - torch's
        whole = state_dict[f"{prefix}weight"].to(self._rest.device)
        self._pending, self._full = [], None
        self._rest = whole[self._rest_ids].clone()
        with torch.no_grad():
            self.weight.copy_(whole[self._used])


def use_rows_(model: PreTrainedModel, token_ids: Tensor) -> UsedRows | None:
    """Let a model train only the embedding rows of some tokens, in place; call it before creating the optimizer.

    Args:
        model: A classifier.
        token_ids: Ids of all tokens that occur in training.

    Returns:
        The new embedding; None if all rows occur in training, or if the model's embedding is not an ordinary one.
    """
    embedding = token_table(model)
    used = token_ids.unique()
    if type(embedding) is not nn.Embedding or embedding.max_norm or len(used) >= embedding.num_embeddings:
        return None
    rows = UsedRows(embedding, used)
    set_token_table_(model, rows)
    return rows


def follow_(rows: UsedRows, optimizer: Optimizer) -> None:
    """Let the other rows decay with each step of an AdamW optimizer.

    Args:
        rows: Embedding of a model.
        optimizer: Optimizer that trains the model.
    """

    def decay(optimizer: Optimizer, *_: object) -> None:
        # Looked up each time: a resumed optimizer gets new groups.
        for group in optimizer.param_groups:
            if any(parameter is rows.weight for parameter in group["params"]):
                rows.decay(1 - group["lr"] * group["weight_decay"])

    optimizer.register_step_post_hook(decay)


def cheap_dropout_(model: nn.Module) -> None:
    """Replace each `nn.Dropout` of a module by `CheapDropout`, in place.

    Args:
        model: Any module.
    """
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, CheapDropout(child.p).train(child.training))


def plain_(model: PreTrainedModel) -> None:
    """Undo `use_rows_` and `cheap_dropout_`, in place.

    Args:
        model: A classifier.
    """
    embedding = token_table(model)
    if isinstance(embedding, UsedRows):
        set_token_table_(model, embedding.plain())
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, CheapDropout):
                setattr(parent, name, nn.Dropout(child.p).train(child.training))
