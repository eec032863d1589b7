from __future__ import annotations

import pytest
import torch

from pyg_fsar.data import EmbeddedClips


def ragged():
    return EmbeddedClips(torch.randn(3, 5, 4, 2), torch.tensor([5, 2, 4]), torch.tensor([0, 1, 0]))


def test_clips_are_padded_and_come_back():
    clips = [torch.randn(T, 4, 2) for T in (3, 5, 1)]
    embedded = EmbeddedClips.from_clips(clips, torch.tensor([2, 0, 1]))
    assert embedded.x.shape == (3, 5, 4, 2) and embedded.lengths.tolist() == [3, 5, 1]
    assert not embedded.x[0, 3:].any() and len(embedded) == 3
    for number, clip in enumerate(clips):
        assert torch.equal(embedded.clip(number), clip)
    assert torch.equal(embedded.frames, torch.cat(clips))
    assert EmbeddedClips.from_clips([clips[1]] * 2).lengths is None


def test_parts_keep_lengths_and_classes():
    whole = ragged()
    first, second = whole.split([1, 2])
    assert first.lengths.tolist() == [5] and second.y.tolist() == [1, 0]
    again = EmbeddedClips.cat([first, second])
    for name in ("x", "lengths", "y"):
        assert torch.equal(getattr(again, name), getattr(whole, name))
    chosen = whole[torch.tensor([2, 0])]
    assert chosen.lengths.tolist() == [4, 5] and chosen.y.tolist() == [0, 0]
    assert whole[whole.y == 1].lengths.tolist() == [2]
    assert EmbeddedClips.cat([first, second.with_y(None)]).y is None


def test_joining_pads_to_the_longest():
    short, long = EmbeddedClips(torch.randn(2, 3, 4, 2)), EmbeddedClips(torch.randn(1, 5, 4, 2))
    both = EmbeddedClips.cat([short, long])
    assert both.lengths.tolist() == [3, 3, 5] and torch.equal(both.clip(1), short.x[1])
    assert EmbeddedClips.cat([short, short]).lengths is None


def test_lengths_of_whole_clips():
    whole = EmbeddedClips(torch.randn(2, 3, 4, 1))
    assert whole.full_lengths.tolist() == [3, 3]
    assert whole.frames.shape == (6, 4, 1) and whole.clip(1).shape == (3, 4, 1)
    assert whole.to("cpu").lengths is None


@pytest.mark.parametrize(
    ("x", "lengths", "y", "error", "message"),
    [
        ((5, 4, 2), None, None, ValueError, r"must be \[B, T, V, C\], got shape \(5, 4, 2\)"),
        ((2, 5, 4, 2), [1], None, ValueError, r"lengths must hold .* \(1,\) for 2 clips"),
        ((2, 5, 4, 2), None, [[0, 1]], ValueError, "y must hold one number for each clip"),
        ((2, 5, 4, 2), [0, 5], None, ValueError, r"lengths must lie in 1\.\.5, got 0"),
        ((2, 5, 4, 2), [-1, 5], None, ValueError, r"lengths must lie in 1\.\.5, got -1"),
        ((2, 5, 4, 2), [5, 6], None, ValueError, r"lengths must lie in 1\.\.5, got 6"),
        ((2, 5, 4, 2), [1.0, 2.0], None, TypeError, r"lengths must be integers.*lengths.long"),
        ((2, 5, 4, 2), None, [True, False], TypeError, "y must be integers"),
    ],
)
def test_refuses_what_does_not_fit(x, lengths, y, error, message):
    tensors = [None if values is None else torch.tensor(values) for values in (lengths, y)]
    with pytest.raises(error, match=message):
        EmbeddedClips(torch.zeros(x), *tensors)


def test_refuses_clips_that_do_not_agree():
    with pytest.raises(ValueError, match=r"joints or channels: \[\(4, 2\), \(4, 3\)\]"):
        EmbeddedClips.from_clips([torch.zeros(1, 4, 2), torch.zeros(1, 4, 3)])
    with pytest.raises(ValueError, match="give at least one"):
        EmbeddedClips.from_clips([])
