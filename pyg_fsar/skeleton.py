"""Skeleton layouts: which joints a body has and which bones join them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

__all__ = ["SKELETONS", "STRATEGIES", "Skeleton"]

#: Partitions that :meth:`Skeleton.adjacency` takes.
STRATEGIES = ("uniform", "distance", "spatial", "spatial_stgcn")


@dataclass(frozen=True)
class Skeleton:
    r"""The topology of a body: joints, bones, and what they are called.

    A value object: two skeletons are equal if their fields are. Graph convolutions, transforms and
    datasets take one (or its registered name) instead of storing edges in every sample.

    Args:
        name: Name under which :meth:`get` finds the layout once registered.
        joints: Joint names. Transforms that need anatomy look for ``left_shoulder``,
            ``right_shoulder``, ``left_hip`` and ``right_hip``.
        bones: Pairs ``(child, parent)`` of joint numbers, the parent being nearer to ``center``.
        center: Number of the joint that spatial partitions measure distances from.
        pairs: Pairs ``(left, right)`` of mirrored joints.
        parts: Body parts, as a mapping from name to joint numbers.
        dims: Number of coordinates of a joint. Channels beyond them, such as the score of a 2D
            pose estimator, are no coordinates: geometric transforms leave them as they are.

    Raises:
        ValueError: If a number is out of range, a bone is a loop or given twice, or names repeat.

    Example:
        >>> stick = Skeleton("stick3", ("hip", "knee", "foot"), bones=((1, 0), (2, 1)), center=0)
        >>> Skeleton.register(stick)
        >>> Skeleton.get("stick3").num_joints
        3
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    center: int = 0
    pairs: tuple[tuple[int, int], ...] = ()
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)
    dims: int = 3

    def __post_init__(self) -> None:
        for number in (self.center, *(joint for bone in self.bones for joint in bone)):
            if isinstance(number, str):
                raise ValueError(
                    f"skeleton '{self.name}': bones and center take numbers of joints, got "
                    f"'{number}'; give its place in joints, counted from 0"
                )
        set_field = object.__setattr__
        set_field(self, "joints", tuple(self.joints))
        set_field(self, "bones", tuple((int(child), int(parent)) for child, parent in self.bones))
        set_field(self, "pairs", tuple((int(left), int(right)) for left, right in self.pairs))
        parts = {name: tuple(map(int, members)) for name, members in self.parts.items()}
        set_field(self, "parts", MappingProxyType(parts))

        if self.dims not in (2, 3):
            raise ValueError(f"skeleton '{self.name}': dims must be 2 or 3, got {self.dims}")
        if len(set(self.joints)) != len(self.joints):
            raise ValueError(f"skeleton '{self.name}': joint names repeat")
        numbers = [n for group in (*self.bones, *self.pairs, *parts.values()) for n in group]
        for number in (self.center, *numbers):
            if not 0 <= number < self.num_joints:
                raise ValueError(
                    f"skeleton '{self.name}': joint number {number} is outside "
                    f"0..{self.num_joints - 1}"
                )
        edges = {frozenset(bone) for bone in self.bones}
        if len(edges) != len(self.bones) or any(len(edge) == 1 for edge in edges):
            raise ValueError(f"skeleton '{self.name}': a bone is a loop or given twice")

    def __getstate__(self) -> dict[str, object]:
        # A MappingProxyType cannot be pickled, and loader workers receive skeletons by pickle.
        return {**self.__dict__, "parts": dict(self.parts)}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self.__dict__["parts"] = MappingProxyType(state["parts"])  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"Skeleton({self.name!r}, joints={self.num_joints}, bones={len(self.bones)})"

    # registry

    @classmethod
    def register(cls, skeleton: Skeleton) -> None:
        """Make a skeleton known to :meth:`get`.

        Raises:
            ValueError: If another skeleton already has this name.
        """
        if SKELETONS.get(skeleton.name, skeleton) != skeleton:
            raise ValueError(
                f"another skeleton is registered as '{skeleton.name}'; give yours another name"
            )
        SKELETONS[skeleton.name] = skeleton

    @classmethod
    def get(cls, name: str | Skeleton) -> Skeleton:
        """Return the layout registered under a name; a :class:`Skeleton` is returned as it is.

        Raises:
            ValueError: If no layout has this name.
        """
        if isinstance(name, Skeleton):
            return name
        if name not in SKELETONS:
            raise ValueError(
                f"unknown skeleton layout '{name!s:.80}'; known are "
                f"{', '.join(cls.available()):.300}. "
                "Add your own with Skeleton.register(Skeleton(...))"
            )
        return SKELETONS[name]

    @classmethod
    def available(cls) -> list[str]:
        """Names of all registered layouts."""
        return sorted(SKELETONS)

    # joints

    @property
    def num_joints(self) -> int:
        """Number of joints, ``V``."""
        return len(self.joints)

    @property
    def parents(self) -> tuple[int, ...]:
        """Parent of each joint; a joint without one (the root) is its own parent."""
        parent_of = dict(self.bones)
        return tuple(parent_of.get(joint, joint) for joint in range(self.num_joints))

    @property
    def mirror(self) -> tuple[int, ...]:
        """The permutation of joints that swaps left and right."""
        swap = dict(self.pairs) | {right: left for left, right in self.pairs}
        return tuple(swap.get(joint, joint) for joint in range(self.num_joints))

    def joint(self, name: str | int) -> int:
        """Number of a joint given by name (or by number, which is checked).

        Raises:
            ValueError: If the skeleton has no such joint.
        """
        if isinstance(name, str) and name in self.joints:
            return self.joints.index(name)
        if isinstance(name, int) and 0 <= name < self.num_joints:
            return name
        joints = ", ".join(f"{number} {joint}" for number, joint in enumerate(self.joints))
        raise ValueError(
            f"skeleton '{self.name:.80}' has no joint {name!r:.80}; it has {joints:.250}"
        )

    def check_joints(self, num_joints: int, what: str = "clip") -> None:
        """Refuse data whose joint count does not fit.

        Args:
            num_joints: Number of joints found.
            what: What was looked at, for the message.

        Raises:
            ValueError: If ``num_joints`` differs from the skeleton's.
        """
        if num_joints != self.num_joints:
            raise ValueError(
                f"{what} has {num_joints} joints, but skeleton '{self.name}' has "
                f"{self.num_joints}; choose the layout that fits (Skeleton.available()) or "
                "reduce the joints first"
            )

    # graph

    def edge_index(self, self_loops: bool = False) -> Tensor:
        """Bones in both directions as PyG's ``edge_index``.

        Args:
            self_loops: Append one loop per joint.

        Shapes:
            - **output:** ``[2, 2 * num_bones]``, with loops ``[2, 2 * num_bones + V]``
        """
        bones = torch.tensor(self.bones, dtype=torch.long).reshape(-1, 2).t()
        edges = torch.cat([bones, bones.flip(0)], dim=1)
        if self_loops:
            edges = torch.cat([edges, torch.arange(self.num_joints).expand(2, -1)], dim=1)
        return edges

    def hop_distance(self) -> Tensor:
        """Number of bones on the shortest way between any two joints; ``inf`` if there is none.

        Shapes:
            - **output:** ``[V, V]`` float32
        """
        hops = _hop_distance(self.bones, self.num_joints)
        return torch.tensor(hops, dtype=torch.float32)

    def adjacency(self, strategy: str = "spatial") -> Tensor:
        r"""Partitioned, normalised adjacency :math:`A D^{-1}` of "Spatial Temporal Graph
        Convolutional Networks for Skeleton-Based Action Recognition" (AAAI 2018).

        Entry ``[k, source, target]`` weighs the message of subset ``k`` from one joint to another;
        the subsets' sum includes self-loops and has columns that sum to 1.

        Args:
            strategy: ``"uniform"`` (one subset), ``"distance"`` (self, neighbours), ``"spatial"``
                (self, from farther from or as far from the centre, from nearer to it), or
                ``"spatial_stgcn"``: the same with hop distances cut off at 1 as in the public code
                that published numbers were obtained with, where most bones of a limb fall into the
                second subset because both ends are "infinitely" far from the centre.

        Shapes:
            - **output:** ``[K, V, V]`` float32, ``K`` being 1, 2, 3 and 3

        Raises:
            ValueError: If the strategy is unknown.
        """
        hops = self.hop_distance()
        neighbours = hops <= 1
        normalised = neighbours / neighbours.sum(dim=0)
        loops = torch.eye(self.num_joints, dtype=torch.bool)
        if strategy == "uniform":
            subsets = [neighbours]
        elif strategy == "distance":
            subsets = [loops, neighbours & ~loops]
        elif strategy in ("spatial", "spatial_stgcn"):
            if strategy == "spatial_stgcn":
                hops = hops.masked_fill(~neighbours, torch.inf)
            to_center = hops[:, self.center]
            outward = to_center[:, None] < to_center[None, :]
            subsets = [loops, neighbours & ~loops & ~outward, neighbours & outward]
        else:
            raise ValueError(f"unknown strategy '{strategy}'; known are {', '.join(STRATEGIES)}")
        return torch.stack([normalised * subset for subset in subsets])

    def relations(self, strategy: str = "spatial") -> tuple[Tensor, Tensor, Tensor]:
        """The same partition as :meth:`adjacency` in PyG's sparse form.

        Shapes:
            - **output:** ``edge_index [2, E]``, ``edge_type [E]`` (the subset), ``edge_weight [E]``
        """
        adjacency = self.adjacency(strategy)
        edge_type, source, target = adjacency.nonzero(as_tuple=True)
        return torch.stack([source, target]), edge_type, adjacency[edge_type, source, target]

    def subset(self, joints: Iterable[str | int], name: str | None = None) -> Skeleton:
        """The skeleton that remains when only some joints are kept, in the order given.

        A kept joint hangs on its nearest kept ancestor, so limbs stay connected.

        Args:
            joints: Names or numbers of the joints to keep.
            name: Name of the result; made from this skeleton's if not given.

        Raises:
            ValueError: If a joint is unknown or given twice, or none is given.
        """
        kept = [self.joint(joint) for joint in joints]
        if not kept or len(set(kept)) != len(kept):
            raise ValueError(f"skeleton '{self.name}': keep at least one joint, each only once")
        number = {old: new for new, old in enumerate(kept)}
        hops = _hop_distance(self.bones, self.num_joints)[self.center]
        center = min(kept, key=lambda joint: hops[joint])

        def kept_ancestor(joint: int) -> int:
            parents = self.parents
            while parents[joint] != joint:
                joint = parents[joint]
                if joint in number:
                    return joint
            # The way to the root is gone: hang on the kept joint that replaces it.
            return center

        bones = [
            (number[joint], number[kept_ancestor(joint)])
            for joint in kept
            if kept_ancestor(joint) != joint
        ]
        return Skeleton(
            name=name or f"{self.name}[{','.join(map(str, kept))}]",
            joints=tuple(self.joints[joint] for joint in kept),
            bones=tuple(bones),
            center=number[center],
            pairs=tuple((number[i], number[j]) for i, j in self.pairs if {i, j} <= number.keys()),
            parts={
                part: tuple(number[joint] for joint in members if joint in number)
                for part, members in self.parts.items()
            },
            dims=self.dims,
        )


#: All registered layouts by name, what :meth:`Skeleton.register` fills.
SKELETONS: dict[str, Skeleton] = {}


# Numbers and no tensor, which would belong to the device, and to the mode, of its first use.
@lru_cache(maxsize=64)
def _hop_distance(
    bones: tuple[tuple[int, int], ...], num_joints: int
) -> tuple[tuple[float, ...], ...]:
    hops = np.full((num_joints, num_joints), np.inf)
    np.fill_diagonal(hops, 0)
    for child, parent in bones:
        hops[child, parent] = hops[parent, child] = 1
    for via in range(num_joints):  # Floyd-Warshall
        hops = np.minimum(hops, hops[:, via, None] + hops[None, via, :])
    return tuple(map(tuple, hops.tolist()))
