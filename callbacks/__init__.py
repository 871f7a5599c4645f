"""Callbacks: pruning, teacher sparsification and rewinding, usable in any fit."""

from typing import TYPE_CHECKING

from stark.storage.lazy import lazy_names

if TYPE_CHECKING:
    from callbacks.averaging import AveragedWeights
    from callbacks.compilation import Compilation
    from callbacks.cuda_graphs import CUDAGraphs
    from callbacks.epoch_lines import EpochLines
    from callbacks.expected_model import ExpectedModel
    from callbacks.finite_loss import FiniteLoss
    from callbacks.gradual import GradualPruning
    from callbacks.interruption import StopOnSignal
    from callbacks.layer_dropping import LayerDropping
    from callbacks.pause import Pause, Paused
    from callbacks.pruning import Pruning
    from callbacks.restoring import TeacherRestoring
    from callbacks.rewinding import Rewinding
    from callbacks.saving import SaveModelFolder
    from callbacks.signals import PARENT_VARIABLE, Interrupted
    from callbacks.sparsification import TeacherSparsification
    from callbacks.submission import SubmissionWriter
    from callbacks.teacher_answers import TeacherAnswers
    from callbacks.teacher_cache import TeacherCache
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "PARENT_VARIABLE",
    "AveragedWeights",
    "CUDAGraphs",
    "Compilation",
    "EpochLines",
    "ExpectedModel",
    "FiniteLoss",
    "GradualPruning",
    "Interrupted",
    "LayerDropping",
    "Pause",
    "Paused",
    "Pruning",
    "Rewinding",
    "SaveModelFolder",
    "StopOnSignal",
    "SubmissionWriter",
    "TeacherAnswers",
    "TeacherCache",
    "TeacherRestoring",
    "TeacherSparsification",
]
