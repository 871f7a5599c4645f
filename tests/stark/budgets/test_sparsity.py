import math

import pytest
import torch

from stark.budgets.sparsity import achieved_sparsity, masks_at_sparsity, rank_units, round_masks

LEVELS = [level / 20 for level in range(20)]


def random_scores(seed, *, ties=False, sizes=(12, 7, 0, 30)):
    generator = torch.Generator().manual_seed(seed)
    if ties:
        return [torch.randint(3, (size,), generator=generator).double() for size in sizes]
    return [torch.rand(size, generator=generator).double() for size in sizes]


def loop_masks(scores, sparsity):
    """The released code's method: sort a Python list of all (layer, score) pairs and drop the first ones."""
    pairs = [(float(score), layer, unit) for layer, layer_scores in enumerate(scores) for unit, score in
             enumerate(layer_scores)]  # fmt: skip
    pairs.sort(key=lambda pair: pair[0])
    dropped = {(layer, unit) for _, layer, unit in pairs[: round(sparsity * len(pairs))]}
    return [[(layer, unit) not in dropped for unit in range(len(s))] for layer, s in enumerate(scores)]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_masks_are_those_of_the_sorted_list(seed, ties):
    scores = random_scores(seed, ties=ties)
    for sparsity in LEVELS:
        assert [mask.tolist() for mask in masks_at_sparsity(scores, sparsity)] == loop_masks(scores, sparsity)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_what_a_sparsity_drops_every_higher_one_drops(seed, ties):
    scores = random_scores(seed, ties=ties)
    previous = masks_at_sparsity(scores, 0)
    assert all(mask.all() for mask in previous)
    for sparsity in LEVELS:
        masks = masks_at_sparsity(scores, sparsity)
        assert all((before | ~now).all() for before, now in zip(previous, masks, strict=True))
        previous = masks


@pytest.mark.parametrize(
    ("units", "sparsity", "dropped"), [(144, 0.7, 101), (36864, 0.7, 25805), (10, 0.25, 2), (10, 0.35, 4), (3, 0.99, 3)]
)
def test_the_number_dropped_is_rounded(units, sparsity, dropped):
    masks = masks_at_sparsity([torch.arange(units).double()], sparsity)
    assert masks[0].tolist() == [False] * dropped + [True] * (units - dropped)
    assert achieved_sparsity(masks) == dropped / units


def test_layers_compete_with_each_other():
    masks = masks_at_sparsity([torch.tensor([0.9, 0.8]), torch.tensor([0.1, 0.2])], 0.5)
    assert [mask.tolist() for mask in masks] == [[True, True], [False, False]]


def test_ranking_does_not_depend_on_the_scale_of_all_scores():
    scores = random_scores(1)
    assert torch.equal(rank_units(scores), rank_units([1000 * score for score in scores]))


def test_ties_are_broken_by_layer_and_position():
    assert rank_units([torch.ones(40), torch.ones(30)]).tolist() == list(range(70))


@pytest.mark.parametrize("round_to", [2, 8, 16, 100])
@pytest.mark.parametrize("sparsity", [0, 0.3, 0.5, 0.9, 0.99])
def test_rounding_keeps_the_best_units_in_multiples(sparsity, round_to):
    scores = random_scores(3, sizes=(12, 30, 64, 0))
    plain = masks_at_sparsity(scores, sparsity)
    rounded = round_masks(plain, scores, round_to)
    for score, before, after in zip(scores, plain, rounded, strict=True):
        nearest = round(int(before.sum()) / round_to) * round_to
        assert int(after.sum()) == min(nearest, len(score))
        if after.any() and not after.all():
            assert score[after].min() > score[~after].max()
    dropped = sum(int((~mask).sum()) for mask in rounded)
    assert achieved_sparsity(rounded) == dropped / 106


@pytest.mark.parametrize("round_to", [0, -8])
def test_rounding_to_nothing_is_refused(round_to):
    with pytest.raises(ValueError, match=f"round_to is {round_to}"):
        round_masks([torch.ones(2)], [torch.ones(2)], round_to)


def test_achieved_sparsity_of_no_units_is_zero():
    assert achieved_sparsity([]) == 0
    assert achieved_sparsity([torch.zeros(4), torch.ones(12)]) == 0.25


@pytest.mark.parametrize("sparsity", [-0.1, 1, 1.5, 70, math.nan])
def test_a_sparsity_that_is_no_fraction_is_refused(sparsity):
    with pytest.raises(ValueError, match="give the fraction of units to remove"):
        masks_at_sparsity([torch.ones(2)], sparsity)
