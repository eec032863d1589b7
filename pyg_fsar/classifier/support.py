"""What a classifier knows of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

__all__ = ["Support", "pad_clips"]


class Support(NamedTuple):
    """Embedded clips of the classes, and how others compare with them.

    Args:
        embeddings: Embeddings, zero padded in time if they differ in length.
        y: Number of the class of each.
        lengths: Their numbers of frames, if they differ.

    Shapes:
        - **embeddings:** ``[S, T', V, C']``
        - **y, lengths:** ``[S]``
    """

    embeddings: Tensor
    y: Tensor
    lengths: Tensor | None = None

    def of_class(self, number: int) -> Support:
        """The support clips of one class."""
        mine = self.y == number
        lengths = None if self.lengths is None else self.lengths[mine]
        return Support(self.embeddings[mine], self.y[mine], lengths)

    def to(self, device: torch.device) -> Support:
        """The support on another device."""
        lengths = None if self.lengths is None else self.lengths.to(device)
        return Support(self.embeddings.to(device), self.y.to(device), lengths)

    def match(self, matcher: nn.Module, queries: Sequence[Tensor]) -> Tensor:
        """Logits of embedded queries over the classes, in double precision on the CPU.

        Shapes:
            - **queries:** ``[T, V, C']`` each
            - **output:** ``[Q, N]``
        """
        query, lengths = pad_clips(queries)
        logits = matcher(self.embeddings, self.y, query, self.lengths, lengths)
        return logits.cpu().double()


def pad_clips(embeddings: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Embeddings of clips as one tensor, and their lengths if they differ.

    Shapes:
        - **embeddings:** ``[T', V, C']`` each
        - **output:** ``[B, T', V, C']`` and ``[B]``

    Raises:
        ValueError: If clips differ in joints or channels.
    """
    if len(shapes := {tuple(clip.shape[1:]) for clip in embeddings}) > 1:
        raise ValueError(
            f"embedded clips differ in joints and channels: {sorted(shapes)}; give clips that agree"
        )
    lengths = [len(clip) for clip in embeddings]
    ragged = torch.tensor(lengths, device=embeddings[0].device) if len(set(lengths)) > 1 else None
    return pad_sequence(list(embeddings), batch_first=True), ragged
