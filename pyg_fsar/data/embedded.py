"""The value of embedded clips: what an encoder makes, and what matchers compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["EmbeddedClips", "can_read"]


def can_read(x: Tensor) -> bool:
    """Whether values can be checked without waiting for a device or breaking a compiled graph."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


@dataclass(frozen=True, eq=False)
class EmbeddedClips:
    r"""Embedded clips, padded in time if they differ in length.

    :meth:`pyg_fsar.FewShotModel.embed` makes it; models, matchers, evaluation and classifier pass
    it on. Shapes and dtypes are checked here, once. Values of ``lengths`` are checked on the CPU
    only, and not in a compiled graph, where reading them would wait for the device.

    Args:
        x: Embeddings; what lies beyond a clip's length is never read.
        lengths: True number of frames of each clip; None if no clip is padded.
        y: Class of each clip; None if the clips are not labelled.

    Shapes:
        - **x:** ``[B, T', V, C']``
        - **lengths, y:** ``[B]``, any integer dtype

    Raises:
        ValueError: If a shape does not fit, clips are empty, or a length lies outside ``1..T'``.
        TypeError: If lengths or classes are not integers.

    Example:
        >>> short, long = torch.randn(8, 25, 64), torch.randn(12, 25, 64)
        >>> clips = EmbeddedClips.from_clips([short, long], y=torch.tensor([0, 1]))
        >>> clips.x.shape
        torch.Size([2, 12, 25, 64])
        >>> clips.lengths
        tensor([ 8, 12])
        >>> clips.clip(0).shape
        torch.Size([8, 25, 64])
    """

    x: Tensor
    lengths: Tensor | None = None
    y: Tensor | None = None

    def __post_init__(self) -> None:
        if self.x.dim() != 4:
            raise ValueError(
                f"embedded clips must be [B, T, V, C], got shape {tuple(self.x.shape)}; a single "
                "clip [T, V, C] needs x[None]"
            )
        if 0 in self.x.shape[1:]:
            raise ValueError(
                "embedded clips must be [B, T, V, C] with at least one frame, joint and channel, "
                f"got shape {tuple(self.x.shape)}"
            )
        for name, values in (("lengths", self.lengths), ("y", self.y)):
            if values is None:
                continue
            if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
                raise TypeError(f"{name} must be integers, got {values.dtype}; give {name}.long()")
            if values.shape != self.x.shape[:1]:
                raise ValueError(
                    f"{name} must hold one number for each clip, got shape {tuple(values.shape)} "
                    f"for {len(self.x)} clips"
                )
        if self.lengths is not None and can_read(self.lengths) and len(self):
            shortest, longest = int(self.lengths.min()), int(self.lengths.max())
            if shortest < 1 or longest > self.x.size(1):
                wrong = shortest if shortest < 1 else longest
                raise ValueError(f"lengths must lie in 1..{self.x.size(1)}, got {wrong}")

    @classmethod
    def from_clips(cls, clips: Sequence[Tensor], y: Tensor | None = None) -> EmbeddedClips:
        """Pad single clips to one tensor.

        Args:
            clips: At least one embedded clip.
            y: Class of each clip.

        Shapes:
            - **clips:** ``[T', V, C']`` each

        Raises:
            ValueError: If there is no clip, or clips differ in joints or channels.
        """
        return cls.cat([cls(clip[None]) for clip in clips], y)

    @classmethod
    def cat(cls, parts: Sequence[EmbeddedClips], y: Tensor | None = None) -> EmbeddedClips:
        """Join embedded clips, padding them to the longest.

        Args:
            parts: At least one value.
            y: Class of each clip; those of the parts if not given and every part has them.

        Raises:
            ValueError: If there is no part, or parts differ in joints or channels.
        """
        if len(shapes := {tuple(part.x.shape[2:]) for part in parts}) != 1:
            raise ValueError(
                f"embedded clips differ in joints or channels: {sorted(shapes)}; give at least one "
                "clip, and clips that agree"
            )
        longest = max(part.x.size(1) for part in parts)
        x = torch.cat([pad(part.x, (0, 0, 0, 0, 0, longest - part.x.size(1))) for part in parts])
        lengths = None
        if any(part.lengths is not None or part.x.size(1) < longest for part in parts):
            lengths = torch.cat([part.full_lengths for part in parts])
        classes = [part.y for part in parts if part.y is not None]
        if y is None and len(classes) == len(parts):
            y = torch.cat(classes)
        return cls(x, lengths, y)

    def __len__(self) -> int:
        return self.x.size(0)

    def __getitem__(self, index: Tensor | slice | Sequence[int]) -> EmbeddedClips:
        """Some of the clips, by their positions or a mask."""
        lengths = None if self.lengths is None else self.lengths[index]
        y = None if self.y is None else self.y[index]
        return EmbeddedClips(self.x[index], lengths, y)

    def split(self, sizes: Sequence[int]) -> list[EmbeddedClips]:
        """Consecutive parts of the given sizes."""
        # `split` has one backward; two slices would have two.
        x = self.x.split(list(sizes))
        lengths = [None] * len(x) if self.lengths is None else self.lengths.split(list(sizes))
        y = [None] * len(x) if self.y is None else self.y.split(list(sizes))
        return [EmbeddedClips(*part) for part in zip(x, lengths, y, strict=True)]

    def clip(self, number: int) -> Tensor:
        """One clip without its padding.

        Shapes:
            - **output:** ``[T, V, C']``
        """
        x = self.x[number]
        return x if self.lengths is None else x[: int(self.lengths[number])]

    @property
    def full_lengths(self) -> Tensor:
        """Number of frames of each clip, also where no clip is padded."""
        if self.lengths is not None:
            return self.lengths
        # Not len(), which torch.export takes for a constant.
        return torch.full((self.x.size(0),), self.x.size(1), device=self.x.device)

    @property
    def frames(self) -> Tensor:
        """Frames of all clips without padding, ``[F, V, C']``."""
        if self.lengths is None:
            return self.x.flatten(0, 1)
        return self.x[torch.arange(self.x.size(1), device=self.x.device) < self.lengths[:, None]]

    @property
    def zero_padded(self) -> Tensor:
        """The embeddings with zeros beyond each clip's length, whatever was there."""
        if self.lengths is None:
            return self.x
        beyond = torch.arange(self.x.size(1), device=self.x.device) >= self.lengths[:, None]
        return self.x.masked_fill(beyond[:, :, None, None], 0)

    @property
    def time_mean(self) -> Tensor:
        """Mean over the frames of each clip, ``[B, V, C']``."""
        if self.lengths is None:
            return self.x.mean(dim=1)
        return self.zero_padded.sum(dim=1) / self.lengths[:, None, None]

    def with_y(self, y: Tensor | None) -> EmbeddedClips:
        """The same clips with other classes, or without any."""
        return replace(self, y=y)

    def with_x(self, x: Tensor) -> EmbeddedClips:
        """Clips of the same lengths and classes with other embeddings."""
        return replace(self, x=x)

    def to(self, device: torch.device | str) -> EmbeddedClips:
        """The clips on another device."""
        lengths = None if self.lengths is None else self.lengths.to(device)
        y = None if self.y is None else self.y.to(device)
        return EmbeddedClips(self.x.to(device), lengths, y)
