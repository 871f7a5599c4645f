import time
from functools import partial

import torch

from stark.forward.latency import Latency, fastest_calls, measure_latency, spread_text, threads_text


def test_latency_is_measured_in_turns():
    calls = []

    def answer(name, batch):
        calls.append((name, tuple(batch["input_ids"].shape)))
        return torch.zeros(1)

    models = {name: partial(answer, name) for name in "ab"}
    found = measure_latency(models, 2, 3)
    assert list(found) == ["a", "b"]
    assert all(latency.low <= latency.median <= latency.high for latency in found.values())
    assert {shape for _, shape in calls} == {(2, 3)}
    order = [name for number, (name, _) in enumerate(calls) if number == 0 or calls[number - 1][0] != name]
    assert order == ["a", "b", "a", "b", "a", "b"]  # a b, b a, a b, b a, a b


def test_an_answer_counts_when_it_has_come_to_the_cpu():
    class OnItsWay(torch.Tensor):  # like a GPU's tensor: the call returns before the value is computed
        def cpu(self):
            time.sleep(0.02)
            return self

    late = torch.zeros(1).as_subclass(OnItsWay)
    assert measure_latency({"late": lambda batch: late}, 1, 2)["late"].low >= 20


def test_waiting_does_not_count_on_a_cpu():
    def waits(batch):
        time.sleep(0.002)
        return torch.zeros(1)

    def works(batch):
        end = time.thread_time() + 0.002
        while time.thread_time() < end:
            pass
        return torch.zeros(1)

    found = fastest_calls({"waits": waits, "works": works}, torch.device("cpu"), 1, 2)
    assert found["waits"] < 1 < 2 <= found["works"]


def test_how_it_is_written():
    assert spread_text(Latency(2.046, 1.0, 14.0)) == "2.05 [1.00, 14.00]"
    assert spread_text(Latency(20.46, 1.0, 140.0)) == "20.5 [1.0, 140.0]"
    number = torch.get_num_threads()
    assert threads_text() == ("one thread" if number == 1 else f"{number} threads")
