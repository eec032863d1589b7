"""Several encoders of one clip, each of which sees it in another way."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyg_fsar.nn.models.encoder import SkeletonEncoder
from pyg_fsar.nn.models.streams import STREAMS
from pyg_fsar.nn.pretrained import PretrainedModule

__all__ = ["MultiStream", "MultiStreamMatcher"]


class MultiStream(SkeletonEncoder):
    r"""Encoders of joints, bones and their motion side by side, after "Two-Stream Adaptive Graph
    Convolutional Networks for Skeleton-Based Action Recognition" (CVPR 2019), and with four streams
    its successors.

    The output holds each stream's embedding as a share of the channels.
    :class:`~pyg_fsar.nn.FewShotModel` matches every stream by a copy of its matcher and adds up
    their logits, see :class:`~pyg_fsar.nn.MultiStreamMatcher`.

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
        self._weights = _checked_weights(weights, len(streams))
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


class MultiStreamMatcher(PretrainedModule):
    r"""Matches each stream of an embedding on its own and adds up the logits.

    :class:`~pyg_fsar.nn.FewShotModel` makes one where the encoder has an attribute
    ``num_streams``, as :class:`~pyg_fsar.nn.MultiStream` has.

    Args:
        matcher: Any matcher; every stream has a copy.
        num_streams: Number of streams, ``S``, which share the channels equally.
        weights: Factor of each stream's logits; 1 if not given. The attribute of the same name may
            be set at any time and is part of the state.

    Shapes:
        - **input:** as the matcher's, with clips :math:`(B, T', V, S \, C')`
        - **output:** as the matcher's

    Raises:
        ValueError: If weights do not fit.
    """

    def __init__(
        self, matcher: nn.Module, num_streams: int, weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.matchers = nn.ModuleList([matcher])
        self.matchers.extend(copy.deepcopy(matcher) for _ in range(num_streams - 1))
        self._weights = _checked_weights(weights, num_streams)

    @property
    def weights(self) -> tuple[float, ...]:
        """Factor of each stream's logits."""
        return self._weights

    @weights.setter
    def weights(self, weights: Sequence[float] | None) -> None:
        self._weights = _checked_weights(weights, len(self.matchers))

    def get_extra_state(self) -> Tensor:
        """The weights, for the state."""
        # The bits as integers, which no conversion of the state to another precision rounds.
        return torch.tensor(self.weights, dtype=torch.float64).view(torch.int64)

    def set_extra_state(self, state: Tensor) -> None:
        """Take the weights from the state."""
        self.weights = state.cpu().view(torch.float64).tolist()

    @property
    def penalty(self) -> nn.Module | None:
        """The matcher's own regulariser."""
        return getattr(self.matchers[0], "penalty", None)

    def forward(
        self, support: Tensor, support_y: Tensor, query: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Logits of the queries over the classes; arguments as for
        :class:`~pyg_fsar.matching.Matcher`.

        Raises:
            ValueError: If channels do not divide among the streams, or as the matcher.
        """
        parts = self.split(support), self.split(query)
        each = zip(self.weights, self.matchers, *parts, strict=True)
        logits = [w * match(s, support_y, q, *args, **kwargs) for w, match, s, q in each]
        return torch.stack(logits).sum(dim=0)

    def split(self, embedded: Tensor) -> Tensor:
        r"""Each stream's share of the channels.

        Shapes:
            - **embedded:** :math:`(*, S \, C')`
            - **output:** :math:`(S, *, C')`

        Raises:
            ValueError: If channels do not divide among the streams.
        """
        num_streams = len(self.matchers)
        if embedded.size(-1) % num_streams:
            raise ValueError(
                f"{embedded.size(-1)} channels do not divide among {num_streams} streams; encode "
                "with MultiStream"
            )
        return embedded.unflatten(-1, (num_streams, -1)).movedim(-2, 0)

    def align(self, query: Tensor, support: Tensor) -> Any:
        r"""Weighted mean of the streams' alignments, as
        :meth:`pyg_fsar.matching.Matcher.align` gives them.

        Shapes:
            - **query:** :math:`(T, V, S \, C')`
            - **support:** :math:`(T', V, S \, C')`
        """
        each = zip(self.matchers, self.split(query), self.split(support), strict=True)
        alignments = [matcher.align(q, s) for matcher, q, s in each]  # type: ignore[operator]
        shares = [weight / sum(self.weights) for weight in self.weights]
        means = (
            sum(share * value for share, value in zip(shares, values, strict=True))
            for values in zip(*alignments, strict=True)
        )
        return type(alignments[0])(*means)

    def extra_repr(self) -> str:
        """Options shown by ``print``."""
        return f"weights={self.weights}"


def _checked_weights(weights: Sequence[float] | None, num_streams: int) -> tuple[float, ...]:
    weights = (1.0,) * num_streams if weights is None else tuple(map(float, weights))
    if len(weights) != num_streams or not all(0 <= weight < math.inf for weight in weights):
        raise ValueError(
            f"weights must be {num_streams} numbers of at least 0, one for each stream, got "
            f"{weights}"
        )
    if not sum(weights):
        raise ValueError("at least one stream must have a weight above 0")
    return weights
