"""The schedule of gradual cuts, compared with Zhu and Gupta's formula for the step of each cut."""

import pytest

from stark.schedules.gradual import cut_steps, gradual_sparsities, uncut_share


@pytest.mark.parametrize(("sparsity", "cuts"), [(0.9, 8), (0.5, 1), (0.0, 3)])
def test_sparsities_are_those_of_the_paper(sparsity, cuts):
    # s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (n dt))^3, with s_i = 0, at the times t_0 + k dt.
    expected = [sparsity + (0 - sparsity) * (1 - (k * 10) / (cuts * 10)) ** 3 for k in range(1, cuts + 1)]
    assert gradual_sparsities(sparsity, cuts) == pytest.approx(expected)
    assert gradual_sparsities(sparsity, cuts)[-1] == sparsity


@pytest.mark.parametrize("steps", [1, 2, 7, 1000])
@pytest.mark.parametrize("cuts", [1, 3, 16])
@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
def test_cuts_ascend_and_leave_a_step(steps, cuts, fraction):
    found = cut_steps(steps, cuts, fraction)
    assert len(found) == cuts
    assert found == sorted(found)
    assert found[0] >= 0
    assert found[-1] < steps
    assert found[-1] == min(round(fraction * steps), steps - 1)


def test_cuts_have_equal_distances():
    assert cut_steps(1600, 4, 0.5) == [200, 400, 600, 800]


@pytest.mark.parametrize(("cuts", "fraction"), [(1, 0.3), (4, 0.5), (8, 0.75)])
def test_the_share_that_is_not_cut_yet_is_the_mean_over_the_steps(cuts, fraction):
    steps = 24_000
    at, sparsities = cut_steps(steps, cuts, fraction), [0.0, *gradual_sparsities(1.0, cuts)]
    left = [1 - sparsities[sum(step >= place for place in at)] for step in range(steps)]
    assert uncut_share(cuts, fraction) == pytest.approx(sum(left) / steps)
