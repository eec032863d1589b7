"""Fast paths step aside for hooks, pruned and parametrised weights, and replaced modules: one test
over all encoders and all their leaf modules.
"""

from __future__ import annotations

import copy
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parameters_to_vector, prune, vector_to_parameters
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from pyg_fsar import nn as ours
from pyg_fsar.kernels import use_backend

# Large enough for every fast path.
OPTIONS = {
    "plan": [(128, 1), (144, 2)],
    "num_scales": 4,
    "num_window_scales": 3,
    "hidden_channels": 16,
    "dropout": 0.0,
}


def encoder(cls: type[nn.Module]) -> nn.Module:
    taken = inspect.signature(cls).parameters
    return cls("coco17", **{name: value for name, value in OPTIONS.items() if name in taken})


ENCODERS: dict[str, Callable[[], nn.Module]] = {
    name: partial(encoder, cls)
    for name, cls in vars(ours).items()
    if inspect.isclass(cls)
    and issubclass(cls, ours.SkeletonEncoder)
    and cls not in (ours.SkeletonEncoder, ours.MotionFeatures)  # which have no weights
    and not inspect.signature(cls).parameters.keys() & {"gnn", "block", "encoder", "make"}
}
ENCODERS["MultiStream"] = lambda: ours.MultiStream(
    partial(ours.STGCN, "coco17", plan=[(128, 1), (128, 1)], dropout=0.0), ("joint", "bone")
)
each_encoder = pytest.mark.parametrize("make", ENCODERS.values(), ids=list(ENCODERS))
BOTH_MODES = pytest.mark.parametrize("training", [True, False])


def made(make: Callable[[], nn.Module], training: bool = True) -> nn.Module:
    model = make().train(training)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):  # some begin next to zero
            nn.init.uniform_(module.weight, 0.5, 2)
    return model


def leaves(model: nn.Module) -> dict[str, nn.Module]:
    """Modules that compute something themselves."""
    found = {}
    for name, module in model.named_modules():
        inner = [name for name, _ in module.named_children() if name != "aggr_module"]
        unused = isinstance(model, ours.SkeletonLSTM | ours.MultiStream) and name == "drop_edge"
        unused = unused or name.endswith("aggr_module") or isinstance(module, nn.ParameterList)
        if name and not inner and not unused:
            found[name] = module
    return found


def clips() -> Tensor:
    return torch.randn(2, 8, 17, 3, generator=torch.Generator().manual_seed(1))


def step(model: nn.Module) -> list[Tensor]:
    """Output and gradients."""
    out = model(clips())
    out.cos().square().mean().backward()
    return [out.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]


def reference(module: nn.Module, x: Tensor) -> Tensor | None:
    """What a leaf of PyTorch makes, by its function."""
    if isinstance(module, nn.Conv2d):
        options = module.stride, module.padding, module.dilation
        return F.conv2d(x, module.weight, module.bias, *options)
    if isinstance(module, nn.BatchNorm1d):
        mean, variance = module.running_mean.clone(), module.running_var.clone()
        weights = module.weight, module.bias, module.training
        return F.batch_norm(x, mean, variance, *weights, eps=module.eps)
    if isinstance(module, nn.Linear):
        return F.linear(x, module.weight, module.bias)
    return x if isinstance(module, nn.Dropout | nn.Identity) else None


