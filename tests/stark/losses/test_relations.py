import numpy as np
import scipy.special
import scipy.stats
import torch

from stark.losses.relations import log_relations, relation_divergences, scaled_products


def random_parts(seed=0):
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.arange(5) < torch.tensor([[5], [3]])).long()
    return [torch.randn(2, 3, 5, 4, generator=generator).double() for _ in range(4)], mask


def test_relations_are_scipys_softmax_over_real_tokens():
    (first, second, *_), mask = random_parts()
    found = log_relations(first, second, mask).exp()
    for row, length in enumerate((5, 3)):
        products = np.einsum("hid,hjd->hij", first[row], second[row])[:, :, :length] / 2
        np.testing.assert_allclose(found[row, :, :, :length], scipy.special.softmax(products, axis=-1), rtol=1e-9)
        assert not found[row, :, :, length:].any()
    np.testing.assert_allclose(scaled_products(first, second)[0], np.einsum("hid,hjd->hij", first[0], second[0]) / 2)


def test_divergences_are_scipys_and_finite_with_padding():
    parts, mask = random_parts()
    for part in parts:
        part.requires_grad_()
    student, teacher = log_relations(*parts[:2], mask), log_relations(*parts[2:], mask)
    found = relation_divergences(student=student, teacher=teacher, mask=mask)
    for row, length in enumerate((5, 3)):
        p, q = (one[row, :, :length, :length].detach().exp().numpy() for one in (teacher, student))
        np.testing.assert_allclose(found[row].item(), scipy.stats.entropy(p, q, axis=-1).mean(), rtol=1e-9)
    found.sum().backward()
    for part in parts:
        assert part.grad.isfinite().all()
        assert not part.grad[1, :, 3:].any()
