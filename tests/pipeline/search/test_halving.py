"""Successive halving."""

import pytest

from pipeline.search.halving import best_of, halving_epochs, survivors


@pytest.mark.parametrize("eta", [2, 3, 4])
@pytest.mark.parametrize("number", range(1, 26))
def test_halving_leaves_one_where_epochs_are_enough(number, eta):
    rounds = halving_epochs(number, 1000, eta)
    alive = number
    for _ in rounds:
        alive = survivors(alive, eta)
    assert alive == 1
    assert rounds == sorted(set(rounds))
    assert all(0 < epochs < 1000 for epochs in rounds)
    for epochs, later in zip(rounds, [*rounds[1:], 1000][: len(rounds)], strict=True):
        assert later / epochs == pytest.approx(eta, rel=0.3)


def test_halving_with_few_epochs():
    assert halving_epochs(5, 10, 2) == [1, 2, 5]
    assert halving_epochs(5, 3, 2) == [1, 2]
    assert halving_epochs(5, 1, 2) == []  # all candidates are trained to the end
    assert halving_epochs(1, 10, 2) == halving_epochs(0, 10, 2) == []


def test_the_first_of_equals_is_best():
    values = {"a": 0.1, "b": 0.3, "c": 0.3, "d": 0.2}
    assert best_of(values) == ["b"]
    assert best_of(values, 3) == ["b", "c", "d"]
    assert best_of({"a": 1.0, "b": 1.0, "c": 1.0}, 2) == ["a", "b"]
