"""Callbacks: pruning, teacher sparsification and rewinding, usable in any fit."""

from callbacks.layer_dropping import LayerDropping
from callbacks.pruning import Pruning
from callbacks.rewinding import Rewinding
from callbacks.saving import SaveModelFolder
from callbacks.sparsification import TeacherSparsification
from callbacks.submission import SubmissionWriter

__all__ = [
    "LayerDropping",
    "Pruning",
    "Rewinding",
    "SaveModelFolder",
    "SubmissionWriter",
    "TeacherSparsification",
]
