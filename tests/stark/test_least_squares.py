"""Ridge regression from sums, compared with numpy's least squares."""

import numpy as np
import torch

from stark.least_squares import LeastSquares


def rows(count=50, inputs=5, outputs=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, inputs, generator=generator) + 3
    return x, torch.randn(count, outputs, generator=generator), torch.randn(outputs, inputs, generator=generator)


def fitted(x, y, start, ridge, parts=1):
    fit = LeastSquares(x.shape[1], y.shape[1])
    for some, targets in zip(x.chunk(parts), y.chunk(parts), strict=True):
        fit.add(some, targets=targets)
    return fit.solve(start, ridge)


def test_without_penalty_it_is_numpys_least_squares():
    x, y, start = rows()
    weight, bias = fitted(x, y, start, 0.0)
    wide = np.c_[x.double().numpy(), np.ones(len(x))]
    expected, *_ = np.linalg.lstsq(wide, y.double().numpy(), rcond=None)
    np.testing.assert_allclose(torch.cat([weight.T, bias[None]]).numpy(), expected, atol=1e-10)


def test_with_a_penalty_it_is_numpys_least_squares_with_rows_for_the_penalty():
    x, y, start = (tensor.double() for tensor in rows(count=4))
    ridge = 0.3
    weight, bias = fitted(x, y, start, ridge)
    spread = ((x - x.mean(0)) ** 2).sum(0).mean()
    more = np.c_[np.sqrt(float(ridge * spread)) * np.eye(5), np.zeros(5)]
    wide = np.r_[np.c_[x.numpy(), np.ones(len(x))], more]
    expected, *_ = np.linalg.lstsq(wide, np.r_[y.numpy(), more[:, :5] @ start.numpy().T], rcond=None)
    np.testing.assert_allclose(torch.cat([weight.T, bias[None]]).numpy(), expected, atol=1e-10)


def test_how_rows_are_cut_into_batches_does_not_matter():
    x, y, start = rows()
    torch.testing.assert_close(fitted(x, y, start, 1e-3, parts=7), fitted(x, y, start, 1e-3), rtol=0, atol=1e-12)


def test_an_input_that_is_always_zero_keeps_its_weight():
    x, y, start = rows()
    x[:, 2] = 0
    weight, _ = fitted(x, y, start, 1e-3)
    torch.testing.assert_close(weight[:, 2], start[:, 2].double(), rtol=0, atol=0)


def test_a_layer_that_fits_already_is_not_changed():
    x, _, start = rows(count=2)
    bias = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    weight, found = fitted(x, x.double() @ start.double().T + bias, start, 1e-3)
    torch.testing.assert_close(weight, start.double(), rtol=0, atol=1e-10)
    torch.testing.assert_close(found, bias, rtol=0, atol=1e-10)


def test_without_inputs_or_with_constant_ones_only_the_bias_is_fitted():
    x, y, start = rows()
    weight, bias = fitted(x[:, :0], y, start[:, :0], 1e-3)
    assert weight.shape == (3, 0)
    torch.testing.assert_close(bias, y.double().mean(0))
    weight, bias = fitted(torch.ones(50, 5), y, start, 1e-3)
    torch.testing.assert_close(weight, start.double())
    torch.testing.assert_close(bias, y.double().mean(0) - start.double().sum(1))


def test_a_layer_without_a_bias_goes_through_the_origin():
    x, y, start = (tensor.double() for tensor in rows(count=4))
    ridge = 0.3
    fit = LeastSquares(5, 3, bias=False)
    fit.add(x, targets=y)
    weight, bias = fit.solve(start, ridge)
    more = np.sqrt(float(ridge * (x**2).sum(0).mean())) * np.eye(5)
    expected, *_ = np.linalg.lstsq(np.r_[x.numpy(), more], np.r_[y.numpy(), more @ start.numpy().T], rcond=None)
    np.testing.assert_allclose(weight.T.numpy(), expected, atol=1e-10)
    assert not bias.any()
