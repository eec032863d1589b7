"""A clip of skeletons as PyG data."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage
from torch_geometric.utils import cumsum

from pyg_fsar.skeleton import Skeleton

__all__ = ["MAX_COORDINATE", "SkeletonSequence", "as_numbers", "stack_clips"]

#: The largest coordinate of a clip. Pixels, millimetres and metres stay far below; squares of much
#: larger numbers overflow float32 in a matcher, which would be NaN without a word.
MAX_COORDINATE = 1e7


class SkeletonSequence(Data):
    r"""A labelled clip: the frames of one or more bodies, one after the other.

    PyG sees the *frames* as nodes. Clips of different lengths and numbers of bodies therefore batch
    with :class:`torch_geometric.data.Batch` without padding, ``batch`` and ``ptr`` telling the clip
    of each frame. The bones are not stored: they are those of the :class:`~pyg_fsar.Skeleton`.

    Args:
        x: Frames, all of body 0 first, then all of body 1, and so on. A joint that is missing is
            all zero.
        num_bodies: Number of bodies, ``M``.
        y: Class label.
        skeleton: Name of the registered layout of the joints.
        **kwargs: Anything else that belongs to the clip, as for :class:`torch_geometric.data.Data`.

    Shapes:
        - **x:** ``[M * T, V, C]``

    Build one with :meth:`from_bodies`, which checks its input.

    Example:
        >>> bodies = np.random.randn(2, 40, 25, 3)
        >>> clip = SkeletonSequence.from_bodies(bodies, y=7, skeleton="ntu25")
        >>> clip
        SkeletonSequence(x=[80, 25, 3], num_bodies=2, y=7, skeleton='ntu25')
        >>> clip.bodies.shape
        torch.Size([2, 40, 25, 3])
        >>> clip.frame(t=0, body=1)
        Data(x=[25, 3], edge_index=[2, 48])
    """

    def __init__(
        self,
        x: Tensor | None = None,
        num_bodies: int | None = None,
        y: int | Tensor | None = None,
        skeleton: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(x=x, **kwargs)
        # PyG builds empty objects when it batches, so only what is given becomes an attribute.
        if num_bodies is not None:
            self.num_bodies = num_bodies
        if y is not None:
            self.y = y
        if skeleton is not None:
            self.skeleton = skeleton

    @classmethod
    def from_bodies(
        cls,
        bodies: Tensor | np.ndarray,
        y: int | Tensor | None = None,
        skeleton: str | Skeleton = "ntu25",
        allow_nan: bool = False,
        **kwargs: Any,
    ) -> SkeletonSequence:
        """Make a clip from an array of bodies, which is not copied if it is a float32 tensor.

        Args:
            bodies: One or more bodies. Joints that a NumPy mask hides are missing.
            y: Class label.
            skeleton: Layout of the joints, or its registered name. A layout object is registered,
                since the clip keeps only its name.
            allow_nan: Let NaN through as a mark of missing joints, to be filled by
                :class:`~pyg_fsar.transforms.FillMissingJoints`.
            **kwargs: Further attributes of the clip.

        Shapes:
            - **bodies:** ``[M, T, V, C]``

        Raises:
            ValueError: If the array holds no real numbers, has another number or order of axes, no
                body or no frame, the wrong number of joints, or a value that is NaN, infinite or
                larger than :data:`MAX_COORDINATE`.
        """
        layout = Skeleton.get(skeleton)
        Skeleton.register(layout)
        label = f"clip '{kwargs['name']}'" if "name" in kwargs else "clip"
        tensor = torch.as_tensor(as_numbers(bodies, label))
        _check_axes(tuple(tensor.shape), layout, label)
        tensor = tensor.to(torch.get_default_dtype())
        _check_values(tensor, layout, label, allow_nan)
        return cls(
            x=tensor.reshape(-1, *tensor.shape[2:]),
            num_bodies=tensor.size(0),
            y=y,
            skeleton=layout.name,
            **kwargs,
        )

    @classmethod
    def from_frames(
        cls,
        frames: Sequence[Data],
        num_bodies: int = 1,
        y: int | Tensor | None = None,
        skeleton: str | Skeleton = "ntu25",
        **kwargs: Any,
    ) -> SkeletonSequence:
        """Make a clip from ordinary PyG graphs, the inverse of :meth:`to_frames`.

        Args:
            frames: One graph per frame with ``x`` of shape ``[V, C]``, body-major.
            num_bodies: How many bodies the frames belong to.
            y: Class label.
            skeleton: Layout of the joints, or its registered name.
            **kwargs: Further attributes of the clip.

        Raises:
            ValueError: If there is no frame, or the frames do not divide among the bodies, or for
                what :meth:`from_bodies` refuses.
        """
        if not frames or len(frames) % num_bodies:
            raise ValueError(
                f"{len(frames)} frames cannot be shared equally by {num_bodies} bodies"
            )
        x = torch.stack([frame.x for frame in frames])
        return cls.from_bodies(
            x.view(num_bodies, -1, *x.shape[1:]), y=y, skeleton=skeleton, **kwargs
        )

    # PyG shifts attributes by their name when it batches, which would falsify a plain `frame_index`
    # or `face_id`. Here only true graph indices are shifted and joined along their last axis.

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        return super().__inc__(key, value, *args, **kwargs) if _is_graph_index(key, value) else 0

    def __cat_dim__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        plain = isinstance(value, Tensor) and value.layout == torch.strided
        if plain and not _is_graph_index(key, value):
            return 0
        return super().__cat_dim__(key, value, *args, **kwargs)

    # The three views below also hold for a batch of clips: there `num_bodies` is a tensor and all
    # clips' bodies follow one another.

    @property
    def num_frames(self) -> int:
        """Number of frames per body, ``T``, of a clip or of a batch of equally long clips.

        Raises:
            ValueError: If the clips of a batch differ in length.
        """
        num_bodies = self.num_bodies
        if isinstance(num_bodies, int):  # a single clip, and transforms ask it often
            return self.x.size(0) // num_bodies
        lengths = self.lengths
        if bool((lengths != lengths[0]).any()):
            raise ValueError(
                f"clips have {int(lengths.min())} to {int(lengths.max())} frames; use to_dense(), "
                "or resample them to one length (pyg_fsar.transforms.ResampleFrames)"
            )
        return int(lengths[0])

    @property
    def lengths(self) -> Tensor:
        """Number of frames of each clip, ``[B]``; one entry for a single clip."""
        num_bodies = torch.as_tensor(self.num_bodies).reshape(-1)
        frames = self.ptr.diff() if "ptr" in self else torch.tensor([self.x.size(0)])
        return frames // num_bodies.to(frames.device)

    @property
    def bodies(self) -> Tensor:
        """All bodies as a view of ``x``, ``[M, T, V, C]``; in a batch ``M`` sums over its clips.

        Raises:
            ValueError: If the clips of a batch differ in length.
        """
        x = self.x
        return x.view(-1, self.num_frames, *x.shape[1:])

    @property
    def body_to_clip(self) -> Tensor:
        """Number of the clip that each body belongs to, ``[M]``."""
        num_bodies = torch.as_tensor(self.num_bodies, device=self.x.device).reshape(-1)
        return torch.arange(num_bodies.numel(), device=self.x.device).repeat_interleave(num_bodies)

    def to_dense(self) -> tuple[Tensor, Tensor]:
        """Bodies padded with zeros to the longest clip, with a mask of the true frames.

        Clips of one length cost no copy.

        Shapes:
            - **output:** ``[M, T_max, V, C]`` and bool ``[M, T_max]``
        """
        lengths = self.lengths.to(self.x.device)[self.body_to_clip]
        longest = int(lengths.max())
        mask = torch.arange(longest, device=self.x.device) < lengths[:, None]
        if bool(mask.all()):
            return self.x.view(-1, longest, *self.x.shape[1:]), mask
        start = cumsum(lengths)[:-1]
        frame = torch.arange(self.x.size(0), device=self.x.device)
        body = torch.arange(lengths.numel(), device=self.x.device).repeat_interleave(lengths)
        dense = self.x.new_zeros(lengths.numel(), longest, *self.x.shape[1:])
        return dense.index_put((body, frame - start[body]), self.x), mask

    def frame(self, t: int, body: int = 0) -> Data:
        """One frame as an ordinary PyG graph with ``x`` of shape ``[V, C]`` and ``edge_index``.

        Args:
            t: Frame number; negative numbers count from the end.
            body: Body number.

        Raises:
            IndexError: If the clip has no such frame or body.
        """
        edge_index = self._layout.edge_index().to(self.x.device)
        return Data(x=self.bodies[body, t], edge_index=edge_index)

    def to_frames(self) -> list[Data]:
        """All frames as ordinary PyG graphs sharing one ``edge_index``, body-major."""
        edge_index = self._layout.edge_index().to(self.x.device)
        return [Data(x=x, edge_index=edge_index) for x in self.x]

    def with_bodies(self, bodies: Tensor) -> SkeletonSequence:
        """A clip with other bodies and the same other attributes; ``self`` stays as it is.

        Args:
            bodies: The new bodies; frames, joints, channels and even the number of bodies may
                differ from the old.

        Shapes:
            - **bodies:** ``[M', T', V', C']``
        """
        clip = copy.copy(self)
        clip.x = bodies.reshape(-1, *bodies.shape[2:])
        clip.num_bodies = bodies.size(0)
        return clip

    @property
    def _layout(self) -> Skeleton:
        if "skeleton" not in self:
            raise ValueError("the clip does not name its skeleton; set clip.skeleton = 'ntu25'")
        name = self.skeleton if isinstance(self.skeleton, str) else self.skeleton[0]
        return Skeleton.get(name)


def _is_graph_index(key: str, value: Any) -> bool:
    return key in ("edge_index", "face") and isinstance(value, Tensor) and value.dim() == 2


def as_numbers(bodies: Any, label: str) -> np.ndarray | Tensor:
    """Bodies as an array or tensor of real numbers, in which masked joints are zero.

    Args:
        bodies: An array, a tensor, or nested sequences.
        label: Name of the clip, for messages.

    Raises:
        ValueError: If they are no real numbers.
    """
    if isinstance(bodies, Tensor):
        if bodies.is_complex():
            raise ValueError(f"{label} holds {bodies.dtype}; give real numbers")
        return bodies
    array = np.asarray(bodies)
    if array.dtype.kind in "OUS":
        array = array.astype(np.float64)  # says itself which text is no number
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{label} holds {array.dtype}; give real numbers")
    if isinstance(bodies, np.ma.MaskedArray) and bodies.ndim:
        hidden = np.ma.getmaskarray(bodies).any(axis=-1, keepdims=True)
        array = np.where(hidden, array.dtype.type(0), array)
    # torch knows neither longdouble nor foreign byte order.
    dtype = array.dtype.newbyteorder("=") if array.itemsize <= 8 else np.dtype(np.float64)
    return array.astype(dtype, copy=False)


def _check_axes(shape: tuple[int, ...], layout: Skeleton, label: str) -> None:
    """Refuse bodies whose axes are not ``[M, T, V, C]``, as far as the sizes of axes tell."""
    if len(shape) != 4:
        raise ValueError(
            f"{label}: bodies must be [M, T, V, C] (bodies, frames, joints, channels), got shape "
            f"{shape}; a single body [T, V, C] needs bodies[None]"
        )
    if 0 in shape:
        raise ValueError(f"{label} is empty: shape {shape}; leave it out")
    bodies, _, joints, channels = shape
    order = None
    if joints != layout.num_joints == channels:
        order = "[M, C, T, V]", "(0, 2, 3, 1)"
    # With two bodies it could as well be three people in a plane, so only one is told apart.
    elif bodies == layout.dims > channels == 1:
        order = "[C, T, V, M]", "(3, 1, 2, 0)"
    if order is not None:
        raise ValueError(
            f"{label}: shape {shape} looks like {order[0]}, but channels come last, [M, T, V, C]; "
            f"give bodies.transpose{order[1]}, or bodies.permute{order[1]} in torch"
        )
    layout.check_joints(joints, label)


def _check_values(bodies: Tensor, layout: Skeleton, label: str, allow_nan: bool) -> None:
    """Refuse values that are infinite or too large, and NaN unless it is allowed."""
    size = bodies.abs()
    if bool(size.max() <= MAX_COORDINATE):  # false if one is NaN, as all comparisons with it are
        return
    bad = size > MAX_COORDINATE if allow_nan else ~(size <= MAX_COORDINATE)
    if not bool(bad.any()):
        return
    body, frame, joint, channel = bad.nonzero()[0].tolist()
    value = float(bodies[body, frame, joint, channel])
    place = f"{label}: body {body}, frame {frame}, joint {joint} ({layout.joints[joint]})"
    if np.isfinite(value):
        raise ValueError(
            f"{place} has {value:.3g}, beyond the limit of {MAX_COORDINATE:g} for a coordinate; "
            "correct it, or scale the clip to metres or pixels"
        )
    raise ValueError(
        f"{place} is NaN or infinite; set missing joints to zero, or mark them by NaN, pass "
        "allow_nan=True and apply FillMissingJoints"
    )


def stack_clips(clips: Sequence[SkeletonSequence]) -> tuple[Tensor, Tensor, Tensor]:
    """Bodies of several clips as one tensor, zero padded in time only if clips differ in length.

    Shapes:
        - **output:** bodies ``[M, T_max, V, C]``, the clip each body belongs to ``[M]``, and the
          number of frames of each clip ``[B]``

    Raises:
        ValueError: If there is no clip, or clips differ in joints or channels.
    """
    bodies = [clip.bodies for clip in clips]
    if len(shapes := {tuple(body.shape[2:]) for body in bodies}) != 1:
        raise ValueError(
            f"clips differ in joints and channels (axes V, C): {sorted(shapes)[:5]}; give at least "
            "one clip, and clips of one layout and number of channels"
        )
    if len(bodies) == 1:  # a stream embeds one frame at a time
        (body,) = bodies
        body_to_clip = torch.zeros(body.size(0), dtype=torch.long)
        # A copy, as of several clips: an embedding must not change with the clip.
        return body.clone(), body_to_clip, torch.tensor([body.size(1)])
    counts = torch.tensor([body.size(0) for body in bodies])
    lengths = torch.tensor([body.size(1) for body in bodies])
    longest = int(lengths.max())
    padded = [F.pad(body, (0, 0, 0, 0, 0, longest - body.size(1))) for body in bodies]
    return torch.cat(padded), torch.arange(len(clips)).repeat_interleave(counts), lengths


# What a pickled clip consists of: without this, `torch.load(..., weights_only=True)` refuses it.
torch.serialization.add_safe_globals(
    [SkeletonSequence, Data, DataEdgeAttr, DataTensorAttr, GlobalStorage]
)
