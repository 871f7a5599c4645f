"""Callbacks: pruning, teacher sparsification and rewinding, usable in any fit."""

from callbacks.compilation import Compilation
from callbacks.expected_model import ExpectedModel
from callbacks.finite_loss import FiniteLoss
from callbacks.interruption import PARENT_VARIABLE, Interrupted, StopOnSignal
from callbacks.layer_dropping import LayerDropping
from callbacks.pause import Pause, Paused
from callbacks.pruning import Pruning
from callbacks.restoring import TeacherRestoring
from callbacks.rewinding import Rewinding
from callbacks.saving import SaveModelFolder
from callbacks.sparsification import TeacherSparsification
from callbacks.submission import SubmissionWriter
from callbacks.teacher_cache import TeacherCache

__all__ = [
    "PARENT_VARIABLE",
    "Compilation",
    "ExpectedModel",
    "FiniteLoss",
    "Interrupted",
    "LayerDropping",
    "Pause",
    "Paused",
    "Pruning",
    "Rewinding",
    "SaveModelFolder",
    "StopOnSignal",
    "SubmissionWriter",
    "TeacherCache",
    "TeacherRestoring",
    "TeacherSparsification",
]
