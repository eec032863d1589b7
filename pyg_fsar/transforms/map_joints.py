"""From one layout of joints to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.joint_names import joint_sources, unknown_joints
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms.utils import present, with_dims

__all__ = ["MapJoints"]

UNKNOWN = ("error", "ignore")


@functional_transform("skeleton_map_joints")
class MapJoints(BaseTransform):
    r"""Takes a clip of any layout to another by the names of joints (functional name:
    :obj:`skeleton_map_joints`).

    Names are compared by one table of synonyms, :data:`pyg_fsar.joint_names.SYNONYMS`:
    ``SpineBase``, ``Hips`` and ``mid_hip`` are all the pelvis. Where a layout has none, the pelvis
    lies midway between the hips, the neck between the shoulders, and the nose stands for the head.
    A joint that cannot be had is zero, which is how missing joints are marked; so is a midpoint one
    end of which is missing.

    A 2D clip stays 2D and keeps its score (the mean of both ends for a midpoint). Its layout is
    then the 2D form of the target, such as ``body15_2d`` for ``body15``; a 3D clip taken to a
    layout of pictures likewise becomes, for instance, ``coco17_3d``.

    Args:
        target: The layout wanted, or its registered name.
        names: What joints of the clip are, where the table does not know their names, as
            ``{"Bone.003": "left_wrist"}``; None in place of a joint leaves it out.
        unknown: What to do if some joint of the target cannot be had while the clip has joints of
            unknown names, one of which may be it: ``"error"``, or ``"ignore"`` those names.

    Raises:
        ValueError: If the target or a joint in ``names`` is unknown, and later if names are unknown
            (all are listed) or the clip has no joint of the target at all.

    Example:
        >>> MapJoints("body15")(clips[0]).bodies.shape
        torch.Size([1, 30, 15, 3])
    """

    def __init__(
        self,
        target: str | Skeleton,
        names: Mapping[str, str | None] | None = None,
        unknown: str = "error",
    ) -> None:
        if unknown not in UNKNOWN:
            raise ValueError(f"unknown={unknown!r} must be one of {', '.join(UNKNOWN)}")
        self.target = Skeleton.get(target)
        self.names = dict(names or {})
        meant = [joint for joint in self.names.values() if joint is not None]
        if wrong := set(unknown_joints(meant)).difference(self.target.joints):
            raise ValueError(
                f"names={{...}} has joints that are unknown: {_listed(sorted(wrong))}; those of "
                f"'{self.target.name}' are {_listed(self.target.joints)}"
            )
        self.unknown = unknown
        self._register()

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A worker process that is not forked has only the layouts of the package.
        self.__dict__.update(state)
        self._register()

    def _register(self) -> None:
        for dims in (2, 3):
            Skeleton.register(with_dims(self.target, dims))

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        source = Skeleton.get(clip.skeleton)
        plan = self._plan(source)
        first, second = torch.tensor([ends or (0, 0) for ends in plan], device=clip.x.device).t()
        had = torch.tensor([ends is not None for ends in plan], device=clip.x.device)
        bodies, there = clip.bodies, present(clip)
        there = there[:, :, first] & there[:, :, second] & had
        # Half of each, so that nothing overflows; of one joint twice this is the joint itself.
        mapped = bodies[:, :, first] / 2 + bodies[:, :, second] / 2
        result = clip.with_bodies(mapped.where(there.unsqueeze(-1), 0))
        result.skeleton = with_dims(self.target, source.dims).name
        if "joint_names" in clip:
            result.joint_names = self.target.joints
        if "centered_on" in clip:
            joint = clip.centered_on
            del result.centered_on
            if (joint, joint) in plan:  # the mark by which the joint at the origin is told there
                result.centered_on = plan.index((joint, joint))
        return result

    def _plan(self, source: Skeleton) -> list[tuple[int, int] | None]:
        """The joints of the source that each joint of the target is made of."""
        plan = joint_sources(source, self.target, self.names)
        missing = [
            joint for joint, ends in zip(self.target.joints, plan, strict=True) if ends is None
        ]
        unknown = unknown_joints(joint for joint in source.joints if joint not in self.names)
        if missing and unknown and self.unknown == "error":
            raise ValueError(
                f"skeleton '{source.name}' has joints of unknown names: {_listed(unknown)}. Of "
                f"'{self.target.name}', {_listed(missing)} cannot be had otherwise; say which is "
                "which with names={'...': 'left_knee'}, or pass unknown='ignore'"
            )
        if len(missing) == self.target.num_joints:
            raise ValueError(
                f"skeleton '{source.name}' has no joint of '{self.target.name}': it has "
                f"{_listed(source.joints)}; say which joint is which with names=..."
            )
        return plan

    def __repr__(self) -> str:
        given = f", names={self.names}" if self.names else ""
        given += f", unknown={self.unknown!r}" if self.unknown != "error" else ""
        return f"{self.__class__.__name__}({self.target.name!r}{given})"


def _listed(names: list[str] | tuple[str, ...], length: int = 140) -> str:
    text = ", ".join(names)
    return text if len(text) <= length else f"{text[:length]}... ({len(names)} in all)"
