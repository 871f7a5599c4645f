"""What a classifier need not do while it is trained: put on for a fit, taken off after it."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from stark.forward.dropout import dropout

__all__ = ["CheapDropout", "HasTokenIds", "UsedRows", "cheap_dropout_", "follow_", "plain_", "use_rows_"]

# Rows that decay at a time on a CPU: they stay in its cache through all the steps that are made good.
_CHUNK = 1 << 16


@runtime_checkable
class HasTokenIds(Protocol):
    """A data module that knows which tokens training meets."""

    def train_token_ids(self) -> Tensor:
        """The ids, ascending, padding among them."""


class CheapDropout(nn.Dropout):
    """`nn.Dropout` by `dropout`; beside a CPU it is torch's own."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop in training only."""
        # What is compiled draws in its own way.
        if not self.training or not self.p or input.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(input)
        return dropout(input, self.p)


class UsedRows(nn.Embedding):
    """An embedding that trains only the rows of tokens that occur in training.

    The others have no gradient, so that AdamW does nothing to them but decay: times 1 - learning rate * weight decay
    at each step. Here they are no parameters: no gradient, moments or norm is computed for them, and their decay is
    made good, step by step with the same rounding, when somebody asks for them: for a checkpoint, or where nothing
    learns and all tokens may come. To the outside, in `state_dict`, it is an ordinary embedding of full size.

    Args:
        embedding: What it takes the place of.
        used: Ids of the tokens of training, ascending, ``(rows,)``.
    """

    def __init__(self, embedding: nn.Embedding, used: Tensor) -> None:
        """Part the rows."""
        size, width = embedding.weight.shape
        nn.Module.__init__(self)
        self.num_embeddings, self.embedding_dim = size, width
        self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse = None, 2.0, False, False
        device = embedding.weight.device
        used = used.to(device)
        is_used = torch.zeros(size, dtype=torch.bool, device=device)
        is_used[used] = True
        # Plain attributes: DDP would send buffers around before each step.
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
        """Look up; where weights learn, only tokens of training."""
        if self.weight.requires_grad and torch.is_grad_enabled():
            return nn.functional.embedding(self._place[input], self.weight, self.padding_idx)
        return nn.functional.embedding(input, self._whole())

    @property
    def known_id(self) -> int:
        """Some token of training."""
        return int(self._used[0])

    def decay(self, factor: float) -> None:
        """Note that a step of the optimizer would have multiplied the other rows.

        Args:
            factor: Factor of the decay.
        """
        if factor != 1:
            self._pending.append(factor)

    def plain(self) -> nn.Embedding:
        """The ordinary embedding of full size, with all rows as they are now."""
        embedding = nn.Embedding(
            self.num_embeddings, self.embedding_dim, self._padding, _weight=self._whole().detach().clone()
        )
        embedding.weight.requires_grad_(self.weight.requires_grad)
        return embedding.train(self.training)

    def _whole(self) -> Tensor:
        """All rows, assembled anew only when they have changed."""
        # Kept for later, when an inference tensor might not do.
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
        # A copy: a tensor that is assembled again must not change while somebody holds it.
        destination[f"{prefix}weight"] = self._whole().clone()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:  # noqa: ANN401 - torch's
        whole = state_dict[f"{prefix}weight"].to(self._rest.device)
        self._pending, self._full = [], None
        self._rest = whole[self._rest_ids].clone()
        with torch.no_grad():
            self.weight.copy_(whole[self._used])


def use_rows_(model: PreTrainedModel, token_ids: Tensor) -> UsedRows | None:
    """Let a model train only the embedding rows of some tokens, in place; before its optimizer is made.

    Args:
        model: A classifier.
        token_ids: All that training meets.

    Returns:
        The embedding, or None where it has no row to spare or is no ordinary one.
    """
    embedding = model.get_input_embeddings()
    used = token_ids.unique()
    if type(embedding) is not nn.Embedding or embedding.max_norm or len(used) >= embedding.num_embeddings:
        return None
    rows = UsedRows(embedding, used)
    model.set_input_embeddings(rows)
    return rows


def follow_(rows: UsedRows, optimizer: Optimizer) -> None:
    """Let the other rows decay with each step that an AdamW makes.

    Args:
        rows: Embeddings of a model.
        optimizer: Optimizer that trains it.
    """

    def decay(optimizer: Optimizer, *_: object) -> None:
        # Looked up each time: a resumed optimizer gets new groups.
        for group in optimizer.param_groups:
            if any(parameter is rows.weight for parameter in group["params"]):
                rows.decay(1 - group["lr"] * group["weight_decay"])

    optimizer.register_step_post_hook(decay)


def cheap_dropout_(model: nn.Module) -> None:
    """Put `CheapDropout` in the place of each `nn.Dropout`, in place.

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
    embedding = model.get_input_embeddings()
    if isinstance(embedding, UsedRows):
        model.set_input_embeddings(embedding.plain())
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, CheapDropout):
                setattr(parent, name, nn.Dropout(child.p).train(child.training))
