"""Encoders and decisions for places without Python: ``torch.export`` and ONNX."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from pyg_fsar.data import EmbeddedClips
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.nn import SkeletonEncoder
from pyg_fsar.nn.evaluation_mode import evaluation_mode

__all__ = ["Decision", "export_onnx", "export_program"]


class Decision(nn.Module):
    """A few-shot model with its support: from the bodies of one clip to the logits of the classes.

    Args:
        model: The model.
        support: Embedded support clips with classes ``0..N-1`` as ``y``, see
            :meth:`pyg_fsar.FewShotModel.embed`.

    Shapes:
        - **input:** ``[M, T, V, C]``, prepared as the support was
        - **output:** ``[N]``, higher is nearer

    Raises:
        ValueError: If the support has no classes.

    Example:
        >>> support = model.embed(clips).with_y(torch.tensor([0, 1]))
        >>> export_onnx(Decision(model, support), "decision.onnx")
    """

    support: Tensor
    support_y: Tensor
    support_lengths: Tensor | None

    def __init__(self, model: FewShotModel, support: EmbeddedClips) -> None:
        super().__init__()
        if support.y is None:
            raise ValueError("support clips have no classes; give support.with_y(classes)")
        self.model = model
        self.num_classes = int(support.y.max()) + 1
        self.register_buffer("support", support.x.detach().clone())
        self.register_buffer("support_y", support.y.clone())
        lengths = None if support.lengths is None else support.lengths.clone()
        self.register_buffer("support_lengths", lengths)

    @property
    def skeleton(self) -> Any:
        """Layout of the joints."""
        return self.model.encoder.skeleton

    @property
    def in_channels(self) -> Any:
        """Size of each input joint."""
        return self.model.encoder.in_channels

    @property
    def stride(self) -> Any:
        """Product of the encoder's temporal strides."""
        return getattr(self.model.encoder, "stride", 1)

    def forward(self, bodies: Tensor) -> Tensor:
        """Logits of one clip."""
        query = EmbeddedClips(self.model.encoder(bodies).mean(dim=0, keepdim=True))
        support = EmbeddedClips(self.support, self.support_lengths, self.support_y)
        return self.model.match(support, query, self.num_classes)[0]


def export_program(
    model: SkeletonEncoder | Decision, num_frames: int = 30, any_frames: bool = True
) -> ExportedProgram:
    """Trace an encoder or a decision in evaluation mode, for any number of bodies and frames.

    Only PyTorch's own operators remain: kernels of this package step aside while it traces.

    Args:
        model: What to trace; it stays in its mode.
        num_frames: Number of frames of the example, which is the only one then unless
            ``any_frames``.
        any_frames: Leave the number of frames open; it must be above the product of the encoder's
            temporal strides. ``"dastm"`` and ``"ngm"`` compare clips of one length alone and need
            False.

    Raises:
        TypeError: If it is neither an encoder nor a decision.
    """
    if not isinstance(model, SkeletonEncoder | Decision):
        raise TypeError(
            f"cannot export {type(model).__name__}; give an encoder, or "
            "pyg_fsar.export.Decision(model, support)"
        )
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    bodies = like.new_zeros(2, num_frames, model.skeleton.num_joints, model.in_channels).normal_()
    axes = {0: Dim("bodies", min=1)}
    if any_frames:
        axes[1] = Dim("frames", min=model.stride + 1)
    with evaluation_mode(model), torch.no_grad():
        return torch.export.export(
            model,
            (bodies,),
            dynamic_shapes=(axes,),
            # What PyTorch cannot prove of rounded-up numbers of frames is checked when it runs.
            prefer_deferred_runtime_asserts_over_guards=True,
        )


def export_onnx(
    model: SkeletonEncoder | Decision,
    path: str | Path,
    num_frames: int = 30,
    any_frames: bool = True,
) -> ExportedProgram:
    """Write an encoder or a decision as an ONNX file with one input ``"bodies"`` and one output.

    Its output is called ``"embedding"`` or ``"logits"``. The number of bodies is
    free.

    Args:
        model: As for :func:`export_program`.
        path: The file, which usually ends in ``.onnx``.
        num_frames: As for :func:`export_program`.
        any_frames: As for :func:`export_program`.

    Returns:
        The traced program, for comparison.

    Raises:
        ImportError: If the packages of the extra ``export`` are missing.
        TypeError: As for :func:`export_program`.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError('ONNX needs two more packages; pip install "pyg-fsar[export]"') from error
    program = export_program(model, num_frames, any_frames)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch's exporter about itself
        torch.onnx.export(
            program,
            f=str(path),
            input_names=["bodies"],
            output_names=["logits" if isinstance(model, Decision) else "embedding"],
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return program
