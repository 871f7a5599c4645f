"""Properties of the machine that affect the last bits of results on a CPU, in addition to settings and data."""

from __future__ import annotations

import torch

from pipeline.executors.table import open_executor
from pipeline.run_folder import RunFolder
from pipeline.settings import RunSettings

__all__ = ["machine_of"]


def machine_of(settings: RunSettings) -> dict[str, str]:
    """Describe this process and its fits by the properties that determine the order of additions.

    Args:
        settings: The run's settings.

    Returns:
        Values by name, such as ``{"threads": "2", "threads of a fit": "1", "torch": "2.13.0", "CPU": "AVX512"}``.
    """
    here = torch.get_num_threads()
    of_a_fit = open_executor(settings.executor, settings.slurm, RunFolder(settings.folder).jobs).threads(
        settings.workers
    )
    return {
        "threads": str(here),
        "threads of a fit": str(here if of_a_fit is None else of_a_fit),
        "torch": torch.__version__,
        "CPU": torch.backends.cpu.get_cpu_capability(),
    }
