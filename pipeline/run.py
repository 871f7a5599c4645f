"""`stark run`: the whole method, one stage after the other, from an encoder to the best small student."""

from __future__ import annotations

import gc
import hashlib
import logging
import sys
import warnings
from dataclasses import replace

from callbacks.epoch_lines import duration_text
from datamodules import GLUEDataModule
from pipeline.alternatives.table import why_left_out
from pipeline.deploy.model_data import keep_description
from pipeline.execution.display import Display, plan_table
from pipeline.execution.execute import check_places, execute_all, is_complete
from pipeline.execution.machine import machine_of
from pipeline.execution.manifest import Manifest
from pipeline.execution.plan import Decision, plan, stages_from
from pipeline.execution.stage import Stage
from pipeline.method.method import Method
from pipeline.method.time_budget import steps_in_time, with_steps
from pipeline.parsing.plain_text import printable
from pipeline.parsing.plugins import keep_plugins
from pipeline.parsing.progress import step
from pipeline.results.summary import Summary
from pipeline.results.tables import comparison_lines, summary_table, verdict_line
from pipeline.run_folder import RunFolder
from pipeline.settings import SIMPLE, RunOptions, RunSettings
from pipeline.stages.loss import loss_of
from pipeline.stages.ranking import check_rankings
from stark.encoders.layer_dropping import drop_layers
from stark.errors import StarkError, StarkFileExistsError
from stark.model_folders.input_checks import check_inputs, check_tokenizer_limit
from stark.model_folders.model_folder import load_classifier
from stark.refitting import check_refit
from stark.storage import folder_lock, write_text
from stark.vocabulary.factorizing import check_rank

__all__ = ["run"]


def run(settings: RunSettings, config: str, options: RunOptions) -> None:
    """Finetune, prune, distil a trial student, score the teacher, distil from each sparse teacher, choose the best.

    The trial student is the student of the dense teacher (teacher sparsity 0). All candidates start from the same
    initial student and the same seed, so that they differ only in their teacher. The best one by ``score`` on the
    held-out selection split becomes ``student/``; GLUE's dev split is read once, at the end.

    The same command continues an interrupted run. A stage is skipped if its settings and the content of its inputs are
    unchanged and its outputs are intact. A changed setting therefore runs only those stages again that depend on it.

    Args:
        settings: The run's settings.
        config: The same settings as YAML, for the run's folder.
        options: Options of this call, such as only showing what would be done, or running a part again.

    Raises:
        StarkFileExistsError: If the run's folder holds something else, another process uses it, or a file of the user
            lies in the folder of a stage that would start again.
        StarkError: If the manifest is damaged, or a setting cannot work.
    """
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Evaluation sets are small and already tokenised, so that workers would cost more time than they save.
    # A job of SLURM is one process, which starts other ranks itself.
    for message in (".*does not have many workers.*", ".*LeafSpec.* is deprecated", "The `srun` command is available"):
        warnings.filterwarnings("ignore", message=message)
    display, folder = Display(options.workers), RunFolder(settings.folder)
    with step("checking the data and the model"):
        data = _check(settings)
    if options.seconds is not None:
        with step("measuring the time of a step"):
            steps, told = steps_in_time(settings, data, _open(settings), options.seconds)
        print(printable(f"{duration_text(options.seconds)}: {told}"), file=sys.stderr, flush=True)
        settings = replace(settings, distillation=replace(settings.distillation, steps=steps))
        config = with_steps(config, steps)
    if SIMPLE in settings.baselines and (reason := why_left_out()):
        display.console.print(reason, highlight=False)
    if options.dry_run:
        _, todo, decisions = _plan(settings, data, _open(settings), options.start)
        display.console.print(plan_table(decisions))
        if not is_complete(todo, folder.root):
            display.console.print("then the distillations that the search chooses, evaluate and student")
        return
    with folder_lock(folder.root):
        manifest = _open(settings)
        method, _, _ = _plan(settings, data, manifest, options.start)
        manifest.config = hashlib.sha256(config.encode()).hexdigest()
        manifest.machine = machine_of(settings)
        manifest.write()
        write_text(folder.config, config)
        keep_plugins(settings.plugins, folder.plugins)
        keep_description(data.task, folder)
        # Trainers, modules and optimizers refer to each other and would occupy memory until Python's next full
        # collection. Garbage is therefore collected after each stage; this excludes what exists now and makes it fast.
        gc.freeze()
        execute_all(method.stages, manifest, display, options.workers, here=not settings.is_shared)
    summary = Summary.read(folder.root)
    display.console.print(summary_table(summary))
    for line in comparison_lines(summary):
        display.console.print(line, highlight=False)
    if verdict := verdict_line(summary):
        display.console.print(verdict, highlight=False)
    for line in summary.alarms or ():
        display.console.print(f"warning: {line}", highlight=False)
    display.console.print(f"The best student is in {folder.student.path}, all numbers in {folder.summary.path}")


