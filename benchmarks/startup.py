"""Start-up time: `stark --help`, and `stark fit --print_config` against the same option of an empty LightningCLI."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.measuring import Sample, alternate, child, header, ratio_line, ratios, report

__all__ = ["main"]

_EMPTY = """\
from pytorch_lightning import LightningDataModule, LightningModule
from pytorch_lightning.cli import LightningCLI


class Module(LightningModule):
    def __init__(self, width: int = 1):
        super().__init__()


class Data(LightningDataModule):
    def __init__(self, folder: str = "."):
        super().__init__()


LightningCLI(Module, Data)
"""
_OURS = ("-m", "cli", "fit", "--config", "configs/finetune.yaml", "--config", "configs/task/rte.yaml", "--print_config")


def main() -> None:
    """Measure all start-up times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print(header(options.threads), flush=True)
    with tempfile.TemporaryDirectory() as name:
        script = Path(name) / "empty.py"
        script.write_text(_EMPTY)
        commands = {
            "--help": ("-m", "cli", "--help"),
            "empty --print_config": (str(script), "fit", "--print_config"),
            "stark --print_config": _OURS,
        }

        def way(command: tuple[str, ...]) -> Sample:
            sample, _ = child(command, options.threads)
            return Sample(sample.wall, sample.cpu)

        for command in commands.values():
            way(command)  # warm-up: the operating system caches the files
        samples = alternate({name: lambda c=command: way(c) for name, command in commands.items()}, options.rounds)  # type: ignore[misc]
    for name, found in samples.items():
        print(report(name, found))
    # Inverse to the other benchmarks: how many times more than the empty LightningCLI, which is the lower limit.
    empty, ours = samples["empty --print_config"], samples["stark --print_config"]
    print(f"startup/help seconds {statistics.median(sample.wall for sample in samples['--help']):.2f}")
    print(ratio_line("startup/print_config/cpu_of_empty", ratios([s.cpu for s in ours], [s.cpu for s in empty])))
    print(ratio_line("startup/print_config/wall_of_empty", ratios([s.wall for s in ours], [s.wall for s in empty])))


if __name__ == "__main__":
    main()
