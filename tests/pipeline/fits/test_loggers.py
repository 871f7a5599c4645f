"""A run with all loggers: it is logged under the names of its stages, with pictures, and gives the same models."""

import sqlite3

import pytest
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import cli
from pipeline.commands.run import read_settings
from pipeline.fits.loggers import logger_configs, prepare_loggers
from pipeline.report.reading import read_run
from tests.pipeline.runs import options, read, without_seconds

STAGES = {"finetune", "prune", "trial", "sparsify", "sparsify/0.5_0.2", "distill/0.5_0.2"}


@pytest.fixture(scope="module")
def logged(tiny_task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("logged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        chosen = ["--trainer.loggers", "[tensorboard,wandb,mlflow]", "--teacher.sparsities", "[0.2]"]
        cli.main(options(tiny_task, folder, *chosen))
    return folder / "tiny"


pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # the loggers cause warnings
    pytest.mark.slow,
]


def test_models_are_those_without(logged, pruned_run):
    for stage in ("finetune", "trial", "distill/0.5_0.2"):
        first, second = (load_file(run / stage / "model/model.safetensors") for run in (logged, pruned_run))
        assert all(first[name].equal(second[name]) for name in first)


def test_nothing_runs_again_without_them(logged, tiny_task, capsys):
    before = read(logged)
    cli.main(options(tiny_task, logged.parent, "--teacher.sparsities", "[0.2]"))
    assert without_seconds(read(logged)) == without_seconds(before)
    assert "finished earlier" in capsys.readouterr().out


def test_the_csv_is_there_as_well(logged):
    assert {curve.stage for curve in read_run(logged).curves} == {"finetune", "trial", "distill/0.5_0.2"}


def test_tensorboard(logged):
    found = {file.parent.relative_to(logged / "tensorboard").as_posix() for file in logged.rglob("events.out.*")}
    assert found == STAGES
    trial = EventAccumulator(str(logged / "tensorboard/trial"), size_guidance={"scalars": 0}).Reload()
    scores = [event.value for event in trial.Scalars("val/score")]
    curve = next(curve for curve in read_run(logged).curves if curve.stage == "trial")
    assert scores == pytest.approx([score for _, score in curve.scores])
    sparsify = EventAccumulator(str(logged / "tensorboard/sparsify")).Reload()
    assert set(sparsify.Tags()["images"]) == {"expressiveness_histogram", "friendliness_histogram"}
    cut = EventAccumulator(str(logged / "tensorboard/sparsify/0.5_0.2")).Reload()
    assert cut.Tags()["images"] == ["kept_units"]


def test_weights_and_biases(logged):
    runs = {folder.name.split("-", 3)[3]: folder for folder in (logged / "wandb").glob("offline-run-*")}
    assert set(runs) == {f"tiny-{stage.replace('/', '-')}" for stage in STAGES}
    (picture,) = runs["tiny-prune"].rglob("kept_units*.png")
    assert Image.open(picture).size[0] > 500


def test_mlflow(logged):
    with sqlite3.connect(logged / "mlflow.db") as database:
        names = {name for (name,) in database.execute("select name from runs")}
        kept = database.execute(
            "select value from metrics join runs using (run_uuid) where runs.name = 'trial' and key = 'val/score'"
        ).fetchall()
        (experiment,) = database.execute("select name from experiments where name != 'Default'").fetchone()
    database.close()
    assert names == STAGES
    assert experiment == "tiny"
    curve = next(curve for curve in read_run(logged).curves if curve.stage == "trial")
    assert sorted(value for (value,) in kept) == pytest.approx(sorted(score for _, score in curve.scores))
    assert {file.name for file in (logged / "mlflow").rglob("*.png")} == {
        *("kept_units.png", "expressiveness_histogram.png", "friendliness_histogram.png")
    }


def test_seed_and_candidate_are_in_the_names(tiny_task, tmp_path):
    chosen = ["--trainer.loggers", "[wandb,tensorboard,mlflow]"]
    settings = read_settings(options(tiny_task, tmp_path, *chosen)[1:])[0]
    csv, wandb, tensorboard, mlflow = logger_configs(settings, settings.folder / "seed_2/distill/0.5_0.1")
    assert csv["init_args"]["save_dir"] == str(settings.folder / "seed_2/distill/0.5_0.1")
    assert wandb["init_args"]["name"] == "tiny/seed_2/distill/0.5_0.1"
    assert (wandb["init_args"]["id"], wandb["init_args"]["group"]) == ("tiny-seed_2-distill-0.5_0.1", "tiny")
    assert tensorboard["init_args"]["name"] == "seed_2/distill/0.5_0.1"
    assert mlflow["init_args"]["run_name"] == "seed_2/distill/0.5_0.1"


def test_a_missing_package_is_told_at_once(monkeypatch):
    monkeypatch.setattr("pipeline.parsing.extras.find_spec", lambda name: None if name == "wandb" else name)
    prepare_loggers(["tensorboard"])
    with pytest.raises(ValueError, match=r"trainer.loggers wandb needs the extra \[wandb\] \(wandb\)"):
        prepare_loggers(["tensorboard", "wandb"])
