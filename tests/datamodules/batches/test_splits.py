import random
from collections import Counter

import pytest
import torch

from datamodules.batches.grouping import seeded_generator
from datamodules.batches.splits import stratified_groups, stratified_rows


def stratified_slowly(classes, size, *, seed, purpose):
    """Draw a stratified sample with Python's lists and dictionaries."""
    generator = seeded_generator("rows", purpose, seed)
    members = {}
    for row, name in enumerate(classes):
        members.setdefault(name, []).append(row)
    shares = {name: divmod(len(members[name]) * size, len(classes)) for name in sorted(members)}
    missing = size - sum(whole for whole, _ in shares.values())
    extra = set(sorted(shares, key=lambda name: -shares[name][1])[:missing])
    chosen = []
    for name, (whole, _) in shares.items():
        order = torch.randperm(len(members[name]), generator=generator).tolist()
        chosen += [members[name][i] for i in order[: whole + (name in extra)]]
    return sorted(chosen)


@pytest.mark.parametrize("size", [0, 1, 50, 333, 1000])
def test_choice_is_that_of_lists(size):
    draw = random.Random(size)
    classes = [draw.choice([2, 0, 0, 7]) for _ in range(1000)]
    assert stratified_rows(classes, size, seed=5, purpose="x").tolist() == stratified_slowly(
        classes, size, seed=5, purpose="x"
    )


@pytest.mark.parametrize(("size", "expected"), [(10, {0: 7, 1: 2, 2: 1}), (1, {0: 1}), (99, {0: 69, 1: 20, 2: 10})])
def test_every_class_keeps_its_share(size, expected):
    classes = [0] * 70 + [1] * 20 + [2] * 10
    rows = stratified_rows(classes, size, seed=3, purpose="x").tolist()
    assert rows == sorted(set(rows))
    assert Counter(classes[row] for row in rows) == expected


def test_choice_depends_on_seed_and_purpose_only():
    classes = [0, 1] * 50
    chosen = stratified_rows(classes, 20, seed=0, purpose="x").tolist()
    assert chosen == stratified_rows(classes, 20, seed=0, purpose="x").tolist()
    assert chosen != stratified_rows(classes, 20, seed=1, purpose="x").tolist()
    assert chosen != stratified_rows(classes, 20, seed=0, purpose="y").tolist()


def test_too_many_rows_are_refused():
    with pytest.raises(ValueError, match="cannot choose 3 of 2 rows"):
        stratified_rows([0, 1], 3, seed=0, purpose="x")


def test_whole_groups_are_chosen_and_classes_keep_their_share():
    draw = random.Random(0)
    of_class = {group: group % 2 for group in range(400)}
    groups = [group for group in range(400) for _ in range(draw.choice([1, 2, 5]))]
    draw.shuffle(groups)
    classes = [of_class[group] if draw.random() < 0.8 else 1 - of_class[group] for group in groups]
    chosen = stratified_groups(torch.tensor(classes), torch.tensor(groups), 200, seed=1, purpose="x").tolist()
    assert chosen == sorted(set(chosen))
    assert abs(len(chosen) - 200) <= 3
    taken = {groups[row] for row in chosen}
    assert sorted(row for row, group in enumerate(groups) if group in taken) == chosen
    assert abs(sum(classes[row] for row in chosen) / len(chosen) - sum(classes) / len(classes)) < 0.05
    others = (
        stratified_groups(torch.tensor(classes), torch.tensor(groups), 200, seed=seed, purpose=purpose).tolist()
        for seed, purpose in ((1, "x"), (2, "x"), (1, "y"))
    )
    assert [other == chosen for other in others] == [True, False, False]
    assert stratified_groups(torch.tensor([]), torch.tensor([]), 0, seed=1, purpose="x").tolist() == []
