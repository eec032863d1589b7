from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pyg_fsar.nn import STGCN, FrameEncoder, MultiView
from pyg_fsar.nn.models.multi_view import check_azimuths


def turned(x, degrees):
    """Rotated about y by a matrix."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return x @ torch.tensor([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]).T


def test_each_view_is_that_of_the_rotated_clip():
    encoder = STGCN("ntu25", plan=[(6, 2)])
    x = torch.randn(2, 8, 25, 3)
    encoder(x)  # for statistics other than those it began with
    several = MultiView(encoder, (20, 0, -70)).eval()
    views = several(x).unflatten(-1, (3, 6))
    for number, angle in enumerate((20, 0, -70)):
        torch.testing.assert_close(views[..., number, :], encoder(turned(x, angle)))
    assert (several.num_views, several.out_channels, several.stride) == (3, 6, 2)
    assert several.skeleton == encoder.skeleton and several.in_channels == 3
    assert "azimuths=(20.0, 0.0, -70.0)" in repr(several)


def test_channels_beside_the_coordinates_stay():
    class First(nn.Module):
        skeleton = "ntu25"

        def forward(self, x):
            return x

    x = torch.randn(1, 2, 25, 5)
    views = MultiView(First(), (0, 90))(x).unflatten(-1, (2, 5))
    torch.testing.assert_close(views[..., 1, 3:], x[..., 3:])
    torch.testing.assert_close(views[..., 1, :3], turned(x[..., :3], 90))


def test_it_mixes_frames_where_its_encoder_does():
    assert MultiView(STGCN("ntu25", num_blocks=2)).mixes_frames
    assert not MultiView(nn.Identity()).mixes_frames
    frames = FrameEncoder(nn.Identity(), "ntu25", out_channels=3, num_temporal=0, in_channels=3)
    assert not MultiView(frames).mixes_frames


def test_is_kept_in_a_folder(tmp_path):
    several = MultiView(STGCN("ntu25", plan=[(6, 1)]), (0, 45)).eval()
    several.save_pretrained(tmp_path)
    x = torch.randn(1, 4, 25, 3)
    assert torch.equal(MultiView.from_pretrained(tmp_path)(x), several(x))


def test_refuses_what_cannot_be_rotated():
    with pytest.raises(ValueError, match="'coco17' has 2 coordinates"):
        MultiView(STGCN("coco17", num_blocks=2))
    with pytest.raises(ValueError, match="joints have 6 channels; give 3D clips, or an encoder"):
        MultiView(nn.Identity())(torch.randn(1, 4, 25, 6))
    for azimuths in ((), (10,), (0, 0), (0, math.inf)):
        with pytest.raises(ValueError, match="azimuths must be different angles"):
            MultiView(nn.Identity(), azimuths)
    assert check_azimuths([0, 10]) == (0.0, 10.0)
