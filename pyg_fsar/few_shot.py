"""The few-shot model: an encoder, a matcher and a penalty of the embeddings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from pyg_fsar.data import EmbeddedClips, Episode, SkeletonSequence, stack_clips
from pyg_fsar.data.texts import shorten
from pyg_fsar.matching import (
    match,
    match_streams,
    match_views,
    matcher_penalty,
    mean_prototypes,
)
from pyg_fsar.nn import PretrainedModule

__all__ = ["EpisodeOutput", "FewShotModel"]


class EpisodeOutput(NamedTuple):
    """What a :class:`FewShotModel` says of an episode.

    Shapes:
        - **logits:** ``[Q, N]``, higher is nearer
        - **penalty:** ``[]``, that of the model and that of its matcher, 0 in evaluation and where
          there is none
    """

    logits: Tensor
    penalty: Tensor


class FewShotModel(PretrainedModule):
    r"""Names the queries of an episode: encode every body, average bodies, match clips.

    Evaluation and the classifier encode and match apart from each other, by :meth:`embed` and
    :meth:`match`. They call the encoder and the matcher with their hooks, but not the model itself,
    and warn of hooks that it has.

    Args:
        encoder: Any encoder, ``[M, T, V, C] -> [M, T', V, C']``. :class:`torch.nn.Identity` makes
            an untrained baseline that matches the joints themselves.
        matcher: Any matcher, see :data:`~pyg_fsar.matching.MATCHERS`. Where the encoder has an
            attribute ``num_streams``, as :class:`~pyg_fsar.nn.MultiStream` has, and the matcher has
            none, each stream gets a copy of the matcher, see
            :func:`~pyg_fsar.matching.match_streams`. Where the matcher compares views of 3D clips,
            as ``"views"`` and ``"jeanie"`` do, the encoder becomes a
            :class:`~pyg_fsar.nn.MultiView` and the matcher a
            :class:`~pyg_fsar.matching.MultiViewMatcher`.
        penalty: Regulariser of the embeddings such as :class:`~pyg_fsar.nn.RankMax`, computed in
            training only. As in Ma et al. (ECCV 2022) its values for the prototypes and for the
            queries are added; clips that differ in length are penalised one by one instead. It gets
            the streams of an encoder as frames of their own.
        temperature: Logits are the matcher's divided by this, which changes probabilities, not
            which class is most probable; see :func:`pyg_fsar.training.calibrate`.

    Raises:
        TypeError: If encoder, matcher or penalty is no module, but a name or a class, for instance.
        ValueError: If the temperature is not positive; if the matcher compares views and the
            encoder is for 2D clips, has several streams or makes other views; or if the encoder
            makes views and the matcher compares none.

    Example:
        >>> model = FewShotModel(STGCN("ntu25"), build_matcher("soft_dtw"), RankMax())
        >>> logits, penalty = model(episode)
    """

    def __init__(
        self,
        encoder: nn.Module,
        matcher: nn.Module,
        penalty: nn.Module | None = None,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature must be a positive number, got {temperature}")
        parts = {"encoder": encoder, "matcher": matcher, "penalty": penalty}
        for role, part in parts.items():
            if not isinstance(part, nn.Module) and not (role == "penalty" and part is None):
                raise TypeError(
                    f"{role} must be a torch.nn.Module, got {shorten(repr(part), 80)}; make one, "
                    "such as FewShotModel(STGCN('ntu25'), build_matcher('dtw'), RankMax())"
                )
        encoder, matcher = match_views(encoder, matcher)
        self.encoder = encoder
        streams: Any = encoder
        if hasattr(streams, "num_streams") and not hasattr(matcher, "num_streams"):
            matcher = match_streams(matcher, streams.num_streams, streams.weights)
        self.matcher = matcher
        self.penalty = penalty
        self.temperature = temperature

    def forward(self, episode: Episode) -> EpisodeOutput:
        """Logits of the queries over the episode's classes, and the penalty of the embeddings.

        Args:
            episode: An episode on the model's device.

        Raises:
            ValueError: If the matcher cannot compare clips of different lengths, and these do.
        """
        return self.match_episode(self.embed(episode), episode)

    def match_episode(self, embedded: EmbeddedClips, episode: Episode) -> EpisodeOutput:
        """What :meth:`forward` says of an episode whose clips are embedded already.

        Args:
            embedded: What :meth:`embed` makes of the episode.
            episode: The episode.
        """
        num_support = episode.num_support
        support, query = embedded.split([num_support, len(embedded) - num_support])
        support = support.with_y(episode.support_y)
        n_way = episode.classes.numel()
        logits = self.match(support, query, n_way)
        if not self.training:
            return EpisodeOutput(logits, embedded.x.new_zeros(()))
        penalty = matcher_penalty(self.matcher, support, query, n_way)
        if self.penalty is not None:
            if embedded.lengths is None:
                references = [mean_prototypes(support, n_way).x, query.x]
            else:  # clips of different lengths have no mean, and padding must not count
                references = [support.frames, query.frames]
            penalty = penalty + sum(self.penalty(self._streams(x)) for x in references)
        return EpisodeOutput(logits, penalty)

    def embed(
        self, clips: Episode | SkeletonSequence | Sequence[SkeletonSequence]
    ) -> EmbeddedClips:
        """Embed clips: the mean over each clip's encoded bodies.

        Computed in the precision of the model's weights. Where clips differ in length, no encoder
        sees padding: one that mixes frames (attribute ``mixes_frames``, assumed where it is
        missing) encodes clips of each length apart, any other encodes the true frames alone. So
        each clip is embedded exactly as it would be alone.

        Args:
            clips: An episode, a clip, or several clips. Clips are moved to the model's device, an
                episode is expected there.

        Raises:
            ValueError: If there is no clip, or clips differ in joints or channels.
        """
        weight = next(self.parameters(), None)
        if isinstance(clips, Episode):
            layouts = {clips.skeleton}
            bodies, body_to_clip, lengths = clips.bodies, clips.body_to_clip, clips.lengths
            ragged = clips.ragged
        else:
            clips = [clips] if isinstance(clips, SkeletonSequence) else list(clips)
            layouts = {clip.skeleton for clip in clips}
            bodies, body_to_clip, lengths = stack_clips(clips)
            ragged = len(clips) > 1 and bool((lengths != bodies.size(1)).any())
            if weight is not None:
                bodies, body_to_clip = bodies.to(weight.device), body_to_clip.to(weight.device)
        if hasattr(self.encoder, "check_skeleton"):
            for layout in layouts:
                self.encoder.check_skeleton(layout)  # type: ignore[operator]
        if weight is not None:
            bodies = bodies.to(weight.dtype)
        new_lengths = None
        if not ragged:
            embedded = self.encoder(bodies)
        else:
            of_body = lengths.to(body_to_clip.device)[body_to_clip]
            embedded, frames_of = _encode_ragged(self.encoder, bodies, of_body, lengths)
            new_lengths = torch.tensor([frames_of[length] for length in lengths.tolist()])
            new_lengths = new_lengths.to(embedded.device)
        if embedded.size(0) != len(lengths):  # otherwise one body each, and nothing to average
            embedded = scatter(embedded, body_to_clip, dim=0, dim_size=len(lengths), reduce="mean")
        return EmbeddedClips(embedded, new_lengths)

    def match(
        self, support: EmbeddedClips, query: EmbeddedClips, n_way: int | None = None
    ) -> Tensor:
        """Logits of embedded queries over the classes of the embedded support.

        Args:
            support: Support clips with classes ``0..N-1`` as ``y``.
            query: Query clips.
            n_way: Number of classes, ``N``; read from the support if not given.

        Shapes:
            - **output:** ``[Q, N]``
        """
        logits = match(self.matcher, support, query, n_way)
        return logits if self.temperature == 1 else logits / self.temperature

    def _streams(self, x: Tensor) -> Tensor:
        """Streams or views as clips of their own, ``[..., V, S * C'] -> [S, ..., V, C']``."""
        parts = getattr(self.encoder, "num_streams", getattr(self.encoder, "num_views", None))
        return x if parts is None else x.unflatten(-1, (parts, -1)).movedim(-2, 0)


def _encode_ragged(
    encoder: nn.Module, bodies: Tensor, of_body: Tensor, lengths: Tensor
) -> tuple[Tensor, dict[int, int]]:
    """Encode padded bodies without their padding.

    Args:
        encoder: The encoder.
        bodies: Padded bodies, ``[M, T, V, C]``.
        of_body: Number of frames of each body, ``[M]``, on the device of the bodies.
        lengths: Number of frames of each clip, on the CPU.

    Returns:
        Embedded bodies, zero padded, and how many frames the encoder makes of each length.
    """
    distinct = sorted(set(lengths.tolist()))
    if not getattr(encoder, "mixes_frames", not isinstance(encoder, nn.Identity)):
        real = torch.arange(bodies.size(1), device=bodies.device) < of_body[:, None]
        frames = encoder(bodies[real][:, None])[:, 0]
        out = frames.new_zeros(*bodies.shape[:2], *frames.shape[1:])
        out[real] = frames
        return out, {length: length for length in distinct}
    groups = {length: (of_body == length).nonzero().flatten() for length in distinct}
    encoded = {length: encoder(bodies[rows, :length]) for length, rows in groups.items()}
    frames_of = {length: part.size(1) for length, part in encoded.items()}
    some = encoded[distinct[-1]]
    out = some.new_zeros(len(bodies), max(frames_of.values()), *some.shape[2:])
    for length, rows in groups.items():
        out[rows, : frames_of[length]] = encoded[length]
    return out, frames_of
