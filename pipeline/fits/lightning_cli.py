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
from functools import partial, reduce
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

from callbacks import *  # noqa: F403 - YAML may use bare class names of imported classes
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
    "LightningCLI's args parameter",  # main() passes the shell's arguments on
    ".*LeafSpec.* is deprecated",  # Lightning's use of torch
    "Experiment logs directory",  # before_fit moves earlier logs away
    "Checkpoint directory .* exists and is not empty",
    "The `srun` command is available",  # a job of SLURM is one process, which starts other ranks itself
    ".*is smaller than the logging interval",
)


class OneLineParser(OneLineErrors, LightningArgumentParser):
    """LightningCLI's parser that reports errors in one line."""


class SaveConfig(SaveConfigCallback):
    """Saves the ``config.yaml`` of a new fit; a resumed fit already has it."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save when a fit starts."""
        if stage == "fit" and trainer.ckpt_path is None:
            super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file atomically; Lightning calls this only in the first process."""
        write_text(
            Path(trainer.default_root_dir) / self.config_filename, self.parser.dump(self.config, skip_none=False)
        )


class StarkCLI(LightningCLI):
    """LightningCLI over `ClassificationModule` and `GLUEDataModule`.

    ``configs/trainer.yaml`` is read first. Label names, metrics and the seed are linked from the data and
    ``seed_everything`` to the settings that use them, and the tokenizer's folder from the model to the data, so that
    nothing has to be given twice.

    Args:
        args: The command line, starting with the subcommand.
        callbacks: Callbacks in addition to those of the YAML, such as a pipeline's progress display.
    """

    def __init__(self, args: list[str], callbacks: Sequence[Callback] = ()) -> None:
        """Parse the command line and run the subcommand."""
        self._asked = args[0]
        # Only a fit continues with the checkpoints of its folder, so only there a changed folder matters.
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
        """Return only the given subcommand: building four parsers takes four times as long."""
        return {self._asked: LightningCLI.subcommands()[self._asked]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks that every fit has, and link settings that would otherwise have to be given twice."""
        parser.add_argument("--plugins", type=PluginPaths, default=[], help=PLUGINS_HELP)
        parser.add_lightning_class_args(ModelCheckpoint, _CHECKPOINTS[0])
        parser.add_lightning_class_args(EarlyStopping, "early_stopping")
        # After the callback that chooses the best checkpoint, so that the last checkpoint contains that choice.
        # Lightning's save_last would only write when the score improves.
        parser.add_lightning_class_args(ModelCheckpoint, _CHECKPOINTS[1])
        # A single ModelCheckpoint can write after validations or every n steps, but not both.
        parser.add_lightning_class_args(ModelCheckpoint, _CHECKPOINTS[2])
        parser.link_arguments("seed_everything", "data.seed", compute_fn=_seed)
        parser.link_arguments("model", "data.model_name_or_path", compute_fn=_tokenizer_source)
        for name in ("label_names", "metrics"):
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
        for name in ("kind", "score_metrics"):
            read = partial(_known, name=name)
            parser.link_arguments("data", f"model.init_args.{name}", compute_fn=read, apply_on="instantiate")

    def before_instantiate_classes(self) -> None:
        """Refuse unsupported strategies before Lightning builds them and fails otherwise; store the plugins' paths."""
        self.config[self._asked]["plugins"] = [str(plugin.path) for plugin in self._plugins]
        strategy = self._get(self.config, "trainer")["strategy"]
        check_strategy(strategy["class_path"] if isinstance(strategy, Namespace) else strategy)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:  # noqa: ANN401 - the parent's signature
        """Set the defaults: a fit logs to CSV in the run's folder, nothing else logs, and checkpoints are verified."""
        trainer = self._get(self.config_init, "trainer")
        plugins = trainer["plugins"] or []
        plugins = list(plugins) if isinstance(plugins, (list, tuple)) else [plugins]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            kwargs["plugins"] = [*plugins, SafeCheckpointIO()]
        folder = trainer["default_root_dir"]
        if self._asked == "fit" and folder is not None:
            for name in _CHECKPOINTS:
                checkpoint: ModelCheckpoint = self._get(self.config_init, name)
                # Lightning would use the folder of the first logger.
                checkpoint.dirpath = checkpoint.dirpath or str(Path(folder).resolve() / CHECKPOINTS)
        if trainer["logger"] in (None, True):
            kwargs["logger"] = CSVLogger(folder, name="", version="") if self._asked == "fit" else False
        return super().instantiate_trainer(**kwargs)

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            super()._run_subcommand(subcommand)
        except Paused:
            rank_zero_info(f"Paused; continue with --ckpt_path {self.trainer.default_root_dir}/{CHECKPOINTS}/last.ckpt")
        except Exception:
            if not self.trainer.is_global_zero:
                # Process 0 most likely reports the same error and ends this process; if not, this process reports it.
                time.sleep(3)
            elif (launcher := self.trainer.strategy.launcher) is not None:
                killed_by = _killed_by(launcher)
                # The others wait for this process, and would report errors or wait forever after it has ended.
                launcher.kill(signal.SIGKILL)
                if killed_by:  # the error of this process is only a consequence
                    name = signal.Signals(killed_by).name
                    print(
                        f"stark: one of the fit's processes was killed ({name}): continue with --ckpt_path",
                        file=sys.stderr,
                    )
                    sys.exit(128 + killed_by)
            raise

    def _parse_ckpt_path(self) -> None:
        # In Lightning a checkpoint's hyperparameters override YAML and command line. A fit refuses differences instead
        # (ClassificationModule.on_load_checkpoint).
        if self._asked == "fit":
            return
        if path := self.config[self._asked].get("ckpt_path"):
            read_checkpoint(Path(path), mapped=True)
        super()._parse_ckpt_path()

    def before_fit(self) -> None:
        """Lock the folder before a logger writes to it, and let callbacks know early whether the fit resumes.

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
        # A stage's fit may have to wait until an orphaned fit notices that its parent died, and exits.
        self._held.enter_context(folder_lock(folder, patience=30.0 if PARENT_VARIABLE in os.environ else 0.0))
        if path is None and (folder / FIT_CONFIG).exists():
            raise StarkFileExistsError(
                f"{folder} holds another run: choose another --trainer.default_root_dir, remove the folder, or "
                "resume it with --ckpt_path"
            )
        metrics = folder / METRICS
        if metrics.is_file():  # the logger would delete this file
            earlier = len(list(folder.glob(earlier_metrics("*"))))
            metrics.rename(metrics.with_name(earlier_metrics(earlier)))


def _killed_by(launcher: Any) -> int:  # noqa: ANN401 - several classes, of which some start processes
    """The signal that killed another process, so that this one lost the connection to it; 0 if none was killed."""
    deadline = time.monotonic() + 1  # the connection may break before the process has ended
    for process in getattr(launcher, "procs", []):
        with suppress(subprocess.TimeoutExpired):
            if (status := process.wait(max(0.0, deadline - time.monotonic()))) < 0:
                return int(-status)
    return 0


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "litlogger" not in record.getMessage()


def _whole_numbers_first() -> None:
    """Make ``--trainer.limit_train_batches 1`` mean one batch.

    The parser tries the types of a union in their order, and 1.0 means all batches, so int must come first. Python
    treats ``Union[float, int]`` and ``Union[int, float]`` as equal, and Lightning's Trainer may get a cached one that
    another module wrote in the other order.
    """
    hints = Trainer.__init__.__annotations__
    for name, hint in hints.items():
        kinds = get_args(hint)
        if int in kinds and float in kinds[: kinds.index(int)]:
            hints[name] = reduce(or_, sorted(kinds, key=lambda kind: kind is not int))


def _seed(seed: bool | int) -> int:
    return _DEFAULT_SEED if isinstance(seed, bool) else seed


def _known(data: LightningDataModule, name: str) -> Any:  # noqa: ANN401 - of any attribute
    """An attribute of a data module; None for a user's own data module that does not have it."""
    return getattr(data, name, None)


def _tokenizer_source(model: Namespace | None) -> str:
    arguments = (model or Namespace()).get("init_args") or Namespace()
    source: str = arguments.get("model_name_or_path") or arguments.get("student") or ""
    return source