@each_encoder
@BOTH_MODES
def test_hooks_of_every_leaf_fire_and_see_what_it_made(make: Callable, training: bool) -> None:
    model = made(make, training)
    plain = copy.deepcopy(model)
    calls: dict[str, Counter[str]] = {kind: Counter() for kind in ("before", "after", "back")}
    seen: list[tuple[str, Tensor, Tensor]] = []

    def before(name: str, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        calls["before"][name] += 1

    def after(name: str, module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        calls["after"][name] += 1
        seen.append((name, out, out.detach().clone()))
        with torch.no_grad():
            expected = reference(module, args[0])
        if expected is not None:
            torch.testing.assert_close(out.detach(), expected, rtol=1e-3, atol=1e-3)

    def back(name: str, module: nn.Module, *grads: tuple[Tensor, ...]) -> None:
        calls["back"][name] += 1

    for name, module in leaves(model).items():
        module.register_forward_pre_hook(partial(before, name))
        module.register_forward_hook(partial(after, name))
        if list(module.parameters()):
            module.register_full_backward_hook(partial(back, name))
    results = step(model)

    with use_backend("vectorised"):
        expected, counts = step_and_calls(plain)
    assert calls["before"] == calls["after"] == counts and set(counts) == set(leaves(model))
    weighted = {name for name, module in leaves(model).items() if list(module.parameters())}
    assert calls["back"] == Counter({name: counts[name] for name in weighted})
    for name, kept, copied in seen:
        assert torch.equal(kept, copied), f"{name} was overwritten"
    torch.testing.assert_close(results, expected, rtol=1e-2, atol=1e-3)


def step_and_calls(model: nn.Module) -> tuple[list[Tensor], Counter[str]]:
    """A step, and how often each leaf was called."""
    names = {module: name for name, module in leaves(model).items()}
    calls: Counter[str] = Counter()

    def count(module: nn.Module, *_: object) -> None:
        if module in names:
            calls[names[module]] += 1

    handle = register_module_forward_hook(count)
    try:
        return step(model), calls
    finally:
        handle.remove()


@each_encoder
def test_replaced_forwards_are_called(make: Callable) -> None:
    model = made(make)
    called: set[str] = set()
    for name, module in leaves(model).items():
        kind = type(module)

        def forward(self: nn.Module, *args: Tensor, kind=kind, name=name) -> Tensor:
            called.add(name)
            return kind.forward(self, *args)

        module.__class__ = type(f"Own{kind.__name__}", (kind,), {"forward": forward})
    step(model)
    assert called == set(leaves(model))


def weighted(model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    for module in leaves(model).values():
        for name, weight in list(module.named_parameters(recurse=False)):
            if weight.dim() >= 2 and not isinstance(module, nn.RNNBase):
                yield module, name


CHANGES: dict[str, Callable[[nn.Module, str], object]] = {
    "l1_unstructured": lambda module, name: prune.l1_unstructured(module, name, amount=0.5),
    "spectral_norm": spectral_norm,
    "weight_norm": weight_norm,
    "old spectral_norm": nn.utils.spectral_norm,
}


@each_encoder
@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
@pytest.mark.filterwarnings("ignore:.*spectral_norm.*:FutureWarning")
def test_changed_weights_are_used_and_trained(make: Callable, change: Callable) -> None:
    model = made(make)
    before = step(model)[0]
    changed = list(weighted(model))
    for module, name in changed:
        change(module, name)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(2):
        optimizer.zero_grad()
        out, *grads = step(model)
        optimizer.step()
    assert not torch.equal(out, before)
    assert out.isfinite().all() and all(grad.isfinite().all() for grad in grads)
    model.eval()
    out = model(clips())
    same = made(make, training=False)  # with the weights that the other has computed
    own = dict(same.named_modules())
    for name, module in model.named_modules():
        if name in own and not name.endswith("parametrizations"):
            for key in (*own[name]._parameters, *own[name]._buffers):
                value = getattr(module, key)
                if value is not None:
                    getattr(own[name], key).data.copy_(value)
    torch.testing.assert_close(same(clips()), out, rtol=1e-3, atol=1e-4)


@each_encoder
def test_weights_may_be_one_vector(make: Callable) -> None:
    model = made(make)
    vector = parameters_to_vector(model.parameters())
    vector_to_parameters(vector.detach() * 0.5, model.parameters())
    torch.testing.assert_close(parameters_to_vector(model.parameters()), vector * 0.5)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model(clips()).square().mean()
        loss.backward()
        return loss

    first = optimizer.step(closure)
    assert float(closure()) < float(first)


def test_a_norm_that_gives_its_input_back_does_not_change_it() -> None:
    from pyg_fsar.nn.norm.apply_norm import apply_norm

    for norm, dropout in ((nn.Identity(), None), (nn.Identity(), nn.Dropout(0.0))):
        x = torch.randn(2, 3, 16)
        kept = x.clone()
        torch.testing.assert_close(apply_norm(x, norm, dropout, relu=True), kept.relu())
        assert torch.equal(x, kept)
