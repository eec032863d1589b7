from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from references import batch_norm, randomise
from torch import Tensor, nn

from pyg_fsar import Skeleton
from pyg_fsar.nn import MSG3D, MSG3DStage, PairNorm
from pyg_fsar.nn.models.ms_g3d import GraphUnit, normalise, scales

TINY = {"plan": [(6, 1), (12, 2)], "num_scales": 4, "num_window_scales": 3}


def k_adjacency(adj: Tensor, k: int) -> Tensor:
    """Nodes at distance ``k`` and loops, by powers of the adjacency as in the public code."""
    loops = torch.eye(len(adj), dtype=torch.double)
    if k == 0:
        return loops
    within = [torch.linalg.matrix_power(adj + loops, power) > 0 for power in (k, k - 1)]
    return within[0].double() - within[1].double() + loops


def symmetric(adj: Tensor) -> Tensor:
    degree = torch.diag(adj.sum(dim=1) ** -0.5)
    return degree @ adj @ degree


def public_graph(skeleton: Skeleton, num_scales: int, window: int) -> Tensor:
    bones = skeleton.hop_distance() == 1
    adj = bones.double()
    if window > 1:
        adj = (adj + torch.eye(len(adj))).tile(window, window)
    return torch.stack([symmetric(k_adjacency(adj, k)) for k in range(num_scales)])


@pytest.mark.parametrize("layout", ["ntu25", "openpose18"])
@pytest.mark.parametrize(("num_scales", "window"), [(13, 1), (6, 3), (6, 5)])
def test_graphs_of_all_scales(layout: str, num_scales: int, window: int) -> None:
    skeleton = Skeleton.get(layout)
    graph = normalise(scales(skeleton, num_scales, window).double())
    torch.testing.assert_close(graph, public_graph(skeleton, num_scales, window))


def test_scales_share_no_pair() -> None:
    skeleton = Skeleton.get("ntu25")
    pairs = scales(skeleton, 13) * (1 - torch.eye(25))
    assert torch.equal(pairs.sum(dim=0), 1 - torch.eye(25))  # 12 bones reach every joint
    assert torch.equal(scales(skeleton, 13)[0], torch.eye(25))
    assert not scales(skeleton, 14)[13].triu(1).any()


def aggregate(unit: GraphUnit, x: Tensor, graph: Tensor) -> Tensor:
    """Sum over nodes, then the 1 x 1 convolution, on ``[B, C, T, N]``."""
    adj = (graph + unit.learned).mT.flatten(0, 1)  # (scale, target), source
    n, c, t, nodes = x.shape
    moved = torch.einsum("vu,nctu->nctv", adj, x).view(n, c, t, -1, nodes)
    moved = moved.permute(0, 3, 1, 2, 4).reshape(n, -1, t, nodes)
    out = F.conv2d(moved, unit.conv.weight.flatten(0, 1).t()[..., None, None])
    return batch_norm(unit.batch_norm, out).relu()


def temporal_unit(unit: nn.Module, x: Tensor) -> Tensor:
    conv, outs, start = unit.conv, [], 0
    for number, width in enumerate(conv.widths):
        channels = slice(start, start := start + width)
        reduce = conv.reduce.conv
        y = F.conv2d(x, reduce.weight[channels], reduce.bias[channels])
        y = batch_norm(conv.reduce.norm, y, channels).relu()
        if number < len(conv.branches):
            y = conv.branches[number](y)
        else:
            y = F.max_pool2d(y, (3, 1), (conv.stride, 1), (1, 0))
        outs.append(batch_norm(conv.norm, y, channels))
    weight = conv.point.weight[..., None, None]
    y = F.conv2d(x, weight, conv.point.bias, stride=(conv.stride, 1))
    outs.append(batch_norm(conv.norm, y, slice(start, None)))
    if not isinstance(unit.residual, nn.Identity):
        residual = unit.residual.conv
        x = F.conv2d(x, residual.weight, residual.bias, residual.stride)
        x = batch_norm(unit.residual.norm, x)
    return torch.cat(outs, dim=1) + x


