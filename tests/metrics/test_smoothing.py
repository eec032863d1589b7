from __future__ import annotations

import pytest
import torch

from pyg_fsar import Skeleton
from pyg_fsar.metrics import (
    cosine_similarity_map,
    dirichlet_energy,
    effective_rank,
    mean_average_distance,
    numerical_rank,
)

MEASURES = [
    mean_average_distance,
    numerical_rank,
    effective_rank,
    lambda x: dirichlet_energy(x, "ntu25"),
]


@pytest.mark.parametrize("measure", MEASURES)
def test_one_value_per_frame(measure) -> None:
    x = torch.randn(2, 3, 25, 8)
    out = measure(x)
    assert out.shape == (2, 3)
    torch.testing.assert_close(out[1, 2], measure(x[1, 2]))


def test_known_values() -> None:
    collapsed = torch.randn(1, 8).expand(5, 8)
    orthogonal = 3 * torch.eye(5, 8)
    for measure in (numerical_rank, effective_rank):
        torch.testing.assert_close(measure(collapsed), torch.tensor(1.0), rtol=1e-3, atol=0)
        torch.testing.assert_close(measure(orthogonal), torch.tensor(5.0))
        assert measure(torch.zeros(5, 8)) == 0
    torch.testing.assert_close(
        mean_average_distance(collapsed), torch.tensor(0.0), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(mean_average_distance(orthogonal), torch.tensor(1.0))


def test_mean_average_distance_equals_the_loop_over_pairs() -> None:
    x = torch.randn(6, 4)
    pairs = [
        1 - torch.nn.functional.cosine_similarity(x[i], x[j], dim=0)
        for i in range(6)
        for j in range(6)
        if i != j
    ]
    torch.testing.assert_close(mean_average_distance(x), torch.stack(pairs).mean())


def test_dirichlet_energy_equals_the_formula() -> None:
    x, adj = torch.randn(6, 4), torch.rand(6, 6)
    expected = 0.5 * sum(
        adj[i, j] * (x[i] - x[j]).square().sum() for i in range(6) for j in range(6)
    )
    torch.testing.assert_close(dirichlet_energy(x, adj), expected)
    skeleton = Skeleton.get("ntu25")
    x = torch.randn(2, 25, 3)
    bones = [(x[:, i] - x[:, j]).square().sum(-1) for i, j in skeleton.bones]
    torch.testing.assert_close(dirichlet_energy(x, skeleton), torch.stack(bones).sum(0))


def test_effective_rank_equals_the_formula() -> None:
    x = torch.randn(6, 4)
    shares = torch.linalg.svdvals(x) / torch.linalg.svdvals(x).sum()
    torch.testing.assert_close(effective_rank(x), (-(shares * shares.log()).sum()).exp())
    values = torch.linalg.svdvals(x)
    torch.testing.assert_close(numerical_rank(x), x.square().sum() / values.max() ** 2)


def test_cosine_similarity_map() -> None:
    x = torch.randn(2, 3, 5, 4)
    x[:, :, 1] = 2 * x[:, :, 0]
    x[:, :, 2] = -x[:, :, 0]
    x[:, :, 4] = 0
    heat = cosine_similarity_map(x)
    assert heat.shape == (5, 5)
    torch.testing.assert_close(heat, heat.t())
    torch.testing.assert_close(heat[0, :3], torch.tensor([1.0, 1.0, -1.0]))
    assert not heat[4].any()
    torch.testing.assert_close(cosine_similarity_map(x[0, 0]), cosine_similarity_map(x[:1, :1]))


def test_refuses_what_does_not_fit() -> None:
    for measure in [*MEASURES, cosine_similarity_map]:
        with pytest.raises(ValueError, match=r"\[..., V, C\]"):
            measure(torch.randn(5))
        with pytest.raises(ValueError, match="at least one"):
            measure(torch.empty(0, 25, 3))
    with pytest.raises(ValueError, match="at least two"):
        mean_average_distance(torch.randn(1, 3))
    with pytest.raises(ValueError, match=r"\[6, 6\]"):
        dirichlet_energy(torch.randn(6, 4), torch.rand(5, 5))
    with pytest.raises(ValueError, match="'ntu25'"):
        dirichlet_energy(torch.randn(6, 4), "ntu25")
