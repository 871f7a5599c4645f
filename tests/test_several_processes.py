"""Two processes give the masks of one process exactly, and its weights within rounding; resuming is exact."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from datamodules import GLUEDataModule
from tests.processes import (
    DATA,
    METRICS,
    STOPS,
    Lopsided,
    environment,
    evaluate,
    free_port,
    run_two,
    scores_of_families,
    whole_method,
    without_dropout,
)
from tests.tasks import differences, fit, make_trainer
from tests.tiny import FAMILIES

# For weights after 28 steps with learning rates up to 1e-3. Sums over processes are rounded differently from sums over
# accumulated batches, and Adam amplifies rounding where a gradient is near zero.
TOLERANCE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def two(tiny_task, folder, warm):
    """The results of each of the two processes."""
    without_dropout(tiny_task, tiny_task.teacher.parent / "without_dropout")
    return run_two(tiny_task.teacher.parent, folder, warm / "python")


@pytest.fixture(scope="module")
def one(two, tiny_task, folder):
    """The method's results in this process, with the same total batch size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield whole_method(tiny_task, folder / "one", accumulate_grad_batches=2)
    torch.set_num_threads(threads)


def test_masks_are_those_of_one_process(two, one):
    assert one["units"][0] != one["units"][1]  # student and teacher
    assert [found["method"]["units"] for found in two] == [one["units"]] * 2


def test_weights_are_those_of_one_process_within_rounding(two, one):
    first, second = (found["method"]["weights"] for found in two)
    assert differences(first, second) == []
    assert first.keys() == one["weights"].keys()
    for name, weight in one["weights"].items():
        torch.testing.assert_close(first[name], weight, **TOLERANCE, msg=lambda text, name=name: f"{name}: {text}")


def test_steps_and_scores_are_those_of_one_process(two, one):
    for found in two:
        assert found["method"]["steps"] == one["steps"] == 4 * 7  # 13 batches of 99 rows
        assert found["method"]["scores"] == pytest.approx(one["scores"])
    assert len(one["scores"]) == 4


def test_score_files_are_those_of_one_process(two, one, folder):
    """The student's scores have the same bits; the teacher's may differ, as the trial student's weights are rounded."""
    student, teacher = (
        [Path(folder, name, f"{which}_scores.safetensors") for name in ("one", "of_rank0/method")]
        for which in ("student", "teacher")
    )
    assert student[0].read_bytes() == student[1].read_bytes()
    ours, theirs = map(load_file, teacher)
    assert ours.keys() == theirs.keys()
    for name, scores in ours.items():
        torch.testing.assert_close(scores, theirs[name], rtol=1e-3, atol=1e-6, msg=name)


def test_scores_have_the_bits_of_one_process(two):
    """Three batches of different sizes for two processes."""
    expected = scores_of_families([5, 2, 4])
    for found in two:
        for family in FAMILIES:
            for kind in ("heads", "neurons"):
                for loss in ("first", "squares"):
                    ours, theirs = (getattr(scores[family], kind)[loss] for scores in (found["scores"], expected))
                    assert all(map(torch.equal, ours, theirs)), (family, kind, loss)
        assert sum(score.sum().item() for score in found["no_scores"].heads["squares"]) == 0


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("kind", [GLUEDataModule, Lopsided], ids=["shared", "one has no rows"])
def test_metrics_and_predictions_are_those_of_one_process(two, tiny_task, folder, tmp_path, kind, name):
    expected = evaluate(tiny_task, tmp_path, GLUEDataModule, name)
    assert {f"test/{metric}" for metric in METRICS[name]} < expected.keys()
    assert all(abs(value) > 0.01 for value in expected.values())
    for found in two:
        assert found[kind.__name__, name] == pytest.approx(expected, abs=1e-6)
    submission = next(tmp_path.glob("*.tsv"))
    assert (folder / "of_rank0" / kind.__name__ / submission.name).read_text() == submission.read_text()


def test_the_teacher_costs_no_communication(two):
    for found in two:
        assert found["method"]["wrapped"]
        parameters, of_student, buffers, buffers_of_student = found["method"]["shared"]
        assert parameters == of_student
        assert buffers == buffers_of_student
        assert len(parameters) > 20


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_without_heads_or_neurons_are_trained(two, family):
    for found in two:
        gradients, expected = found["ddp"][family]
        assert gradients.keys() == expected.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, expected[name], msg=name)


def test_processes_do_not_share_dropout_masks(two, tiny_task, folder):
    states = [found["resumed"]["between"]["whole"]["random"] for found in two]
    assert not torch.equal(states[0][0], states[1][0])
    assert states[0][1] != states[1][1]


@pytest.mark.parametrize("name", STOPS)
def test_a_resumed_fit_ends_like_the_unbroken_one(two, name):
    for found in two:
        whole, resumed = found["resumed"][name]["whole"], found["resumed"][name]["resumed"]
        assert resumed["steps"] == whole["steps"]
        assert torch.equal(whole["random_at_end"][0], resumed["random_at_end"][0])
        assert whole["random_at_end"][1] == resumed["random_at_end"][1]
        # With three or more processes, unsorted buckets would round the first step differently.
        assert [found["resumed"]["between"][which]["sorted"][1] for which in ("whole", "resumed")] == [0, 1]
        left = len(resumed["losses"])
        assert 0 < left < len(whole["losses"])
        if name == "between":
            assert differences(whole["weights"], resumed["weights"]) == []
            assert whole["losses"][-left:] == resumed["losses"]
        else:
            for key, weight in whole["weights"].items():
                torch.testing.assert_close(resumed["weights"][key], weight, **TOLERANCE)
            assert whole["losses"][-left:] == pytest.approx(resumed["losses"], abs=1e-4)


