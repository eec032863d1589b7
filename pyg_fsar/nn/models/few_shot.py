"""Encoder and matcher, joined."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from pyg_fsar.nn.models.multi_stream import MultiStreamMatcher
from pyg_fsar.nn.pretrained import PretrainedModule

__all__ = ["FewShotModel"]


class FewShotModel(PretrainedModule):
    r"""Names the queries of an episode: encode every body, average bodies, match clips.

    Args:
        encoder: Any encoder, ``[M, T, V, C] -> [M, T', V, C']``. :class:`torch.nn.Identity` makes
            a training-free baseline that matches the joints themselves.
        matcher: Any matcher, see :class:`~pyg_fsar.matching.Matcher`. The streams of a
            :class:`~pyg_fsar.nn.MultiStream` each get a copy and their logits are added, see
            :class:`~pyg_fsar.nn.MultiStreamMatcher`.
        penalty: Regulariser of the embeddings such as :class:`~pyg_fsar.nn.RankMax`; the matcher's
            own if not given. It counts in training only. As in Ma et al. (ECCV 2022) its values for
            the prototypes and for the queries are added; for the support clips in place of
            prototypes if clips differ in length. It gets the streams of a
            :class:`~pyg_fsar.nn.MultiStream` as frames of their own.

    Raises:
        TypeError: If encoder or matcher cannot be called, as the name of one cannot.

    Example:
        >>> model = FewShotModel(STGCN("ntu25"), build_matcher("soft_dtw"), RankMax())
        >>> logits, penalty = model(*episode.inputs())
    """

    def __init__(
        self, encoder: nn.Module, matcher: nn.Module, penalty: nn.Module | None = None
    ) -> None:
        super().__init__()
        for role, part in (("encoder", encoder), ("matcher", matcher)):
            if not callable(part):
                raise TypeError(
                    f"{role} must be a torch.nn.Module, got {part!r}; make one, such as "
                    "FewShotModel(STGCN('ntu25'), build_matcher('dtw'))"
                )
        self.encoder = encoder
        self.penalty = getattr(matcher, "penalty", None) if penalty is None else penalty
        streams: Any = encoder
        if hasattr(streams, "num_streams") and not isinstance(matcher, MultiStreamMatcher):
            matcher = MultiStreamMatcher(matcher, streams.num_streams, streams.weights)
        self.matcher = matcher

    def embed(
        self,
        bodies: Tensor,
        body_to_clip: Tensor,
        num_clips: int,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Embeddings of clips: the mean over each clip's encoded bodies.

        They are computed in the precision of the model's weights. Clips that differ in length need
        an encoder that treats every frame on its own, such as
        :class:`~pyg_fsar.nn.FrameEncoder`: one that mixes frames mixes padding in.

        Args:
            bodies: Bodies of all clips.
            body_to_clip: The clip each body belongs to, ascending.
            num_clips: Number of clips, ``B``.
            lengths: Number of frames of each clip if they differ.

        Shapes:
            - **bodies:** ``[M, T, V, C]``
            - **body_to_clip:** ``[M]``
            - **lengths:** ``[B]``
            - **output:** ``[B, T', V, C']``

        Raises:
            ValueError: If clips differ in length and the encoder changes the number of frames.
        """
        weight = next(self.parameters(), None)
        embedded = self.encoder(bodies if weight is None else bodies.to(weight.dtype))
        if lengths is not None and embedded.size(1) != bodies.size(1):
            raise ValueError(
                f"clips differ in length, but {type(self.encoder).__name__} makes "
                f"{embedded.size(1)} frames of {bodies.size(1)}, padding included; resample all "
                "clips to one length (pyg_fsar.transforms.ResampleFrames)"
            )
        if embedded.size(0) == num_clips:  # one body each, nothing to average
            return embedded
        return scatter(embedded, body_to_clip, dim=0, dim_size=num_clips, reduce="mean")

    def forward(
        self,
        bodies: Tensor,
        body_to_clip: Tensor,
        support_y: Tensor,
        num_clips: int,
        n_way: int,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Logits of the queries over the episode's classes, and the penalty of the embeddings.

        Takes the values of :meth:`pyg_fsar.data.Episode.inputs`.

        Args:
            bodies: Bodies of all clips, those of support clips first.
            body_to_clip: The clip each body belongs to, ascending.
            support_y: Class of each support clip, ``0..N-1``.
            num_clips: Number of support and query clips.
            n_way: Number of classes, ``N``.
            lengths: Number of frames of each clip if they differ.

        Shapes:
            - **bodies:** ``[M, T, V, C]``
            - **body_to_clip:** ``[M]``
            - **support_y:** ``[S]``
            - **lengths:** ``[S + Q]``
            - **output:** ``[Q, N]`` and a scalar, 0 in evaluation and without a regulariser

        Raises:
            ValueError: If clips differ in length and the encoder changes the number of frames.
        """
        embedded = self.embed(bodies, body_to_clip, num_clips, lengths)
        sizes = [support_y.size(0), num_clips - support_y.size(0)]
        # Unlike those of two slices, the gradients of a split are put together in one go.
        support, query = embedded.split(sizes)
        support_lengths = query_lengths = None
        if lengths is not None:
            support_lengths, query_lengths = lengths.split(sizes)
        logits = self.matcher(
            support, support_y, query, support_lengths, query_lengths, n_way=n_way
        )

        penalty = embedded.new_zeros(())
        if self.penalty is not None and self.training:
            if support_lengths is None or query_lengths is None:
                support = scatter(support, support_y, dim=0, dim_size=n_way, reduce="mean")
            else:  # clips that differ in length have no mean, and their padding does not count
                support, query = _frames(support, support_lengths), _frames(query, query_lengths)
            if isinstance(self.matcher, MultiStreamMatcher):
                support, query = self.matcher.split(support), self.matcher.split(query)
            penalty = self.penalty(support) + self.penalty(query)
        return logits, penalty


def _frames(clips: Tensor, lengths: Tensor) -> Tensor:
    """Frames of padded clips, ``[B, T, V, C] -> [F, V, C]``."""
    return clips[torch.arange(clips.size(1), device=clips.device) < lengths[:, None]]
