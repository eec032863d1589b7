"""Whether a fast path may replace the call of a module."""

from __future__ import annotations

import warnings

from torch import nn
from torch.nn.modules import module as torch_module

__all__ = ["behaves_as", "has_hooks", "warn_of_uncalled_hooks"]


def has_hooks(*modules: nn.Module | None) -> bool:
    """Whether any of these modules, or all modules at once, have hooks.

    A hook has to see what its module gets and makes, and may replace it; pruning, and the older
    forms of spectral and weight normalisation, compute weights in hooks. So a fast path that would
    not call a module steps aside.
    """
    return torch_module._has_any_global_hook() or any(
        _has_own_hooks(module) for module in modules if module is not None
    )


def warn_of_uncalled_hooks(model: nn.Module, caller: str) -> None:
    """Warn if a model has hooks of its own, where its encoder and its matcher are called in turn.

    Args:
        model: The model, which is not called.
        caller: What calls its parts instead.
    """
    if _has_own_hooks(model):
        warnings.warn(
            f"{caller} calls the encoder and the matcher of {type(model).__name__} one after the "
            "other, so hooks of the model itself are not called; register them on model.encoder "
            "or model.matcher",
            stacklevel=3,
        )


def _has_own_hooks(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def behaves_as(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a call of this module does what a class of PyTorch does and nothing else: nothing
    overrides its forward, it has no hooks, and its weights are plain tensors. They may be
    parametrised. Quantisation replaces the module, or its weight by a tensor of another class.
    """
    return (
        isinstance(module, kind)
        and type(module).forward is kind.forward
        and "forward" not in vars(module)
        and not has_hooks(module)
        and all(type(p) in (nn.Parameter, type(None)) for p in module._parameters.values())
    )
