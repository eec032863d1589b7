"""Public checkpoints, made by plain channels-first networks of the same structure and names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pyg_fsar import Skeleton
from pyg_fsar.nn import STGCN, stgcn_from_public

WIDTHS = ((4, 1), (4, 1), (8, 2), (8, 1))
# Bones of PYSKL's ntu25 that are not ours: fingertips and thumbs both hang on the hand.
NTU_PYSKL = (
    *(bone for bone in Skeleton.get("ntu25").bones if bone not in ((21, 22), (23, 24))),
    (21, 7),
    (23, 11),
)


def partition(bones: Sequence[tuple[int, int]], size: int, center: int) -> Tensor:
    """The public spatial partition: hop distances beyond 1 are infinite."""
    hops = torch.full((size, size), torch.inf)
    for i in range(size):
        hops[i, i] = 0
    for i, j in bones:
        hops[i, j] = hops[j, i] = 1
    degrees = (hops <= 1).sum(dim=0)
    adjacency = torch.zeros(3, size, size)
    for source in range(size):
        for target in range(size):
            if hops[source, target] > 1:
                continue
            if source == target:
                subset = 0
            elif hops[source, center] >= hops[target, center]:
                subset = 1
            else:
                subset = 2
            adjacency[subset, source, target] = 1 / degrees[target]
    return adjacency


def public_partition(strategy: str, name: str) -> Tensor:
    """The three partitions of yysijie/st-gcn."""
    skeleton = Skeleton.get(name)
    if strategy == "spatial":
        return partition(skeleton.bones, skeleton.num_joints, skeleton.center)
    near = torch.eye(skeleton.num_joints)
    for i, j in skeleton.bones:
        near[i, j] = near[j, i] = 1
    both = near / near.sum(dim=0)
    if strategy == "uniform":
        return both.unsqueeze(0)
    themselves = both.diagonal().diag()
    return torch.stack([themselves, both - themselves])


class GraphConv(nn.Module):
    def __init__(self, width: int, channels: int, subsets: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, subsets * channels, 1)

    def forward(self, x: Tensor, adj: Tensor) -> Tensor:
        y = self.conv(x)
        n, kc, t, v = y.shape
        return torch.einsum("nkctv,kvw->nctw", y.view(n, len(adj), kc // len(adj), t, v), adj)


class STGCNUnit(nn.Module):
    """A block with the names of yysijie/st-gcn."""

    def __init__(
        self, width: int, channels: int, stride: int, first: bool, kernel: int, subsets: int
    ) -> None:
        super().__init__()
        self.gcn = GraphConv(width, channels, subsets)
        self.tcn = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, (kernel, 1), (stride, 1), (kernel // 2, 0)),
            nn.BatchNorm2d(channels),
            nn.Dropout(0.5),
        )
        self.first = first
        if not first and (width, 1) != (channels, stride):
            self.residual = nn.Sequential(
                nn.Conv2d(width, channels, 1, (stride, 1)), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor, adj: Tensor) -> Tensor:
        y = self.tcn(self.gcn(x, adj))
        if self.first:
            return y.relu()
        return (y + (self.residual(x) if hasattr(self, "residual") else x)).relu()


def normalised(norm: nn.Module, x: Tensor) -> Tensor:
    """Batch norm of ``[N, C, T, V]`` over joints and channels, joints outermost."""
    n, c, t, v = x.shape
    x = norm(x.permute(0, 3, 1, 2).reshape(n, v * c, t))
    return x.view(n, v, c, t).permute(0, 2, 3, 1)


class PublicSTGCN(nn.Module):
    """The network of yysijie/st-gcn, without pooling."""

    def __init__(self, adjacency: Tensor, channels: int, importance: bool, kernel: int = 9) -> None:
        super().__init__()
        self.register_buffer("A", adjacency)
        self.data_bn = nn.BatchNorm1d(channels * adjacency.size(-1))
        widths = [channels, *(width for width, _ in WIDTHS)]
        self.st_gcn_networks = nn.ModuleList(
            STGCNUnit(widths[number], width, stride, number == 0, kernel, len(adjacency))
            for number, (width, stride) in enumerate(WIDTHS)
        )
        if importance:
            self.edge_importance = nn.ParameterList(
                [nn.Parameter(torch.ones_like(adjacency)) for _ in WIDTHS]
            )
        self.fcn = nn.Conv2d(8, 60, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = normalised(self.data_bn, x)
        for number, block in enumerate(self.st_gcn_networks):
            adj = self.A
            if hasattr(self, "edge_importance"):
                adj = adj * self.edge_importance[number]
            x = block(x, adj)
        return x


class PYSKLGraphUnit(nn.Module):
    def __init__(self, width: int, channels: int, adjacency: Tensor, adaptive: str | None) -> None:
        super().__init__()
        self.adaptive = adaptive
        if adaptive == "init":
            self.A = nn.Parameter(adjacency.clone())
        else:
            self.register_buffer("A", adjacency)
        if adaptive == "importance":
            self.PA = nn.Parameter(torch.ones_like(adjacency))
        if adaptive == "offset":
            self.PA = nn.Parameter(torch.empty_like(adjacency).uniform_(-1e-6, 1e-6))
        self.bn = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(width, len(adjacency) * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        adj = self.A
        if self.adaptive == "importance":
            adj = adj * self.PA
        if self.adaptive == "offset":
            adj = adj + self.PA
        y = self.conv(x)
        n, kc, t, v = y.shape
        y = torch.einsum("nkctv,kvw->nctw", y.view(n, len(adj), kc // len(adj), t, v), adj)
        return self.bn(y).relu()


class PYSKLTemporalUnit(nn.Module):
    def __init__(self, width: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, channels, (kernel, 1), (stride, 1), (kernel // 2, 0))
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class PYSKLBlock(nn.Module):
    def __init__(
        self, width: int, channels: int, stride: int, adjacency: Tensor, first: bool, adaptive: Any
    ) -> None:
        super().__init__()
        self.gcn = PYSKLGraphUnit(width, channels, adjacency, adaptive)
        self.tcn = PYSKLTemporalUnit(channels, channels, 9, stride)
        self.first = first
        if not first and (width, 1) != (channels, stride):
            self.residual = PYSKLTemporalUnit(width, channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.tcn(self.gcn(x))
        if self.first:
            return y.relu()
        return (y + (self.residual(x) if hasattr(self, "residual") else x)).relu()


class PYSKLSTGCN(nn.Module):
    """The backbone of PYSKL, without pooling."""

    def __init__(
        self, adjacency: Tensor, channels: int, adaptive: str | None = "importance"
    ) -> None:
        super().__init__()
        self.data_bn = nn.BatchNorm1d(channels * adjacency.size(-1))
        widths = [channels, *(width for width, _ in WIDTHS)]
        self.gcn = nn.ModuleList(
            PYSKLBlock(widths[number], width, stride, adjacency, number == 0, adaptive)
            for number, (width, stride) in enumerate(WIDTHS)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = normalised(self.data_bn, x)
        for block in self.gcn:
            x = block(x)
        return x


def recognizer(backbone: PYSKLSTGCN) -> dict[str, Any]:
    """A checkpoint as mmcv writes it."""
    model = nn.ModuleDict({"backbone": backbone, "cls_head": nn.ModuleDict()})
    model["cls_head"]["fc_cls"] = nn.Linear(8, 60)
    return {"meta": {"epoch": 16}, "state_dict": model.state_dict(), "optimizer": {}}


def trained(model: nn.Module, x: Tensor) -> nn.Module:
    """A model after some steps, so that no weight or statistic is as it began."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9, weight_decay=0.01)
    for _ in range(3):
        out = model(x)
        optimizer.zero_grad()
        (out * torch.linspace(-1, 1, out.size(1)).view(-1, 1, 1)).sin().mean().backward()
        optimizer.step()
    return model.eval()


