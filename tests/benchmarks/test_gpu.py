"""The GPU benchmark, tried out on the CPU: it runs through; its measurements are not tested."""

import sys

from benchmarks import gpu


def test_it_runs_through(monkeypatch, capsys):
    # Describing the machine and measuring its rate would take seconds.
    monkeypatch.setattr(gpu, "header", lambda _: "")
    monkeypatch.setattr(gpu, "matrix_rate", lambda *_: 1e12)
    monkeypatch.setattr(gpu, "_ROUNDS", 1)
    options = "--device cpu --size mini --fits mini --steps 1 --rows 2 --batches 1 --no-compile"
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", *options.split()])
    gpu.main()
    lines = capsys.readouterr().out.splitlines()
    said = {line.split()[0] for line in lines if line}
    assert {"finetuning", "distillation", "distillation_cached", "plain", "ours", "dense"} <= said
    told = [line for line in lines if "gpu/" in line]
    assert len(told) == 8, told
