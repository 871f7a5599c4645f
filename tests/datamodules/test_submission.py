import pytest

from datamodules.submission import write_submission
from datamodules.tasks.glue import find_task
from datamodules.tasks.task import Task


@pytest.mark.parametrize(
    ("name", "predictions", "lines"),
    [
        ("mrpc", [1, 0, 1], ["0\t0", "1\t1", "2\t1"]),
        ("mnli", [2, 0, 1], ["0\tentailment", "1\tneutral", "2\tcontradiction"]),
        ("wnli", [1, 0, 1], ["0\t0", "1\t1", "2\t1"]),
        ("stsb", [5.4, -0.1, 2.34567], ["0\t0.000", "1\t2.346", "2\t5.000"]),
    ],
)
def test_format(tmp_path, name, predictions, lines):
    task = find_task(name)
    path = write_submission(task, [2, 0, 1], predictions, tmp_path / "new" / task.submission_file)
    assert path.read_bytes() == ("\n".join(["index\tprediction", *lines]) + "\n").encode()
    assert [file.name for file in path.parent.iterdir()] == [task.submission_file]


def test_own_scores_are_written_as_they_are(tmp_path):
    task = Task(
        name="own",
        splits=("train", "dev", "test"),
        texts=("text",),
        label_names=("stars",),
        metrics=("pearson",),
        submission_file="own.tsv",
        submission_words=False,
    )
    path = write_submission(task, [0, 1, 2, 3], [100.25, -3.5, 0.000123456789, 5.4], tmp_path / task.submission_file)
    lines = ["0\t100.25", "1\t-3.5", "2\t0.000123457", "3\t5.4"]
    assert path.read_text().splitlines()[1:] == lines


@pytest.mark.parametrize(
    ("name", "idx", "predictions", "message"),
    [
        ("rte", [0, 1, 1], [0, 0, 0], r"^f.tsv: index 1 has more than one prediction$"),
        ("rte", [0, 2], [0, 0], r"^f.tsv: no prediction for index 1 \(2 predictions given\)$"),
        ("rte", [0, 1], [0], r"^f.tsv: 2 indices but 1 predictions$"),
        ("rte", [0, 1], [0, 2], r"^f.tsv: the prediction for index 1 is 2, not 0 to 1$"),
        ("stsb", [0], [float("nan")], r"^f.tsv: the prediction for index 0 is nan$"),
    ],
)
def test_bad_predictions_leave_no_file(tmp_path, name, idx, predictions, message):
    with pytest.raises(ValueError, match=message):
        write_submission(find_task(name), idx, predictions, tmp_path / "f.tsv")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_submission_is_kept(tmp_path):
    path = tmp_path / "RTE.tsv"
    for _ in range(2):  # an earlier submission is replaced
        write_submission(find_task("rte"), [0], [1], path)
    path.write_text("index\tsentence1\tsentence2\n")
    with pytest.raises(FileExistsError, match=r"RTE\.tsv exists and is no submission"):
        write_submission(find_task("rte"), [0], [1], path)
    assert path.read_text() == "index\tsentence1\tsentence2\n"
