"""Data sets as LightningDataModules."""

from datamodules.batching import (
    EvaluationSampler,
    LazyDataLoader,
    LengthGroupedBatchSampler,
    PadCollator,
    evaluation_batches,
    length_grouped_batches,
)
from datamodules.glue import GLUEDataModule
from datamodules.sample import sample_vocabulary, write_sample_data
from datamodules.sources import GLUE_HUB_ID
from datamodules.submission import write_submission
from datamodules.tasks import TASKS, Layout, Task, find_task

__all__ = [
    "GLUE_HUB_ID",
    "TASKS",
    "EvaluationSampler",
    "GLUEDataModule",
    "Layout",
    "LazyDataLoader",
    "LengthGroupedBatchSampler",
    "PadCollator",
    "Task",
    "evaluation_batches",
    "find_task",
    "length_grouped_batches",
    "sample_vocabulary",
    "write_sample_data",
    "write_submission",
]
