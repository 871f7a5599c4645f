from pipeline.latency import measure_latency


def test_latency_is_measured_in_turns():
    calls = []
    models = {name: lambda batch, name=name: calls.append((name, tuple(batch["input_ids"].shape))) for name in "ab"}
    found = measure_latency(models, 2, 3)
    assert list(found) == ["a", "b"]
    assert all(latency.low <= latency.median <= latency.high for latency in found.values())
    assert {shape for _, shape in calls} == {(2, 3)}
    order = [name for number, (name, _) in enumerate(calls) if number == 0 or calls[number - 1][0] != name]
    assert order == ["a", "b", "a", "b", "a", "b"]  # a b, b a, a b, b a, a b
