"""The GPU benchmark, tried out on the CPU: it runs through; its measurements are not tested."""

import sys
from pathlib import Path

import pytest

from benchmarks import gpu, gpu_fits


@pytest.mark.slow
def test_it_runs_through_and_ends_with_the_table(monkeypatch, capsys):
    # Describing the machine and measuring its rate would take seconds.
    monkeypatch.setattr(gpu, "header", lambda _: "")
    monkeypatch.setattr(gpu, "matrix_rate", lambda *_: 1e12)
    monkeypatch.setattr(gpu_fits, "find_spec", lambda _: None)
    options = "--device cpu --size mini --small mini --steps 2 --rows 4 --batches 1 --rounds 1"
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", *options.split()])
    gpu.main()
    printed = capsys.readouterr().out.splitlines()
    rows = [line.split(" | ") for line in printed[printed.index("|---|---|---|") + 1 :]]
    kinds = [cells[0].partition(", ")[0].removeprefix("| ") for cells in rows]
    assert kinds == ["latency"] * 8 + ["scoring"] * 2 + ["mini"] * 9
    # All but the dense model and the plain way are compared with something.
    alone = [cells[0].rpartition(": ")[2] for cells in rows if not cells[2].strip(" |")]
    plain = [f"{kind}, the plain way" for kind in ("finetuning", "distillation", "finetuning")]
    assert alone == ["dense", "dense", "the plain way", *plain]
    # Each row was also printed as a line when it was measured.
    assert all(any(line.startswith(cells[0].removeprefix("| ") + ": ") for line in printed) for cells in rows)
    assert sum("of the rate of matrix products" in line for line in printed) == 3
    said = "the comparison with Hugging Face's Trainer needs the extra [bench] (accelerate): pip install '.[bench]'"
    assert sum(said in line for line in printed) == 2


@pytest.mark.filterwarnings("ignore")  # of Hugging Face's Trainer
def test_hugging_faces_trainer_is_timed(tmp_path: Path):
    pytest.importorskip("accelerate")
    fits = gpu_fits._Fits(tmp_path, "cpu", "mini", rows=2, steps=2, whole=False)
    assert fits.hugging_face() > 0
