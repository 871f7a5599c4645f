"""A search that trains one student."""

import pytest

from cli import main
from tests.pipeline.method.test_repetition import search_of, student_weights
from tests.pipeline.runs import options


@pytest.mark.slow
def test_prediction_trains_one_student(scored, pruned_run, tiny_task, tmp_path, trained, capsys):
    command = options(
        tiny_task, tmp_path, "--search.mode", "predict", "--search.rule", "metric_and_sparsity",
        "--search.sparsity_weight", "100", "--teacher.lams", "[0.5]",
    )  # fmt: skip
    main([*command, "--dry-run"])
    assert "then the distillations that the search chooses" in capsys.readouterr().out
    main(command)
    search = search_of(scored)
    assert search["chosen"] == ["0.5_0.4"]  # because of its sparsity, which has a large weight
    for candidate in search["candidates"]:
        assert candidate["value"] == pytest.approx(candidate["metric"] + 100 * candidate["sparsity"])
    assert trained == [("distill/0.5_0.4", None)]
    assert student_weights(scored, "distill/0.5_0.4") == student_weights(pruned_run, "distill/0.5_0.4")
    main([*command, "--search.sparsity_weight", "-100"])
    assert search_of(scored)["chosen"] == ["0.5_0.2"]
    assert [name for name, _ in trained] == ["distill/0.5_0.4", "distill/0.5_0.2"]
