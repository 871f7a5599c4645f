"""Dividing the rows of a file."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.sources.groups import groups_of
from datamodules.sources.splitting import split_rows
from stark.errors import StarkError

ROWS = st.lists(st.tuples(st.text("aA b", max_size=3), st.sampled_from([None, 0, 1, 2])), min_size=1, max_size=60)
SIZES = st.sampled_from([{"dev": 0.1}, {"dev": 0.3, "test": 0.3}, {"dev": 5, "test": 1}, {"test": 0.5}])


def split(texts, strata, sizes):
    return split_rows(groups_of(texts), strata, sizes)


def same(text):
    return " ".join(text.casefold().split())


@settings(deadline=None)
@given(ROWS, SIZES)
def test_no_text_is_in_two_parts_and_no_row_is_lost(rows, sizes):
    texts, strata = [[text] for text, _ in rows], [stratum for _, stratum in rows]
    try:
        parts = split(texts, strata, sizes)
    except StarkError:  # the other tests have its reasons
        return
    assert list(parts) == ["train", *sizes]
    assert sorted(row for part in parts.values() for row in part) == list(range(len(rows)))
    place = {row: part for part, chosen in parts.items() for row in chosen}
    homes = {}
    for row, (text,) in enumerate(texts):
        assert homes.setdefault(same(text), place[row]) == place[row]
    assert all(strata[row] is not None for part in sizes for row in parts[part])
    assert all(chosen and chosen == sorted(chosen) for chosen in parts.values())


def test_each_stratum_keeps_its_share():
    sizes = [400, 300, 150, 90, 41, 12, 7]
    strata = [stratum for stratum, rows in enumerate(sizes) for _ in range(rows)]
    random.Random(0).shuffle(strata)
    parts = split([[f"text {row}"] for row in range(1000)], strata, {"dev": 0.1, "test": 150})
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 750, "dev": 100, "test": 150}
    for part, fraction in (("dev", 0.1), ("test", 0.15)):
        found = Counter(strata[row] for row in parts[part])
        # Rows of a stratum are off by less than one in each of the two sums whose difference they are.
        assert all(abs(found[stratum] - fraction * rows) <= 1.1 for stratum, rows in enumerate(sizes))


def test_texts_in_several_rows_do_not_spoil_the_sizes():
    """Each text is in three rows, and 150 strata have twelve rows each, so that none can give its share exactly."""
    strata = [stratum for stratum in range(150) for _ in range(12)]
    texts = [[f"text {row // 3}"] for row in range(1800)]
    parts = split(texts, strata, {"dev": 0.1, "test": 0.1})
    assert all(abs(len(parts[part]) - 180) <= 1 for part in ("dev", "test"))
    most = max(Counter(strata[row] for row in parts["dev"]).values())
    assert most == 3


def test_rows_decide_and_not_their_order():
    texts = [[f"text {row}", f"other {row % 7}"] for row in range(300)]
    strata = [row % 3 for row in range(300)]
    order = random.Random(1).sample(range(300), 300)
    first = split(texts, strata, {"dev": 0.2, "test": 0.1})
    second = split([texts[row] for row in order], [strata[row] for row in order], {"dev": 0.2, "test": 0.1})
    for part in first:
        assert first[part] == sorted(order[row] for row in second[part])
    # Numbers that any other machine finds as well.
    assert first["test"][:6] == [7, 27, 38, 54, 59, 77]


def test_more_rows_change_the_part_of_few_others():
    texts = [[f"text {row}"] for row in range(1100)]
    strata = [row % 4 for row in range(1100)]
    few = split(texts[:1000], strata[:1000], {"dev": 0.1, "test": 0.1})
    many = split(texts, strata, {"dev": 0.1, "test": 0.1})
    for part, other in (("dev", "test"), ("test", "dev")):
        assert not set(few[part]) & set(many[other])
        assert len(set(few[part]) - set(many[part])) <= 10


def test_an_unlabelled_row_keeps_its_text_in_train():
    texts = [["a"], ["a"], ["b"], ["c"], ["d"]]
    parts = split(texts, [0, None, 0, 0, 0], {"dev": 3})
    assert parts == {"train": [0, 1], "dev": [2, 3, 4]}


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (
            {"dev": 0.1},
            r"split\.dev is 0\.1, which of 4 rows with a label makes no row: give more rows to it, or name a",
        ),
        ({"dev": 1, "test": 0.1}, r"split\.test is 0\.1, which of 4 rows"),
        ({"dev": 4}, "split takes all 4 rows with a label, and leaves none of them to train on"),
        ({"dev": 9}, "split takes all 4 rows"),
    ],
)
def test_parts_without_rows(sizes, message):
    with pytest.raises(ValueError, match=message):
        split([["a"], ["b"], ["c"], ["d"], ["e"]], [0, 0, 1, 1, None], sizes)


def test_a_text_in_too_many_rows_is_not_divided():
    with pytest.raises(ValueError, match=r"split\.dev is 1, which of 4 rows with a label makes no row"):
        split([["a"], ["a "], ["A"], [" a"]], [0, 0, 1, 1], {"dev": 1})
