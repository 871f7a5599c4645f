import math

import numpy as np
import pytest
import torch

from stark.schedules.changing import changing_weight


@pytest.mark.parametrize(
    ("schedule", "formula"),
    [("linear", lambda x: x), ("cosine", lambda x: (1 - math.cos(math.pi * x)) / 2)],
)
def test_it_goes_from_the_first_to_the_last_value(schedule, formula):
    steps = np.linspace(0, 1, 9)
    found = [changing_weight(10.0, 2.0, torch.tensor(x, dtype=torch.float64), schedule).item() for x in steps]
    np.testing.assert_allclose(found, [10 - 8 * formula(x) for x in steps], rtol=1e-12)
    assert found[0] == 10
    assert found[-1] == pytest.approx(2, abs=1e-12)
