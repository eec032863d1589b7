"""Place and view of clips as PYSKL normalises them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_fsar.data import SkeletonSequence
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.transforms.utils import coordinates, move_joints, present

__all__ = ["PreNormalize2D", "PreNormalize3D"]

# Below it vectors and angles count as zero, and so does a joint; as in PYSKL.
SMALL, ABSENT = 1e-6, 1e-8


@functional_transform("skeleton_pre_normalize_3d")
class PreNormalize3D(BaseTransform):
    r"""Prepares 3D clips as PYSKL's ``PreNormalize3D`` does, which goes back to 2s-AGCN (functional
    name: :obj:`skeleton_pre_normalize_3d`).

    Encoders of :func:`~pyg_fsar.nn.stgcnpp_from_public` and the like expect it. The body that is
    there in most frames becomes the first, and frames without it are left out. All bodies are moved
    so that its ``center`` in the first frame is the origin, then turned so that its spine in that
    frame points along z, then so that its shoulders do along x, for which the spine may leave z
    again. Missing joints remain what they are. A clip without any joint is returned as it is.

    :class:`~pyg_fsar.transforms.AlignView` is what models of this package were prepared with.

    Args:
        spine: Joints from which and to which the spine goes, by name or number.
        shoulders: Right and left shoulder.
        center: The joint that becomes the origin.

    Raises:
        ValueError: On a call, if the clip is not 3D, or its skeleton has no such joints.

    Example:
        >>> PreNormalize3D()(clips[0]).num_frames
        30
    """

    def __init__(
        self,
        spine: tuple[str | int, str | int] = ("spine_base", "spine_mid"),
        shoulders: tuple[str | int, str | int] = ("right_shoulder", "left_shoulder"),
        center: str | int = "spine_mid",
    ) -> None:
        self.spine, self.shoulders, self.center = spine, shoulders, center

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        layout = Skeleton.get(clip.skeleton)
        if layout.dims != 3:
            raise ValueError(
                f"PreNormalize3D turns 3D clips, but '{layout.name}' has {layout.dims} "
                "coordinates; use PreNormalize2D"
            )
        center = layout.joint(self.center)
        bottom, top, right, left = (layout.joint(name) for name in (*self.spine, *self.shoulders))
        there = (coordinates(clip).abs() > ABSENT).flatten(2).any(dim=2)
        if not bool(there.any()):
            return clip
        main = int(there.sum(dim=1).argmax())
        order = [main, *(body for body in range(len(there)) if body != main)]
        clip = clip.with_bodies(clip.bodies[order][:, there[main]])
        mask = present(clip).unsqueeze(-1)
        place = coordinates(clip).double().where(mask, 0)
        place = (place - place[0, 0, center]).where(mask, 0)
        for start, end, axis in ((bottom, top, 2), (left, right, 0)):
            place = place @ _turn(place[0, 0, end] - place[0, 0, start], axis).mT
        moved = move_joints(clip, place.to(clip.x))
        moved.centered_on = center
        return moved

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(spine={self.spine}, shoulders={self.shoulders}, "
            f"center={self.center!r})"
        )


@functional_transform("skeleton_pre_normalize_2d")
class PreNormalize2D(BaseTransform):
    r"""Brings 2D clips from this package's axes to those of PYSKL's ``PreNormalize2D`` (functional
    name: :obj:`skeleton_pre_normalize_2d`).

    :func:`~pyg_fsar.formats.read_clip` counts from the middle of the picture, y up, in units of its
    height; PYSKL's encoders expect both axes from -1 to 1, y down. Clips that
    :class:`~pyg_fsar.datasets.PYSKLPickle` read with ``normalize=True`` are there already.

    Args:
        aspect: Width of the picture divided by its height; 16/9 is PYSKL's, too, where a file does
            not tell it.
        score: Keep the score of joints, the third channel. Encoders of two channels need it left
            out.

    Raises:
        ValueError: If the aspect is not positive; on a call, if the clip is not 2D.

    Example:
        >>> hand = torch.rand(1, 20, 21, 3) - 0.5
        >>> clip = SkeletonSequence.from_bodies(hand, skeleton="hand21")
        >>> PreNormalize2D(aspect=4 / 3, score=False)(clip).bodies.shape
        torch.Size([1, 20, 21, 2])
    """

    def __init__(self, aspect: float = 16 / 9, score: bool = True) -> None:
        if not 0 < aspect < float("inf"):
            raise ValueError(f"aspect must be the picture's width / height, got {aspect}")
        self.aspect, self.score = aspect, score

    def forward(self, clip: SkeletonSequence) -> SkeletonSequence:
        place = coordinates(clip)
        if place.size(-1) != 2:
            raise ValueError(
                f"PreNormalize2D scales 2D clips, but '{clip.skeleton}' has {place.size(-1)} "
                "coordinates; use PreNormalize3D"
            )
        moved = move_joints(clip, place * place.new_tensor([2 / self.aspect, -2]))
        return moved if self.score else moved.with_bodies(moved.bodies[..., :2])

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(aspect={self.aspect:.4g}, score={self.score})"


def _turn(vector: Tensor, axis: int) -> Tensor:
    """The rotation that turns a vector to a coordinate axis the shortest way; none where the vector
    is zero or points along the axis either way.

    Shapes:
        - **vector:** ``[3]``
        - **output:** ``[3, 3]``, applied as ``turn @ vector``
    """
    target = torch.zeros_like(vector)
    target[axis] = 1
    size = vector.norm()
    normal = torch.linalg.cross(vector, target)
    identity = torch.eye(3, dtype=vector.dtype, device=vector.device)
    if float(vector.abs().sum()) < SMALL or float(normal.abs().sum()) < SMALL:
        return identity
    cos, sin = vector[axis] / size, normal.norm() / size
    x, y, z = (normal / normal.norm()).unbind()
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).view(3, 3)
    return identity + sin * cross + (1 - cos) * cross @ cross
