"""Several encoders, each with another stream of the same clip as input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyg_fsar.nn.models.encoder import SkeletonEncoder
from pyg_fsar.nn.models.streams import STREAMS, stream_weights

__all__ = ["MultiStream"]


class MultiStream(SkeletonEncoder):
    r"""Encoders of joints, bones and their motion side by side, after "Two-Stream Adaptive Graph
    Convolutional Networks for Skeleton-Based Action Recognition" (CVPR 2019), and with four streams
    its successors.

    The output holds each stream's embedding as a fraction of the channels.
    :class:`~pyg_fsar.FewShotModel` matches every stream by a copy of its matcher and adds up their
    logits, see
    :class:`~pyg_fsar.matching.MultiStreamMatcher`.

    Bones and motion are those of :class:`~pyg_fsar.transforms.JointsToBones` and
    :class:`~pyg_fsar.transforms.JointsToMotion`. A joint at the origin counts as missing, except
    the skeleton's centre if there is no score beside it, since clips usually are centred on it.

    Args:
        encoder_factory: Makes one encoder, without arguments; called once for each stream in turn.
            A :func:`functools.partial` can be saved, see :class:`~pyg_fsar.nn.PretrainedModule`; a
            ``lambda`` cannot. ``iter([first, second]).__next__`` joins encoders that were trained
            apart.
        streams: Any of ``"joint"``, ``"bone"``, ``"joint_motion"`` and ``"bone_motion"``, or what
            was added to :data:`~pyg_fsar.nn.STREAMS`.
        weights: Factor of each stream's logits; 1 if not given. A model made with the encoder
            starts from them, and later ones are set on its matcher, as below.

    Shapes:
        - **input:** :math:`(B, T, V, C)`
        - **output:** :math:`(B, T', V, S \, C')` for :math:`S` streams

    Raises:
        ValueError: If a stream is unknown or none is given, or weights do not fit.
        TypeError: If ``encoder_factory`` does not make encoders with attributes ``skeleton``,
            ``in_channels`` and ``out_channels``.

    Example:
        >>> encoder = MultiStream(partial(AGCN, "ntu25"), streams=("joint", "bone"))
        >>> model = FewShotModel(encoder, build_matcher("soft_dtw"))
        >>> model.matcher.weights = (2.0, 1.0)  # at any time, and saved with the model
    """

    def __init__(
        self,
        encoder_factory: Callable[[], nn.Module],
        streams: Sequence[str] = ("joint", "bone", "joint_motion", "bone_motion"),
        weights: Sequence[float] | None = None,
    ) -> None:
        streams = (streams,) if isinstance(streams, str) else tuple(streams)
        if not streams or not STREAMS.keys() >= set(streams):
            raise ValueError(f"streams must be one or more of {', '.join(STREAMS)}, got {streams}")
        if isinstance(encoder_factory, nn.Module):
            raise TypeError(
                f"encoder_factory is one {type(encoder_factory).__name__}, but every stream needs "
                "its own; give a function that makes them, such as partial(STGCN, 'ntu25')"
            )
        encoders: list[Any] = [encoder_factory() for _ in streams]
        for attribute in ("skeleton", "in_channels", "out_channels"):
            if not hasattr(encoders[0], attribute):
                raise TypeError(
                    f"encoder_factory made {type(encoders[0]).__name__} without attribute "
                    f"'{attribute}'; derive it from pyg_fsar.nn.SkeletonEncoder"
                )
        super().__init__(
            encoders[0].skeleton,
            encoders[0].in_channels,
            sum(encoder.out_channels for encoder in encoders),
            stride=getattr(encoders[0], "stride", 1),
            input_norm=None,
        )
        self.streams = streams
        self._weights = stream_weights(weights, len(streams))
        self.encoders = nn.ModuleList(encoders)
        parts = [*encoders, *(STREAMS[name] for name in streams)]
        self.mixes_frames = any(getattr(part, "mixes_frames", True) for part in parts)

    @property
    def num_streams(self) -> int:
        """Number of streams, ``S``."""
        return len(self.streams)

    @property
    def weights(self) -> tuple[float, ...]:
        """Factor of each stream's logits that a model made with this encoder starts from."""
        return self._weights

    @weights.setter
    def weights(self, weights: Sequence[float]) -> None:
        raise AttributeError(
            "weights of streams belong to the matcher once a model is made; set "
            "model.matcher.weights, or give them to the constructor: MultiStream(..., weights=...)"
        )

    def encode(self, x: Tensor) -> Tensor:
        """Encode every stream."""
        streams = zip(self.encoders, self.streams, strict=True)
        return torch.cat([encoder(self.stream(x, name)) for encoder, name in streams], dim=-1)

    def stream(self, x: Tensor, name: str) -> Tensor:
        """What the encoder of a stream gets.

        Args:
            x: Joints.
            name: Name of the stream.

        Shapes:
            - **x, output:** :math:`(B, T, V, C)`
        """
        return STREAMS[name](x, self.skeleton)

    def extra_repr(self) -> str:
        """What the representation adds to the channels."""
        return f"streams={self.streams}, encoder={type(self.encoders[0]).__name__}"
