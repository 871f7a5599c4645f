import torch

from pipeline.commands.run import read_settings
from pipeline.execution.machine import machine_of
from pipeline.executors.executor import usable_cores
from tests.pipeline.runs import options


def test_threads_are_those_of_this_process_and_of_its_fits(tiny_task, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    here = str(torch.get_num_threads())
    for workers, of_a_fit in (("1", here), ("2", str(max(1, usable_cores() // 2)))):
        settings = read_settings(options(tiny_task, tmp_path, "--workers", workers)[1:])[0]
        found = machine_of(settings)
        assert (found["threads"], found["threads of a fit"]) == (here, of_a_fit)
        assert found["torch"] == torch.__version__
        assert found["CPU"]
