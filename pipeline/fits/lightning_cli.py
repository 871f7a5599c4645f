"""LightningCLI for our modules: fit, validate, test and predict from YAML."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, get_args

from jsonargparse import Namespace
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities import rank_zero_info

from callbacks import *  # noqa: F403 - of what has been imported, YAML may use bare class names
from callbacks import PARENT_VARIABLE, Paused, StopOnSignal
from datamodules import GLUEDataModule
from lightning_modules import ClassificationModule
from lightning_modules.checkpoints import SafeCheckpointIO, read_checkpoint
from lightning_modules.strategies import check_strategy
from pipeline.parsing.errors import OneLineErrors
from pipeline.parsing.plugins import PLUGINS_HELP, PluginPaths, load_plugins, named_plugins
from pipeline.parsing.yaml_text import CONFIGS
from pipeline.run_folder import CHECKPOINTS, FIT_CONFIG, METRICS, earlier_metrics
from stark.errors import StarkFileExistsError
from stark.storage import folder_lock, write_text

__all__ = ["StarkCLI"]

_DEFAULT_SEED = 776
_CHECKPOINTS = ("checkpoint", "last_checkpoint", "step_checkpoint")

_NEEDLESS_WARNINGS = (
    ".*does not have many workers",  # rows are tokenised beforehand
    ".*your dataloader is not resumable",  # it is, see lightning_modules/resuming.py
    "LightningCLI's args parameter",  # main() hands over what the shell gave it
    ".*LeafSpec.* is deprecated",  # Lightning's use of torch
    "Experiment logs directory",  # before_fit sees to it
    "Checkpoint directory .* exists and is not empty",
    ".*is smaller than the logging interval",
)


class OneLineParser(OneLineErrors, LightningArgumentParser):
    """LightningCLI's parser with errors in one line."""


