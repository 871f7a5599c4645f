"""Data sets as LightningDataModules."""

from typing import TYPE_CHECKING

from stark.storage.lazy import lazy_names

if TYPE_CHECKING:
    from datamodules.batches.collating import PadCollator
    from datamodules.batches.grouping import Batches, evaluation_batches, length_grouped_batches, token_budget_batches
    from datamodules.batches.samplers import EpochBatchSampler, EvaluationSampler, LazyDataLoader
    from datamodules.glue import GLUEDataModule
    from datamodules.sample import sample_vocabulary, write_sample_data
    from datamodules.sources.hub import GLUE_HUB_ID
    from datamodules.sources.opening import open_task, read_own_task
    from datamodules.submission import write_submission
    from datamodules.tasks.description import is_description
    from datamodules.tasks.glue import TASKS, GLUETask, Layout, find_task
    from datamodules.tasks.own import OwnTask
    from datamodules.tasks.task import Task
    from datamodules.text import TextDataModule
    from datamodules.tokens.columns import TokenColumns
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "GLUE_HUB_ID",
    "TASKS",
    "Batches",
    "EpochBatchSampler",
    "EvaluationSampler",
    "GLUEDataModule",
    "GLUETask",
    "Layout",
    "LazyDataLoader",
    "OwnTask",
    "PadCollator",
    "Task",
    "TextDataModule",
    "TokenColumns",
    "evaluation_batches",
    "find_task",
    "is_description",
    "length_grouped_batches",
    "open_task",
    "read_own_task",
    "sample_vocabulary",
    "token_budget_batches",
    "write_sample_data",
    "write_submission",
]