def randomised(model: nn.Module, kept: str) -> nn.Module:
    """A model of random state, but for its adjacency."""
    state = model.state_dict()
    for key, value in state.items():
        if value.is_floating_point() and key.split(".")[-1] != kept:
            value.copy_(
                torch.rand_like(value) + 0.5 if "_var" in key else 0.3 * torch.randn_like(value)
            )
    return model.eval()


def skeleton_parts(name: str, bones: Any = None) -> tuple[Skeleton, Tensor]:
    skeleton = Skeleton.get(name)
    return skeleton, partition(bones or skeleton.bones, skeleton.num_joints, skeleton.center)


def assert_same_function(encoder: STGCN, model: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        expected = model(x).permute(0, 2, 3, 1)
        out = encoder(x.permute(0, 2, 3, 1))
    assert expected.std() > 1e-3
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("importance", [True, False])
@pytest.mark.parametrize(("name", "channels", "kernel"), [("ntu25", 3, 9), ("openpose18", 2, 5)])
def test_stgcn(name: str, channels: int, kernel: int, importance: bool) -> None:
    skeleton, adjacency = skeleton_parts(name)
    x = torch.randn(3, channels, 13, skeleton.num_joints)
    model = trained(PublicSTGCN(adjacency, channels, importance, kernel), x)
    encoder = stgcn_from_public(model.state_dict(), name, dropout=0.3)
    assert not encoder.training
    assert encoder.skeleton is skeleton
    assert encoder.blocks[1].dropout.p == 0.3
    assert bool(encoder.edge_importance) is importance
    assert torch.equal(encoder.adjacency, skeleton.adjacency("spatial_stgcn"))
    assert_same_function(encoder, model, x)


WRAPPINGS: dict[str, Callable[[dict[str, Tensor]], dict[str, Any]]] = {
    "plain": lambda state: state,
    "parallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "recipe": lambda state: {"epoch": 3, "state_dict": state},
    "both": lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("strategy", ["uniform", "distance", "spatial"])
@pytest.mark.parametrize("name", ["ntu25", "openpose18"])
def test_stgcn_of_random_state(name: str, strategy: str, wrapping: str) -> None:
    # Where there is no bone, edge importance has no effect, whatever it is.
    adjacency = public_partition(strategy, name)
    model = randomised(PublicSTGCN(adjacency, 3, True), kept="A")
    x = torch.randn(2, 3, 13, adjacency.size(-1))
    state = WRAPPINGS[wrapping](model.state_dict())
    assert_same_function(stgcn_from_public(state, name), model, x)
    without = {key: value for key, value in model.state_dict().items() if key != "A"}
    strategy = "spatial_stgcn" if strategy == "spatial" else strategy
    encoder = stgcn_from_public(WRAPPINGS[wrapping](without), name, strategy=strategy)
    assert_same_function(encoder, model, x)


@pytest.mark.parametrize("adaptive", ["importance", None])
@pytest.mark.parametrize(("name", "bones"), [("coco17", None), ("ntu25", NTU_PYSKL)])
def test_pyskl(name: str, bones: Any, adaptive: str | None, tmp_path: Any) -> None:
    skeleton, adjacency = skeleton_parts(name, bones)
    x = torch.randn(3, 3, 13, skeleton.num_joints)
    model = trained(PYSKLSTGCN(adjacency, 3, adaptive), x)
    torch.save(recognizer(model), tmp_path / "checkpoint.pth")
    checkpoint = torch.load(tmp_path / "checkpoint.pth", weights_only=True)
    encoder = stgcn_from_public(checkpoint, name)
    assert_same_function(encoder, model, x)
    if bones is None:
        assert encoder.skeleton is skeleton
    else:
        assert encoder.skeleton.parents == Skeleton("x", skeleton.joints, bones).parents
    encoder.save_pretrained(tmp_path)
    assert_same_function(STGCN.from_pretrained(tmp_path), model, x)


def test_prefixes_old_statistics_and_missing_parts() -> None:
    _, adjacency = skeleton_parts("coco17")
    x = torch.randn(2, 3, 9, 17)
    model = trained(PublicSTGCN(adjacency, 3, True), x)
    state = {
        f"module.{key}": value
        for key, value in model.state_dict().items()
        if "num_batches_tracked" not in key and key != "A"  # as from an old version of torch
    }
    with pytest.raises(ValueError, match="give strategy"):
        stgcn_from_public(state, "coco17")
    encoder = stgcn_from_public(state, "coco17", strategy="spatial_stgcn")
    assert_same_function(encoder, model, x)
    model.data_bn = nn.Identity()
    assert_same_function(stgcn_from_public(model.state_dict(), "coco17"), model, x)


def test_own_strides() -> None:
    _, adjacency = skeleton_parts("coco17")
    x = torch.randn(2, 3, 9, 17)
    model = trained(PublicSTGCN(adjacency, 3, False), x)
    for conv in (model.st_gcn_networks[2].tcn[2], model.st_gcn_networks[2].residual[0]):
        conv.stride = (1, 1)
    encoder = stgcn_from_public(model.state_dict(), "coco17", plan=[(4, 1), (4, 1), (8, 1), (8, 1)])
    assert_same_function(encoder, model, x)


def test_pyskl_of_random_state_if_told_that_weights_multiply() -> None:
    _, adjacency = skeleton_parts("coco17")
    model = randomised(PYSKLSTGCN(adjacency, 3), kept="A")
    state = recognizer(model)
    with pytest.raises(ValueError, match=r"backbone\.gcn\.0\.gcn\.PA.*gcn_adaptive='importance'"):
        stgcn_from_public(state, "coco17")
    encoder = stgcn_from_public(state, "coco17", gcn_adaptive="importance")
    assert_same_function(encoder, model, torch.randn(2, 3, 9, 17))
    with pytest.raises(ValueError, match="gcn_adaptive='offset' has no equal in STGCN"):
        stgcn_from_public(state, "coco17", gcn_adaptive="offset")


@pytest.mark.parametrize("prefix", ["", "module.backbone."])
@pytest.mark.parametrize(
    ("adaptive", "message"),
    [
        ("init", r"gcn\.1\.gcn\.A is not {}gcn\.0\.gcn\.A, .*'init'"),
        ("offset", r"gcn\.0\.gcn\.PA is not constant.*'offset'"),
    ],
)
def test_refuses_learned_adjacencies(adaptive: str, message: str, prefix: str) -> None:
    _, adjacency = skeleton_parts("coco17")
    x = torch.randn(2, 3, 9, 17)
    model = trained(PYSKLSTGCN(adjacency, 3, adaptive), x)
    state = {prefix + key: value for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=f"^{prefix}{message.format(prefix)}"):
        stgcn_from_public(state, "coco17")


def test_refuses_offsets_without_a_stored_adjacency() -> None:
    _, adjacency = skeleton_parts("coco17")
    model = trained(PYSKLSTGCN(adjacency, 3, "offset"), torch.randn(2, 3, 9, 17))
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("gcn.A")}
    with pytest.raises(ValueError, match=r"^gcn\.0\.gcn\.PA is not constant"):
        stgcn_from_public(state, "coco17", strategy="spatial_stgcn")


@pytest.mark.parametrize(("network", "key"), [(PublicSTGCN, "A"), (PYSKLSTGCN, r"gcn\.0\.gcn\.A")])
def test_refuses_other_partitions(network: Any, key: str) -> None:
    other = torch.rand(3, 17, 17)
    state = {f"module.{k}": v for k, v in network(other, 3, None).state_dict().items()}
    with pytest.raises(ValueError, match=rf"^module\.{key}, .* is none of uniform, distance"):
        stgcn_from_public(state, "coco17")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "gcn.1.gcn.down.0.weight",
            r"gcn\.1\.gcn\.down\.0\.weight: nothing in STGCN.*aagcn_from_public",
        ),
        ("gcn.1.tcn.branches.0.0.weight", r"tcn\.branches.*stgcnpp_from_public reads networks"),
        ("gcn.1.tcn.conv.scale", r"gcn\.1\.tcn\.conv\.scale"),
        ("lstm.weight", r"lstm\.weight: nothing in STGCN is equal"),
    ],
)
def test_refuses_what_has_no_equal(key: str, message: str) -> None:
    _, adjacency = skeleton_parts("coco17")
    state = {**PYSKLSTGCN(adjacency, 3).state_dict(), key: torch.zeros(1)}
    with pytest.raises(ValueError, match=message):
        stgcn_from_public(state, "coco17")