def reference(model: MSG3D, x: Tensor) -> Tensor:
    """What the public code computes with the weights of the model: channels first, unfolded."""
    b, t, v, c = x.shape
    x = model.input_norm(x.permute(0, 2, 3, 1).reshape(b, v * c, t))
    x = x.view(b, v, c, t).permute(0, 2, 3, 1)
    within = public_graph(model.skeleton, 4, 1)
    for stage in model.stages:
        y = temporal_unit(stage.first, aggregate(stage.graph, x, within)).relu()
        y = temporal_unit(stage.second, y)
        for path in stage.windows:
            window, stride = path.graph.conv.window, path.graph.conv.stride
            unfolded = F.unfold(x, (window, 1), padding=(window // 2, 0), stride=(stride, 1))
            unfolded = unfolded.view(len(x), x.size(1), window, -1, v)
            unfolded = unfolded.transpose(2, 3).flatten(-2)
            z = aggregate(path.graph, unfolded, public_graph(model.skeleton, 3, window))
            z = z.view(*z.shape[:3], window, v)
            z = F.conv3d(z, path.collapse.weight.unsqueeze(2), path.collapse.bias).squeeze(3)
            y = y + batch_norm(path.batch_norm, z)
        x = temporal_unit(stage.last, y.relu()).relu()
    return x.permute(0, 2, 3, 1)


@pytest.mark.parametrize("training", [False, True])
def test_equals_the_public_form(training: bool) -> None:
    options = TINY | {"plan": [(8, 1), (12, 2), (19, 2)]}
    model = MSG3D("coco17", **options).double().train(training)
    randomise(model)
    x = torch.randn(2, 9, 17, 3, dtype=torch.double)
    torch.testing.assert_close(model(x), reference(model, x))


def number_of_parameters(joints: int, plan: list[tuple[int, int]], width: int = 3) -> int:
    """Counted from the paper's figures, without biases that batch normalisation takes away."""

    def temporal_unit(width: int, channels: int, stride: int) -> int:
        branch = channels // 6
        first = (width + 1) * channels + 2 * 5 * branch
        branches = 4 * (3 * branch**2 + branch) + 2 * channels
        changes = width != channels or stride != 1
        return first + branches + ((width + 3) * channels if changes else 0)

    total = 2 * joints * width
    for number, (channels, stride) in enumerate(plan):
        hidden = channels if number == 0 else width
        total += 13 * (joints**2 + width * hidden) + 2 * hidden
        for window in (3, 5):
            total += 6 * ((window * joints) ** 2 + width * hidden) + 2 * hidden
            total += window * hidden * channels + 3 * channels
        total += temporal_unit(hidden, channels, stride) + 2 * temporal_unit(channels, channels, 1)
        width = channels
    return total


@pytest.mark.parametrize(
    ("num_stages", "frames", "channels"), [(1, 12, 96), (2, 6, 192), (3, 3, 384)]
)
def test_contract_of_the_published_network(num_stages: int, frames: int, channels: int) -> None:
    model = MSG3D("ntu25", num_stages=num_stages)
    plan = [(96, 1), (192, 2), (384, 2)][:num_stages]
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == number_of_parameters(25, plan)
    if num_stages == 3:  # published: 3.2 million with a classifier of 60 classes
        assert math.isclose(count + 60 * 385, 3.2e6, rel_tol=0.01)
    assert model(torch.randn(1, 12, 25, 3)).shape == (1, frames, 25, channels)
    assert (model.in_channels, model.out_channels) == (3, channels)
    assert repr(model).endswith(f"num_stages={num_stages})")


def test_learned_graphs_begin_next_to_zero() -> None:
    learned = [m.learned for m in MSG3D("ntu25").modules() if isinstance(m, GraphUnit)]
    assert [tuple(value.shape) for value in learned] == [
        (13, 25, 25),
        (6, 75, 75),
        (6, 125, 125),
    ] * 2
    for value in learned:
        assert 0 < value.abs().max() <= 1e-6 and value.min() < 0 < value.max()


@pytest.mark.parametrize("frames", [2, 5, 8])
def test_frames_halve_rounding_up(frames: int) -> None:
    assert MSG3D("coco17", **TINY)(torch.randn(2, frames, 17, 3)).shape == (
        2,
        -(-frames // 2),
        17,
        12,
    )


def test_graphs_and_weights_learn_from_the_first_step() -> None:
    model = MSG3D("coco17", **TINY)
    model(torch.randn(2, 8, 17, 3)).square().mean().backward()
    for name, parameter in model.named_parameters():
        if "graph" in name and "bias" not in name:
            assert parameter.grad.abs().max() > 0, name


def test_joints_may_be_renumbered() -> None:
    skeleton, joints = Skeleton.get("coco17"), torch.randperm(17)
    new = {old: number for number, old in enumerate(joints.tolist())}
    twin_skeleton = Skeleton(
        "renumbered",
        tuple(skeleton.joints[joint] for joint in joints),
        tuple((new[child], new[parent]) for child, parent in skeleton.bones),
    )
    model = MSG3D(skeleton, **TINY, input_norm="channel").eval()
    twin = MSG3D(twin_skeleton, **TINY, input_norm="channel").eval()
    randomise(model)
    twin.load_state_dict(model.state_dict())
    for unit in twin.modules():
        if isinstance(unit, GraphUnit):
            frames = torch.arange(unit.learned.size(-1) // 17) * 17
            nodes = (frames[:, None] + joints).flatten()
            unit.learned.data = unit.learned.data[:, nodes][..., nodes]
    x = torch.randn(2, 6, 17, 3)
    torch.testing.assert_close(twin(x[:, :, joints]), model(x)[:, :, joints], rtol=1e-4, atol=1e-4)


def test_moves_with_a_clip_that_is_shifted_in_time() -> None:
    model = MSG3D("coco17", **TINY | {"plan": [(8, 1)]}).double().eval()
    randomise(model)
    x = torch.randn(1, 32, 17, 3, dtype=torch.double)
    whole, later = model(x), model(x[:, 1:])
    reach = 12  # three temporal units of 4 frames each, either way
    torch.testing.assert_close(later[:, reach:-reach], whole[:, reach + 1 : -reach])
    assert not torch.allclose(later[:, 0], whole[:, 1])


def test_every_stage_has_the_norm_before_its_last_rectifier() -> None:
    model = MSG3D("coco17", **TINY, norm=PairNorm(scale=3.0)).eval()
    seen = []
    for stage in model.stages:
        stage.norm.register_forward_hook(lambda module, args, out: seen.append(out))
        stage.register_forward_hook(lambda module, args, out: seen.append(out))
    model(torch.randn(2, 8, 17, 3))
    for normalised, out in zip(seen[::2], seen[1::2], strict=True):
        assert torch.equal(normalised.relu(), out)
        size = normalised.square().sum(-1).mean(-1).sqrt()
        torch.testing.assert_close(size, torch.full_like(size, 3.0), rtol=1e-2, atol=1e-2)


def test_drop_edge_cuts_the_same_pairs_everywhere() -> None:
    model = MSG3D("coco17", **TINY, drop_edge=0.5)
    within, *windows = model.adjacencies()
    scales_of_pairs = scales(model.skeleton, 4)
    kept = (within > 0).any(dim=0)
    assert torch.equal(kept, kept.t()) and kept.diagonal().all()
    assert 0 < kept.triu(1).sum() < (scales_of_pairs > 0).any(dim=0).triu(1).sum()
    near = scales(model.skeleton, 3).any(dim=0)  # windows have fewer scales
    for adj, window in zip(windows, (3, 5), strict=True):
        assert torch.equal((adj > 0).any(dim=0), (kept & near).tile(window, window))
    for adj in (within, *windows):  # normalised anew
        degree = (adj > 0).sum(dim=-1)
        expected = (adj > 0) / (degree.unsqueeze(-1) * degree.unsqueeze(-2)).sqrt()
        torch.testing.assert_close(adj, expected)
    assert not torch.equal(model.adjacencies()[0], within)
    model.eval()
    torch.testing.assert_close(model.adjacencies()[0], normalise(scales_of_pairs))


def test_all_stages_share_the_adjacencies() -> None:
    model = MSG3D("coco17", **TINY, drop_edge=0.5)
    seen = []
    for stage in model.stages:
        assert isinstance(stage, MSG3DStage)
        stage.register_forward_pre_hook(lambda module, args: seen.append(args[1:]))
    model(torch.randn(2, 8, 17, 3))
    for first, second in zip(*seen, strict=True):
        assert first is second


def test_windows_by_option() -> None:
    model = MSG3D("coco17", **TINY, windows=(7,))
    assert len(model.stages[0].windows) == 1
    assert model(torch.randn(2, 4, 17, 3)).shape == (2, 2, 17, 12)
    without = MSG3D("coco17", **TINY, windows=())
    assert without(torch.randn(2, 4, 17, 3)).shape == (2, 2, 17, 12)


def test_refuses_unknown_options() -> None:
    with pytest.raises(ValueError, match=r"1 to 3, got 4.*plan="):
        MSG3D("coco17", num_stages=4)
    with pytest.raises(ValueError, match="plan is empty"):
        MSG3D("coco17", plan=[])
    with pytest.raises(ValueError, match="window must be odd"):
        MSG3D("coco17", windows=(3, 4))
    with pytest.raises(ValueError, match="at least 1, got 0 and 6"):
        MSG3D("coco17", num_scales=0)
    with pytest.raises(ValueError, match="at least 6, one for each branch"):
        MSG3D("coco17", plan=[(5, 1)])
