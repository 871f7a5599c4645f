from collections import Counter

import pytest

from datamodules.splits import score_bins, stratified_rows


@pytest.mark.parametrize(("size", "expected"), [(10, {0: 7, 1: 2, 2: 1}), (1, {0: 1}), (99, {0: 69, 1: 20, 2: 10})])
def test_every_class_keeps_its_share(size, expected):
    classes = [0] * 70 + [1] * 20 + [2] * 10
    rows = stratified_rows(classes, size, seed=3, purpose="x")
    assert rows == sorted(set(rows))
    assert Counter(classes[row] for row in rows) == expected


def test_choice_depends_on_seed_and_purpose_only():
    classes = [0, 1] * 50
    chosen = stratified_rows(classes, 20, seed=0, purpose="x")
    assert chosen == stratified_rows(classes, 20, seed=0, purpose="x")
    assert chosen != stratified_rows(classes, 20, seed=1, purpose="x")
    assert chosen != stratified_rows(classes, 20, seed=0, purpose="y")


def test_too_many_rows_are_refused():
    with pytest.raises(ValueError, match="cannot choose 3 of 2 rows"):
        stratified_rows([0, 1], 3, seed=0, purpose="x")


def test_score_bins_are_equally_full_and_ordered():
    scores = [(i * 37 % 101) / 20 for i in range(100)]
    bins = score_bins(scores)
    assert Counter(bins) == dict.fromkeys(range(10), 10)
    assert [bins[row] for row in sorted(range(100), key=scores.__getitem__)] == sorted(bins)