def _plan(
    settings: RunSettings, data: GLUEDataModule, manifest: Manifest, start: str | None
) -> tuple[Method, list[Stage], dict[str, Decision]]:
    """Plan the stages, and report now what would otherwise stop a stage only after all earlier stages.

    Stages that are to run again are dropped from the manifest in memory; its file is not written.

    Raises:
        StarkFileExistsError: If a file of the user lies in the folder of a stage that would start again.
    """
    method = Method(settings, data, manifest)
    todo = method.stages()
    if start is not None:
        manifest.forget(stages_from(start, todo))
    decisions = plan(todo, manifest)
    for stage in todo:
        if decisions[stage.name].action == "run":
            check_places(stage, manifest)
    return method, todo, decisions


def _open(settings: RunSettings) -> Manifest:
    """Read the manifest, and refuse the run of another task."""
    manifest, here = Manifest.read(settings.folder), settings.task_name
    first = manifest.stages.get(RunFolder(settings.folder).finetune.name)
    if first is not None and (there := first.settings.get("data.task")) != here:
        raise StarkFileExistsError(f"{settings.folder} holds a run of task {there}, not {here}: choose another --name")
    return manifest


def _check(settings: RunSettings) -> GLUEDataModule:
    """Check data, model and student before anything is written, and return the data module.

    Raises:
        StarkError: If the run would fail later.
    """
    encoder = settings.model_name_or_path
    data = GLUEDataModule(model_name_or_path=encoder, seed=settings.seed, **settings.data)
    # A new head uses up random numbers, which does not matter: each fit seeds the generators itself.
    model = load_classifier(encoder, label_names=data.label_names, kind=data.kind)
    check_inputs(model.config, data.tokenizer, data.max_length, is_pair=data.is_pair, where=encoder)
    check_tokenizer_limit(model.config, data.tokenizer, data.max_length, encoder)
    for stage in ("fit", "test"):
        data.setup(stage)
    answers = settings.distillation.teacher_answers
    # A mistake in these files would stop a distillation.
    if data.adds_rows or answers is not None:
        every = GLUEDataModule(model_name_or_path=encoder, seed=settings.seed, use_unlabelled=True, **settings.data)
        every.setup("fit")
        every.train_dataloader()
        if answers is not None:
            every.train_answers(answers)
    batches = -(-len(data.train_dataloader()) // settings.trainer.devices)
    if (settings.trainer.val_check_interval or 0) > batches:
        raise StarkError(
            f"trainer.val_check_interval is {settings.trainer.val_check_interval}, but an epoch has {batches} batches: "
            "choose fewer, or null to evaluate after each epoch"
        )
    loss = loss_of(settings.distillation)
    check_rankings(settings, loss)
    loss.prepare_(model, model)  # refuses kinds of label and layers before the finetuning; heads are cut only later
    if settings.student.refit or settings.teacher.refit:
        check_refit(model)
    if settings.student.embedding_rank is not None:
        check_rank(model, settings.student.embedding_rank)
    if settings.student.layers is not None:
        drop_layers(model, settings.student.layers, settings.student.which)
    return data
