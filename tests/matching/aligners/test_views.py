from __future__ import annotations

import pytest
import torch

from pyg_fsar.matching import ALIGNERS, Views, build_matcher

ANGLES = (-40.0, 0.0, 40.0)


@pytest.mark.parametrize("inner", sorted(ALIGNERS))
def test_views_of_any_aligner_with_its_options(inner):
    matcher = build_matcher("views", inner=inner, softness=0.0, azimuths=ANGLES)
    assert type(matcher.aligner.inner) is ALIGNERS[inner]
    costs = torch.rand(2, 3, 4, 4)
    expected = torch.stack([matcher.aligner.inner(costs[:, k]) for k in range(3)]).amin(dim=0)
    torch.testing.assert_close(matcher.aligner.over_views(costs), expected)
    torch.testing.assert_close(matcher.aligner(costs[:, 0]), matcher.aligner.inner(costs[:, 0]))


def test_the_soft_minimum_equals_its_formula():
    costs = torch.rand(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    views = Views(ALIGNERS["bimhm"](), softness=0.2)
    lengths = torch.tensor([4, 2]), torch.tensor([3, 5])
    each = torch.stack([views.inner(costs[:, k], lengths) for k in range(3)])
    expected = -0.2 * (each / -0.2).logsumexp(dim=0)
    torch.testing.assert_close(views.over_views(costs, lengths), expected)
    assert torch.autograd.gradcheck(views.over_views, costs)


def test_refuses_softness():
    with pytest.raises(ValueError, match="softness must be 0 or more and finite"):
        Views(softness=-1.0)
