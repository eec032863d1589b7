import pytest
import torch
from torch.nn.functional import cosine_similarity

from pyg_fsar import Skeleton
from pyg_fsar.matching import NGMCost, build_matcher, cosine_cost

SKELETON = Skeleton.get("coco17")


def clips(*batch, frames=3, joints=17, channels=8, dtype=torch.float32):
    return torch.randn(*batch, frames, joints, channels, dtype=dtype)


@pytest.mark.parametrize("hops", [None, 2])
def test_equals_its_formula_for_every_pair_of_frames(hops):
    cost = NGMCost(8, heads=2, skeleton=SKELETON, hops=hops)
    torch.nn.init.constant_(cost.balance_logit, 0.7)
    x, y = clips(2), clips(3, frames=4)
    out = cost(x, y)
    assert out.shape == (2, 3, 3, 4)
    share = torch.tensor(0.7).sigmoid()
    for q, s, i, j in torch.cartesian_prod(*map(torch.arange, out.shape)).tolist():
        a, b = x[q, i], y[s, j]
        nodes = 1 - cosine_similarity(a.flatten(), b.flatten(), dim=0)
        edges = 1 - cosine_similarity(
            cost.attention(a).flatten(), cost.attention(b).flatten(), dim=0
        )
        torch.testing.assert_close(out[q, s, i, j], (1 - share) * nodes + share * edges)


def test_starts_in_balance_and_stays_between_zero_and_one():
    cost = NGMCost(8)
    assert cost.balance == 0.5
    for logit in (-1e4, -10.0, 10.0, 1e4):
        torch.nn.init.constant_(cost.balance_logit, logit)
        assert 0 <= cost.balance <= 1
        assert cost(clips(2), clips(2)).isfinite().all()
    torch.nn.init.constant_(cost.balance_logit, -1e4)
    x, y = clips(2), clips(2)
    torch.testing.assert_close(cost(x, y), cosine_cost(x, y))


def test_is_symmetric_and_zero_for_equal_frames():
    cost = NGMCost(8, heads=2)
    x, y = clips(2), clips(3, frames=4)
    torch.testing.assert_close(cost(y, x).permute(1, 0, 3, 2), cost(x, y))
    same = cost.within(x).diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(same, torch.zeros(2, 3), atol=1e-6, rtol=0)
    assert (cost(x, y) >= -1e-6).all() and (cost(x, y) <= 2).all()


@pytest.mark.parametrize("hops", [None, 1])
def test_does_not_notice_a_permutation_of_all_joints(hops):
    order = torch.randperm(17)
    cost = NGMCost(8, heads=2, skeleton=SKELETON, hops=hops)
    permuted = NGMCost(8, heads=2, skeleton=SKELETON.subset(order.tolist()), hops=hops)
    permuted.load_state_dict(cost.state_dict())
    x, y = clips(2), clips(2)
    torch.testing.assert_close(permuted(x[:, :, order], y[:, :, order]), cost(x, y))


def test_edges_tell_frames_apart_whose_joints_are_as_alike():
    torch.manual_seed(1)
    cost = NGMCost(8, heads=2)
    torch.nn.init.constant_(cost.balance_logit, 1e4)
    x, y = clips(1, frames=1), clips(1, frames=1)
    assert cost(x, y).item() > 1e-3


def test_work_per_clip_is_done_once_per_clip():
    cost = NGMCost(8, heads=2)
    seen = []
    cost.attention.register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
    cost(clips(5), clips(4))
    cost.within(clips(3))
    assert seen == [5, 4, 3]


def test_gradient_is_exact():
    cost = NGMCost(4, heads=2).double()
    x = clips(2, frames=2, joints=3, channels=4, dtype=torch.float64).requires_grad_()
    y = clips(2, frames=3, joints=3, channels=4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(cost, (x, y))


@pytest.mark.parametrize("hops", [None, 2])
def test_gradients_reach_every_parameter(hops):
    matcher = build_matcher(
        "ngm", channels=8, heads=2, skeleton=SKELETON, hops=hops, learn_scale=True
    ).double()
    x = clips(6, dtype=torch.float64)
    x[0, 1] = 0
    logits = matcher(x[:3], torch.arange(3), x[3:].requires_grad_())
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2])).backward()
    gradients = {name: p.grad for name, p in matcher.named_parameters()}
    assert gradients.keys() >= {"log_scale", "cost.balance_logit", "cost.attention.query.weight"}
    for name, gradient in gradients.items():
        assert gradient.isfinite().all() and gradient.abs().max() > 1e-9, name


def test_autocast_leaves_it_in_float32():
    cost = NGMCost(8, heads=2)
    x, y = clips(2), clips(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        across, within = cost(x, y), cost.within(x)
    torch.testing.assert_close(across, cost(x, y), rtol=0, atol=0)
    torch.testing.assert_close(within, cost.within(x), rtol=0, atol=0)
    half = cost(x.bfloat16(), y.bfloat16())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, cost(x.bfloat16().float(), y.bfloat16().float()))


def test_lower_precision_of_the_weights_is_kept_out_of_the_cost():
    cost = NGMCost(8, heads=2).bfloat16()
    x, y = clips(2).bfloat16(), clips(3).bfloat16()
    assert cost(x, y).dtype == torch.float32 and cost(x, y).isfinite().all()


def test_compiles_without_graph_breaks():
    torch.compiler.reset()
    cost = NGMCost(8, heads=2, skeleton=SKELETON, hops=2)
    compiled = torch.compile(cost, fullgraph=True, backend="aot_eager")
    x, y = clips(2), clips(3)
    torch.testing.assert_close(compiled(x, y), cost(x, y))


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"channels=\.\.\."):
        NGMCost()(clips(2), clips(2))
    with pytest.raises(ValueError, match="same joints and channels"):
        NGMCost(8)(clips(2), clips(2, joints=16))
    with pytest.raises(ValueError, match="25 joints"):
        NGMCost(8, skeleton="coco17", hops=1)(clips(2, joints=25), clips(2, joints=25))
    with pytest.raises(ValueError, match="do not divide among heads=3"):
        build_matcher("ngm", channels=8, heads=3)
