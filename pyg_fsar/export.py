"""Encoders and fitted classifiers for places without Python: ``torch.export`` and ONNX."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from pyg_fsar.data import EmbeddedClips
from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.matching import Matcher
from pyg_fsar.nn import SkeletonEncoder
from pyg_fsar.nn.evaluation_mode import evaluation_mode

__all__ = ["Decision", "export_onnx", "export_program"]


class Decision(nn.Module):
    """A few-shot model with its support as one module: from bodies of clips to logits.

    Args:
        model: The model, such as ``classifier.model``.
        support: Embedded support clips with classes ``0..N-1`` as ``y``: ``classifier.support_``,
            or from :meth:`pyg_fsar.FewShotModel.embed`.

    Shapes:
        - **input:** ``[Q, M, T, V, C]``: clips of one length with the same number of bodies,
          prepared as the support was
        - **output:** ``[Q, N]``, higher is nearer

    Raises:
        TypeError: If it is no model, or its encoder is not a
            :class:`~pyg_fsar.nn.SkeletonEncoder`, which alone says what it takes.
        ValueError: If the support has no classes.

    Example:
        >>> decision = Decision(classifier.model, classifier.support_)  # doctest: +SKIP
        >>> export_onnx(decision, "decision.onnx")  # doctest: +SKIP
    """

    support: Tensor
    support_y: Tensor
    support_lengths: Tensor | None

    def __init__(self, model: FewShotModel, support: EmbeddedClips) -> None:
        super().__init__()
        if not isinstance(model, FewShotModel):
            raise TypeError(
                f"model must be a FewShotModel, got {type(model).__name__}; a classifier with the "
                "model of the package is made with it: model, transform = load_pretrained()"
            )
        if not hasattr(model.encoder, "skeleton"):
            raise TypeError(
                f"cannot export a model with encoder {type(model.encoder).__name__}; derive it "
                "from pyg_fsar.nn.SkeletonEncoder"
            )
        if support.y is None:
            raise ValueError("support clips have no classes; give support.with_y(classes)")
        self.model = model
        self.num_classes = int(support.y.max()) + 1
        matcher = model.matcher
        # Means or barycentres are computed once, not in the graph, unless that needs all shots.
        if isinstance(matcher, Matcher) and matcher.joint_shrinkage is None:
            with torch.no_grad():
                support = matcher.references(support, self.num_classes)
        self.register_buffer("support", support.x.detach().clone())
        self.register_buffer("support_y", cast(Tensor, support.y).clone())
        lengths = None if support.lengths is None else support.lengths.clone()
        self.register_buffer("support_lengths", lengths)

    @property
    def encoder(self) -> SkeletonEncoder:
        """The model's encoder."""
        return cast(SkeletonEncoder, self.model.encoder)

    def forward(self, bodies: Tensor) -> Tensor:
        """Logits of clips, as :meth:`pyg_fsar.FewShotModel.match` gives them."""
        embedded = self.encoder(bodies.flatten(0, 1)).unflatten(0, bodies.shape[:2]).mean(dim=1)
        support = EmbeddedClips(self.support, self.support_lengths, self.support_y)
        return self.model.match(support, EmbeddedClips(embedded), self.num_classes)


def export_program(
    model: SkeletonEncoder | Decision, num_frames: int = 30, any_frames: bool = True
) -> ExportedProgram:
    """Trace an encoder or a decision in evaluation mode, for any number of clips and bodies.

    The graph has PyTorch's own operators only: kernels of this package step aside while it traces.

    Args:
        model: What to trace; it stays in its mode.
        num_frames: Number of frames of the example clips; without ``any_frames``, of all clips.
        any_frames: Leave the number of frames open. It must be greater than the product of the
            encoder's temporal strides. Matchers that need clips of equal length, ``"protonet"``,
            ``"cosine"`` and ``"dastm"``, need False, and so do ``"koopman"`` and ``"jeanie"``.

    Raises:
        ImportError: If PyTorch is older than 2.8.
        TypeError: If it is neither an encoder nor a decision.
    """
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 8):
        raise ImportError(f"export needs PyTorch 2.8, this is {torch.__version__}; upgrade torch")
    if not isinstance(model, SkeletonEncoder | Decision):
        raise TypeError(
            f"cannot export {type(model).__name__}; give an encoder, or "
            "pyg_fsar.export.Decision(model, support)"
        )
    encoder = model.encoder if isinstance(model, Decision) else model
    stride = getattr(encoder, "stride", 1)
    if isinstance(model, Decision) and any_frames:
        # PyTorch takes sizes that are equal in the example for equal always.
        num_frames += stride * (-(-num_frames // stride) == model.support.size(1))
    like = next((p for p in encoder.parameters() if p.is_floating_point()), torch.empty(0))
    bodies = like.new_empty(2, num_frames, encoder.skeleton.num_joints, encoder.in_channels)
    axes = [Dim("bodies", min=1), Dim("frames", min=stride + 1)]
    if isinstance(model, Decision):
        bodies, axes = bodies.expand(3, -1, -1, -1, -1).clone(), [Dim("clips", min=1), *axes]
    if not any_frames:
        axes.pop()
    with evaluation_mode(model), torch.no_grad():
        return torch.export.export(
            model,
            (bodies.normal_(),),
            dynamic_shapes=(dict(enumerate(axes)),),
            # PyTorch cannot prove what holds of numbers of frames that strides round up. Asserts in
            # the graph check it when it runs.
            prefer_deferred_runtime_asserts_over_guards=True,
        )


def export_onnx(
    model: SkeletonEncoder | Decision,
    path: str | Path,
    num_frames: int = 30,
    any_frames: bool = True,
) -> ExportedProgram:
    """Write an encoder or a decision as an ONNX file.

    Its input is ``"bodies"``, its output ``"embedding"`` or ``"logits"``.

    Args:
        model: As for :func:`export_program`.
        path: The file, which usually ends in ``.onnx``.
        num_frames: As for :func:`export_program`.
        any_frames: As for :func:`export_program`.

    Returns:
        The traced program, for comparison.

    Raises:
        ImportError: If PyTorch is older than 2.8, or packages of the extra ``export`` are missing.
        torch.onnx.OnnxExporterError: If ONNX lacks an operator, such as the pseudo-inverse that
            ``"koopman"`` needs.
        TypeError: As for :func:`export_program`.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError('ONNX needs two more packages; pip install "pyg-fsar[export]"') from error
    program = export_program(model, num_frames, any_frames)
    # Where gradients are on, PyTorch's exporter prepares loops for them, and fails.
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter about its own code
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
