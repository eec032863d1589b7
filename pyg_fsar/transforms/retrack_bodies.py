"""Telling people of a clip apart anew."""

from __future__ import annotations

import torch
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import PeopleTracker, SkeletonSequence, order_by_motion, track_people
from pyg_fsar.transforms.utils import coordinates, present

__all__ = ["RetrackBodies"]


@functional_transform("skeleton_retrack_bodies")
class RetrackBodies(BaseTransform):
    r"""Follows people from frame to frame by where they are, which mends swapped identities
    (functional name: :obj:`skeleton_retrack_bodies`).

    Bodies come out by falling motion. There may be more than before, as whoever is lost for long
    and comes back elsewhere is another body; :class:`~pyg_fsar.transforms.SelectBodies` keeps the
    most important. No frame of a person is dropped.

    Args:
        max_gap: As for :func:`~pyg_fsar.data.track_people`.
        max_distance: Likewise.

    Raises:
        ValueError: As there.

    Example:
        >>> RetrackBodies()(clips[0]).bodies.shape
        torch.Size([1, 30, 25, 3])
    """

    def __init__(self, max_gap: int = 30, max_distance: float = 0.6) -> None:
        PeopleTracker(max_gap, max_distance)  # refuses what is out of range
        self.max_gap, self.max_distance = max_gap, max_distance

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        bodies, there = clip.bodies, present(clip)
        body, frame = there.any(dim=2).nonzero(as_tuple=True)
        if body.numel() == 0 or bodies.size(0) == 1:
            return clip.with_bodies(bodies)
        places = coordinates(clip).where(there.unsqueeze(-1), 0)[body, frame].cpu().numpy()
        person = track_people(
            places, frame.cpu().numpy(), self.max_gap, self.max_distance, min_frames=1
        )
        order = order_by_motion(places, person)
        place = torch.as_tensor(order.argsort()[person], device=bodies.device)
        retracked = bodies.new_zeros(len(order), *bodies.shape[1:])
        retracked[place, frame] = bodies[body, frame]
        return clip.with_bodies(retracked)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.max_gap}, {self.max_distance})"