def test_all_processes_end_with_the_same_averaged_weights(two):
    for name in STOPS:
        first, second = (found["resumed"][name]["resumed"]["weights"] for found in two)
        assert differences(first, second) == []


def test_another_number_of_processes_is_refused_by_name(two, tiny_task, tmp_path):
    path = Path(two[0]["resumed"]["between"]["path"])
    module = tiny_task.distillation()
    with pytest.raises(ValueError, match=r"^trainer\.world_size is 1 but the checkpoint was made with 2"):
        fit(make_trainer(tmp_path), module, tiny_task.data(**DATA), path)


def test_a_signal_to_one_process_stops_all_at_the_same_batch(two, folder):
    for found in two:
        assert found["signal"]["how"] == "Interrupted: stopped by SIGTERM"
        assert found["signal"]["steps"] == 3
    last = torch.load(folder / "of_rank0/signal/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 3


def test_a_loss_that_is_no_number_in_one_process_ends_all_and_is_traced_to_its_rows(two):
    rows = two[1]["nan"]["rows"]
    assert len(rows) in (3, 8)
    for found in two:
        assert "NonFiniteLossError: the loss became NaN or infinite at step 3" in found["nan"]["how"]
        assert f"of step 3: {', '.join(map(str, rows))}." in found["nan"]["how"]
        assert found["nan"]["steps"] == 4


def test_only_process_0_writes(two):
    assert len(two[0]["written"]) > 10
    assert two[1]["written"] == []


@pytest.fixture
def command(tiny_task, tmp_path, warm):
    """Function that runs a quick fit of two processes in ``tmp_path/fit`` and returns its output."""

    def run(*options: str, launcher: tuple[str, ...] = (), ends_with: int = 0) -> str:
        arguments = [
            *("fit", "--config", "configs/finetune.yaml", "--model.model_name_or_path", str(tiny_task.encoder)),
            *("--data.task", "sst2", "--data.data_dir", str(tiny_task.data_dir)),
            *("--data.cache_dir", str(tiny_task.cache), "--data.batch_size", "16", "--trainer.log_every_n_steps", "1"),
            *("--trainer.default_root_dir", str(tmp_path / "fit"), "--trainer.max_epochs", "1"),
            *("--trainer.devices", "2", "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
        ]
        whole = [str(warm / "python"), "-m", *launcher, *("-m",) * bool(launcher), "cli", *arguments, *options]
        # A separate session, so that processes that wait for each other can be ended together.
        with (tmp_path / "log").open("w+") as log:
            running = subprocess.Popen(
                whole, env=environment(), cwd=tmp_path, stdout=log, stderr=log, start_new_session=True
            )
            try:
                code = running.wait(timeout=100)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(running.pid, signal.SIGKILL)
                running.wait()
        said = (tmp_path / "log").read_text()
        assert code == ends_with, said[-3000:]
        return said

    return run


def test_the_command_trains_in_several_processes_however_they_are_started(command, tmp_path):
    command()
    fit = tmp_path / "fit"
    files = ("config.yaml", "metrics.csv", "model/model.safetensors", "checkpoints/last.ckpt")
    assert all((fit / name).is_file() for name in files)
    first = (fit / "model/model.safetensors").read_bytes()
    assert yaml.safe_load((fit / "config.yaml").read_text())["trainer"]["devices"] == "2"
    rows = (fit / "metrics.csv").read_text().splitlines()
    losses = [row for row in rows[1:] if row.split(",")[rows[0].split(",").index("train/loss")]]
    assert len(losses) == 4  # 7 batches for two processes, of which the first is used twice
    # Resumed by torchrun: both processes open the folder at the same time, and one moves the metrics away.
    metrics = (fit / "metrics.csv").read_bytes()
    torchrun = ("torch.distributed.run", "--nproc_per_node", "2", "--master_port", free_port())
    command("--ckpt_path", str(fit / "checkpoints/last.ckpt"), launcher=torchrun)
    assert [path.name for path in sorted(fit.glob("metrics*"))] == ["metrics.0.csv"]
    assert (fit / "metrics.0.csv").read_bytes() == metrics
    assert (fit / "model/model.safetensors").read_bytes() == first


def test_a_mistake_that_only_the_running_processes_find_is_told_once(command, tmp_path):
    """The process that reads the data finds the mistake while the other one waits for it."""
    (tmp_path / "bad/SST-2").mkdir(parents=True)
    (tmp_path / "bad/SST-2/train.tsv").write_text("sentence\tlabel\na film\tgood\n")
    said = command("--data.data_dir", "bad", ends_with=2)
    assert said.count("stark: error: ") == 1
    assert "label 'good'" in said
    assert "Traceback" not in said