class SaveConfig(SaveConfigCallback):
    """Saves the ``config.yaml`` of a fresh fit; a resumed one has it already."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save when a fit starts."""
        if stage == "fit" and trainer.ckpt_path is None:
            super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file, whole or not at all; only the first process is asked to."""
        write_text(
            Path(trainer.default_root_dir) / self.config_filename, self.parser.dump(self.config, skip_none=False)
        )


class StarkCLI(LightningCLI):
    """LightningCLI over `ClassificationModule` and `GLUEDataModule`.

    ``configs/trainer.yaml`` is read first. Label names, metrics and the seed flow from the data and ``seed_everything``
    to where they are used, and the tokenizer's folder from the model to the data, so none is typed twice.

    Args:
        args: The command line, the subcommand first.
        callbacks: Added to those of the YAML, such as a pipeline's progress display.
    """

    def __init__(self, args: list[str], callbacks: Sequence[Callback] = ()) -> None:
        """Parse and run."""
        self._asked = args[0]
        # Only a fit goes on with the checkpoints of the folder that it was in.
        elsewhere = () if self._asked == "fit" else ("The dirpath has changed from",)
        for message in (*_NEEDLESS_WARNINGS, *elsewhere):
            warnings.filterwarnings("ignore", message=message)
        # An advertisement that Lightning prints at each start.
        logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(_is_no_advertisement)
        self._plugins = load_plugins(named_plugins(args[1:]))
        _whole_numbers_first()
        with ExitStack() as self._held:
            super().__init__(
                ClassificationModule,
                GLUEDataModule,
                save_config_callback=SaveConfig,
                save_config_kwargs={"save_to_log_dir": False},
                trainer_defaults={"callbacks": [*callbacks, StopOnSignal()]},
                seed_everything_default=_DEFAULT_SEED,
                parser_class=OneLineParser,
                subclass_mode_model=True,
                parser_kwargs={self._asked: {"default_config_files": [str(CONFIGS / "trainer.yaml")]}},
                auto_configure_optimizers=False,
                args=args,
            )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # the parent's is static
        """Only the subcommand that was asked for: building four parsers takes four times as long."""
        return {self._asked: LightningCLI.subcommands()[self._asked]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Name the callbacks that every fit has, and link what would otherwise be typed twice."""
        parser.add_argument("--plugins", type=PluginPaths, default=[], help=PLUGINS_HELP)
        parser.add_lightning_class_args(ModelCheckpoint, _CHECKPOINTS[0])
        parser.add_lightning_class_args(EarlyStopping, "early_stopping")
        # After the one that chooses, so that it saves what that one chose. Lightning's save_last would only write when
        # the score improves.
        parser.add_lightning_class_args(ModelCheckpoint, _CHECKPOINTS[1])
        # Lightning lets one of these write after validations or every n steps, not both.
        parser.add_lightning_class_args(ModelCheckpoint, _CHECKPOINTS[2])
        parser.link_arguments("seed_everything", "data.seed", compute_fn=_seed)
        parser.link_arguments("model", "data.model_name_or_path", compute_fn=_tokenizer_source)
        for name in ("label_names", "metrics"):
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
        parser.link_arguments("data", "model.init_args.kind", compute_fn=_kind, apply_on="instantiate")

    def before_instantiate_classes(self) -> None:
        """Refuse a strategy before Lightning builds it, which fails on its own terms; say where the plugins lie."""
        self.config[self._asked]["plugins"] = [str(plugin.path) for plugin in self._plugins]
        strategy = self._get(self.config, "trainer")["strategy"]
        check_strategy(strategy["class_path"] if isinstance(strategy, Namespace) else strategy)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:  # noqa: ANN401 - the parent's signature
        """Log to CSV in the run's folder, unless YAML names a logger; only a fit logs. Checkpoints are safe files."""
        trainer = self._get(self.config_init, "trainer")
        plugins = trainer["plugins"] or []
        plugins = list(plugins) if isinstance(plugins, (list, tuple)) else [plugins]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            kwargs["plugins"] = [*plugins, SafeCheckpointIO()]
        folder = trainer["default_root_dir"]
        if self._asked == "fit" and folder is not None:
            for name in _CHECKPOINTS:
                checkpoint: ModelCheckpoint = self._get(self.config_init, name)
                # Lightning would ask the first logger for a place.
                checkpoint.dirpath = checkpoint.dirpath or str(Path(folder).resolve() / CHECKPOINTS)
        if trainer["logger"] in (None, True):
            kwargs["logger"] = CSVLogger(folder, name="", version="") if self._asked == "fit" else False
        return super().instantiate_trainer(**kwargs)

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            super()._run_subcommand(subcommand)
        except Paused:
            rank_zero_info(f"Paused; go on with --ckpt_path {self.trainer.default_root_dir}/{CHECKPOINTS}/last.ckpt")
        except Exception:
            if not self.trainer.is_global_zero:
                # Process 0 most likely has the same to say and ends this one; if not, it is said a bit later.
                time.sleep(3)
            elif (launcher := self.trainer.strategy.launcher) is not None:
                killed_by = _killed_by(launcher)
                # The others wait for this process, and would complain or wait on when it is gone.
                launcher.kill(signal.SIGKILL)
                if killed_by:  # and not by what this process complains of
                    name = signal.Signals(killed_by).name
                    print(
                        f"stark: one of the fit's processes was killed ({name}): go on with --ckpt_path",
                        file=sys.stderr,
                    )
                    sys.exit(128 + killed_by)
            raise

    def _parse_ckpt_path(self) -> None:
        # Lightning lets a checkpoint's hyperparameters override YAML and command line. A fit refuses differences
        # instead (ClassificationModule.on_load_checkpoint).
        if self._asked == "fit":
            return
        if path := self.config[self._asked].get("ckpt_path"):
            read_checkpoint(Path(path), mapped=True)
        super()._parse_ckpt_path()

    def before_fit(self) -> None:
        """Claim the folder before a logger touches it, and tell the callbacks in time whether the fit resumes.

        Raises:
            StarkFileExistsError: If the folder holds another run, or another process works in it.
            StarkFileNotFoundError: If there is no such checkpoint.
            StarkError: If the checkpoint is damaged.
        """
        folder = Path(self.trainer.default_root_dir)
        path = self.config_init["fit"].pop("ckpt_path", None)
        if path is not None:
            read_checkpoint(Path(path), mapped=True)
            self.trainer.ckpt_path = path
        if not self.trainer.is_global_zero or self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        # A stage's fit may have to wait until one that lost its pipeline has noticed.
        self._held.enter_context(folder_lock(folder, patience=30.0 if PARENT_VARIABLE in os.environ else 0.0))
        if path is None and (folder / FIT_CONFIG).exists():
            raise StarkFileExistsError(
                f"{folder} holds another run: choose another --trainer.default_root_dir, remove the folder, or "
                "resume it with --ckpt_path"
            )
        metrics = folder / METRICS
        if metrics.is_file():  # the logger would delete it
            earlier = len(list(folder.glob(earlier_metrics("*"))))
            metrics.rename(metrics.with_name(earlier_metrics(earlier)))


def _killed_by(launcher: Any) -> int:  # noqa: ANN401 - several classes, of which some start processes
    """The signal that killed one of the other processes, by which this one has lost its connection; 0 if none did."""
    deadline = time.monotonic() + 1  # the connection may break before the process has ended
    for process in getattr(launcher, "procs", []):
        with suppress(subprocess.TimeoutExpired):
            if (status := process.wait(max(0.0, deadline - time.monotonic()))) < 0:
                return int(-status)
    return 0


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "litlogger" not in record.getMessage()


def _whole_numbers_first() -> None:
    """Let ``--trainer.limit_train_batches 1`` be one batch.

    Python takes ``Union[float, int]`` and ``Union[int, float]`` for the same and may give Lightning's Trainer the one
    that some other module has written. The parser tries the types in their order, and 1.0 means all batches.
    """
    hints = Trainer.__init__.__annotations__
    for name, hint in hints.items():
        kinds = get_args(hint)
        if int in kinds and float in kinds[: kinds.index(int)]:
            hints[name] = reduce(or_, sorted(kinds, key=lambda kind: kind is not int))


def _seed(seed: bool | int) -> int:
    return _DEFAULT_SEED if isinstance(seed, bool) else seed


def _kind(data: LightningDataModule) -> str | None:
    """The kind of label of a data module; of a user's own, which may know of none, what its label names mean."""
    return getattr(data, "kind", None)


def _tokenizer_source(model: Namespace | None) -> str:
    arguments = (model or Namespace()).get("init_args") or Namespace()
    source: str = arguments.get("model_name_or_path") or arguments.get("student") or ""
    return source
