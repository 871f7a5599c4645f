"""Pruning and distillation of encoder classifiers without Lightning: the part that needs only torch and transformers.

Importing it registers shrunk models (``stark-bert``, ...) with the Auto classes of transformers.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stark.storage.lazy import lazy_names

if TYPE_CHECKING:
    from stark.budgets.budget import Budget, Units
    from stark.budgets.cost import CostBudget, UnitCostBudget, UnitCosts
    from stark.budgets.flops import FLOPs
    from stark.budgets.milliseconds import Milliseconds
    from stark.budgets.parameters import Parameters
    from stark.encoders.cutting import shrink_, shrink_to_
    from stark.encoders.families.table import family_of, register_family
    from stark.encoders.family import EncoderFamily
    from stark.encoders.layer_dropping import drop_layers_
    from stark.encoders.layer_view import EncoderLayer, UnitLinear
    from stark.encoders.layers import count_parameters, encoder_layers, kept_units
    from stark.encoders.masking import unit_masks
    from stark.encoders.units import KeptUnits, UnitMasks, UnitValues
    from stark.errors import StarkError
    from stark.forward.classifying import Outputs, Projections
    from stark.losses.attention_maps import AttentionMaps
    from stark.losses.contextual import ContextualKD
    from stark.losses.decoupled import DecoupledKD
    from stark.losses.dist import DIST
    from stark.losses.hidden_states import HiddenStates
    from stark.losses.jensen_shannon import JensenShannon
    from stark.losses.kl_divergence import KLDivergence, kl_divergence
    from stark.losses.layers import LayerLoss
    from stark.losses.logit_mse import LogitMSE
    from stark.losses.logits import LogitLoss
    from stark.losses.loss import Loss
    from stark.losses.minilm import MiniLM
    from stark.losses.minilm_v2 import MiniLMv2
    from stark.losses.patient import PatientKD
    from stark.losses.reverse_kl import ReverseKL
    from stark.losses.soft_targets import SoftTargets, soft_cross_entropy
    from stark.losses.standardized import StandardizedLogits
    from stark.losses.symmetric_kl import SymmetricKL
    from stark.losses.weighted import WeightedSum
    from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
    from stark.problems.classification import Classification
    from stark.problems.multi_label import MultiLabel
    from stark.problems.problem import Problem
    from stark.problems.ranking import Ranking
    from stark.problems.regression import Regression
    from stark.problems.table import problem_for, problem_of, register_problem
    from stark.pruning import choose_units, prune_
    from stark.refitting import refit_
    from stark.scores.expressiveness import Expressiveness
    from stark.scores.fisher import Fisher
    from stark.scores.friendliness import Friendliness, KLFriendliness, SignedFriendliness
    from stark.scores.imitation import Imitation
    from stark.scores.knowledgeableness import Knowledgeableness
    from stark.scores.magnitude import Magnitude
    from stark.scores.movement import Movement
    from stark.scores.random import Random
    from stark.scores.score import ActivationScore, Distilled, GradientScore, Score, Taught
    from stark.scores.scoring import score_units
    from stark.scores.taylor import SignedExpressiveness, Taylor
    from stark.scores.unit_scores import UnitScores
    from stark.scores.wanda import Wanda
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "DIST",
    "ActivationScore",
    "AttentionMaps",
    "Budget",
    "Classification",
    "ContextualKD",
    "CostBudget",
    "DecoupledKD",
    "Distilled",
    "EncoderFamily",
    "EncoderLayer",
    "Expressiveness",
    "FLOPs",
    "Fisher",
    "Friendliness",
    "GradientScore",
    "HiddenStates",
    "Imitation",
    "JensenShannon",
    "KLDivergence",
    "KLFriendliness",
    "KeptUnits",
    "Knowledgeableness",
    "LayerLoss",
    "LogitLoss",
    "LogitMSE",
    "Loss",
    "Magnitude",
    "Milliseconds",
    "MiniLM",
    "MiniLMv2",
    "Movement",
    "MultiLabel",
    "Outputs",
    "Parameters",
    "PatientKD",
    "Problem",
    "Projections",
    "Random",
    "Ranking",
    "Regression",
    "ReverseKL",
    "Score",
    "SignedExpressiveness",
    "SignedFriendliness",
    "SoftTargets",
    "StandardizedLogits",
    "StarkError",
    "SymmetricKL",
    "Taught",
    "Taylor",
    "UnitCostBudget",
    "UnitCosts",
    "UnitLinear",
    "UnitMasks",
    "UnitScores",
    "UnitValues",
    "Units",
    "Wanda",
    "WeightedSum",
    "choose_units",
    "count_parameters",
    "drop_layers_",
    "encoder_layers",
    "family_of",
    "kept_units",
    "kl_divergence",
    "load_classifier",
    "load_tokenizer",
    "problem_for",
    "problem_of",
    "prune_",
    "refit_",
    "register_family",
    "register_problem",
    "save_classifier",
    "score_units",
    "shrink_",
    "shrink_to_",
    "soft_cross_entropy",
    "unit_masks",
]


def _is_command() -> bool:
    """Whether this process is the command `stark`, which imports torch and transformers after it has read its options.

    Otherwise its ``--help`` would take seconds.
    """
    command = Path(__file__).parents[1] / "cli.py"
    programs = (getattr(sys.modules.get(name), "__file__", None) for name in ("cli", "__main__"))
    return any(program is not None and Path(program).resolve() == command.resolve() for program in programs)


if not _is_command():
    import stark.model_folders.shrunk  # noqa: F401 - registers the shrunk families
