"""Groups of rows, compared with the connected components of scipy."""

import hashlib
import json
import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from datamodules.sources.groups import common_strata, groups_of, same_text

ROWS = st.lists(st.tuples(st.text("aA b", max_size=3), st.sampled_from([None, "x", "y", "z"])), max_size=30)


@settings(deadline=None)
@given(ROWS)
def test_rows_belong_together_if_texts_or_values_connect_them(rows):
    alike = np.array(
        [
            [same_text(text) == same_text(other) or (value is not None and value == its) for other, its in rows]
            for text, value in rows
        ]
    ).reshape(len(rows), len(rows))
    _, expected = connected_components(alike, directed=False)
    found = groups_of([[text] for text, _ in rows], [value for _, value in rows])
    assert [[one == two for two in found] for one in found] == [[one == two for two in expected] for one in expected]
    assert set(found) == set(range(len(set(found))))


def test_values_and_not_their_rows_order_the_groups():
    values = [f"customer {number % 9}" for number in range(90)]
    texts = [[f"text {number}", "other"] for number in range(90)]
    random.Random(0).shuffle(texts)
    found = groups_of(texts, values)
    order = sorted(set(values), key=lambda value: hashlib.sha256(json.dumps(value).encode()).hexdigest())
    assert found == [order.index(value) for value in values]
    alone = groups_of(texts, [None] * 90)
    assert alone == groups_of(texts)


def test_a_long_chain_is_one_group():
    texts = [[f"text {number // 2}"] for number in range(3_000)]
    values = [f"value {(number + 1) // 2}" for number in range(3_000)]
    assert set(groups_of(texts, values)) == {0}


def test_the_most_frequent_stratum_of_a_group():
    assert common_strata([5, 5, 5, 2, 2, 9], [3, 1, 3, 1, 0, None]) == [3, 3, 3, 0, 0, None]
