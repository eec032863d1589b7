"""An N-way K-shot task."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from pyg_fsar.data.sequence import MAX_COORDINATE, SkeletonSequence, stack_clips

__all__ = ["Episode"]


@dataclass
class Episode:
    r"""A few-shot task as plain tensors: ``N`` classes with ``K`` support clips each, and queries.

    Clips are numbered support first, then query. Bodies of all clips lie in one tensor, so the
    encoder runs once per episode and computes no body that is not there.

    Args:
        bodies: Bodies of all clips, zero padded in time if clips differ in length.
        body_to_clip: The clip that each body belongs to.
        lengths: True number of frames of each clip.
        support_y: Class of each support clip within the episode, ``0..N-1``.
        query_y: Class of each query clip within the episode.
        classes: The dataset's label of each of the ``N`` classes.
        skeleton: Name of the layout of the joints.

    Shapes:
        - **bodies:** ``[M, T, V, C]``, ``M`` being the number of bodies of all clips
        - **body_to_clip:** ``[M]``
        - **lengths:** ``[S + Q]``
        - **support_y:** ``[S]`` with ``S = N * K``
        - **query_y:** ``[Q]``
        - **classes:** ``[N]``

    Example:
        >>> episode = Episode.from_clips([clips[1], clips[2]], queries)
        >>> episode.bodies.shape
        torch.Size([4, 30, 25, 3])
        >>> episode.support_y, episode.query_y
        (tensor([0, 1]), tensor([1, 0]))
    """

    bodies: Tensor
    body_to_clip: Tensor
    lengths: Tensor
    support_y: Tensor
    query_y: Tensor
    classes: Tensor
    skeleton: str = "ntu25"
    #: Whether clips differ in length. A plain value, so that asking never waits for a device.
    ragged: bool = field(init=False)

    def __post_init__(self) -> None:
        self.ragged = bool((self.lengths != self.bodies.size(1)).any())

    @classmethod
    def from_clips(
        cls, support: Sequence[SkeletonSequence], query: Sequence[SkeletonSequence]
    ) -> Episode:
        """Make an episode of labelled clips; classes are numbered as they come in the support.

        Raises:
            ValueError: If support or query is empty, clips differ in skeleton, or a query's class
                has no support.
            FloatingPointError: If a value of a clip is NaN, infinite or beyond
                :data:`MAX_COORDINATE`.
        """
        if not support or not query:
            raise ValueError(
                f"an episode needs support and query clips, got {len(support)} and {len(query)}"
            )
        clips = [*support, *query]
        layouts = {clip.skeleton for clip in clips}
        if len(layouts) > 1:
            raise ValueError(f"clips of one episode have different skeletons: {sorted(layouts)}")
        for number, clip in enumerate(clips):
            if clip.y is None:
                role, position = (
                    ("support", number)
                    if number < len(support)
                    else ("query", number - len(support))
                )
                raise ValueError(
                    f"{role} clip {position} has no label; give one with "
                    "SkeletonSequence.from_bodies(..., y=label), or name unlabelled clips with "
                    "FewShotClassifier"
                )
        labels = [int(clip.y) for clip in clips]
        classes = list(dict.fromkeys(labels[: len(support)]))
        strangers = set(labels) - set(classes)
        if strangers:
            raise ValueError(
                f"query clips have classes {sorted(strangers)}, of which there is no support clip"
            )
        bodies, body_to_clip, lengths = stack_clips(clips)
        if not bool((bodies.abs() <= MAX_COORDINATE).all()):  # it would spoil running statistics
            fits = [bool((clip.x.abs() <= MAX_COORDINATE).all()) for clip in clips]
            number = fits.index(False)
            name = getattr(clips[number], "name", number)
            raise FloatingPointError(
                f"clip {name!s:.80} of an episode has values that are NaN, infinite or beyond "
                f"{MAX_COORDINATE:g}; look at what the transforms make of it"
            )
        y = torch.tensor([classes.index(label) for label in labels])
        return cls(
            bodies=bodies,
            body_to_clip=body_to_clip,
            lengths=lengths,
            support_y=y[: len(support)],
            query_y=y[len(support) :],
            classes=torch.tensor(classes),
            skeleton=layouts.pop(),
        )

    @property
    def num_support(self) -> int:
        """Number of support clips, ``S``."""
        return self.support_y.numel()

    @property
    def num_clips(self) -> int:
        """Number of clips, ``S + Q``."""
        return self.lengths.numel()

    def clip(self, number: int) -> SkeletonSequence:
        """One clip of the episode, without its padding.

        Args:
            number: Number of the clip, support clips first.
        """
        y = torch.cat([self.support_y, self.query_y])[number]
        return SkeletonSequence.from_bodies(
            self.bodies[self.body_to_clip == number, : int(self.lengths[number])],
            y=int(self.classes[y]),
            skeleton=self.skeleton,
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Episode:
        """The episode with its tensors on another device.

        ``lengths`` stays: the CPU asks it whether clips differ, and must not wait for a GPU.
        """
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking), {"lengths"})

    def pin_memory(self) -> Episode:
        """The episode in page-locked memory, as :class:`torch.utils.data.DataLoader` asks."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, function: Callable[[Tensor], Tensor], skip: Collection[str] = ()) -> Episode:
        tensors: dict[str, Any] = {
            item.name: function(getattr(self, item.name))
            for item in fields(self)
            if isinstance(getattr(self, item.name), Tensor) and item.name not in skip
        }
        return replace(self, **tensors)