def test_refuses_what_does_not_fit() -> None:
    _, adjacency = skeleton_parts("coco17")
    state = PYSKLSTGCN(adjacency, 3).state_dict()
    with pytest.raises(ValueError, match=r"the checkpoint has 17 joints, but skeleton 'ntu25'"):
        stgcn_from_public(state)
    with pytest.raises(ValueError, match="an empty checkpoint"):
        stgcn_from_public({"cls_head.fc_cls.weight": torch.zeros(1)}, "coco17")
    with pytest.raises(ValueError, match=r"lacks the temporal\.conv weights of block 2"):
        stgcn_from_public(
            {k: v for k, v in state.items() if k != "gcn.2.tcn.conv.weight"}, "coco17"
        )
    with pytest.raises(ValueError, match=r"(?s)does not fit.*blocks\.2\.spatial_norm\.bias"):
        stgcn_from_public({k: v for k, v in state.items() if k != "gcn.2.gcn.bn.bias"}, "coco17")
    two_bodies = nn.BatchNorm1d(2 * 3 * 17).state_dict(prefix="data_bn.")
    with pytest.raises(ValueError, match=r"(?s)for data_bn\.weight: .*takes two bodies at once"):
        stgcn_from_public({**state, **two_bodies}, "coco17")
    post = {"gcn.0.gcn.conv.weight": torch.zeros(4, 9, 1, 1)}
    with pytest.raises(ValueError, match=r"^gcn\.0\.gcn\.conv\.weight, .*\[4, 9, 1, 1\].*'post'"):
        stgcn_from_public({**state, **post}, "coco17")
