from __future__ import annotations

import copy
import pickle
import re
from collections import deque

import pytest
import torch
from torch_geometric.utils import is_undirected, to_dense_adj

from pyg_fsar import Skeleton
from pyg_fsar.layouts import IN_FILES

LAYOUTS = Skeleton.available()
TWO_DIMENSIONAL = {"coco17", "halpe26", "hand21", "openpose18", "openpose25"}
each_layout = pytest.mark.parametrize("name", LAYOUTS)


def stick(name: str = "stick", **kwargs) -> Skeleton:
    joints = ("hip", "left_knee", "left_foot", "right_knee", "right_foot")
    defaults = {
        "bones": ((1, 0), (2, 1), (3, 0), (4, 3)),
        "pairs": ((1, 3), (2, 4)),
        "parts": {"left": (1, 2), "right": (3, 4)},
    }
    return Skeleton(name, joints, **{**defaults, **kwargs})


def hops_by_search(skeleton: Skeleton, start: int) -> list[float]:
    distance = {start: 0}
    queue = deque([start])
    while queue:
        joint = queue.popleft()
        for bone in skeleton.bones:
            if joint in bone:
                other = sum(bone) - joint
                if other not in distance:
                    distance[other] = distance[joint] + 1
                    queue.append(other)
    return [distance.get(joint, float("inf")) for joint in range(skeleton.num_joints)]


# the registered layouts


def test_all_layouts_of_the_field_are_there() -> None:
    expected = {"coco17", "h36m17", "kinect20", "mediapipe33", "ntu25", "openpose18", "openpose25"}
    expected |= {"azure32", "body15", "cmu31", "halpe26", "hand21", "hdm31"}
    assert expected <= set(LAYOUTS)
    for name in LAYOUTS:
        assert Skeleton.get(name).num_joints == int(re.search(r"\d\d(?=_2d|_3d|$)", name)[0])


def test_body15_is_in_the_order_agreed_upon() -> None:
    limbs = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    sides = tuple(f"{side}_{limb}" for limb in limbs for side in ("left", "right"))
    for name in ("body15", "body15_2d"):
        assert Skeleton.get(name).joints == ("pelvis", "neck", "head", *sides)


@each_layout
def test_bones_are_a_tree_that_hangs_on_the_centre(name: str) -> None:
    skeleton = Skeleton.get(name)
    assert len(skeleton.bones) == skeleton.num_joints - 1
    hops = skeleton.hop_distance()[skeleton.center]
    assert hops.isfinite().all()
    assert all(hops[child] == hops[parent] + 1 for child, parent in skeleton.bones)


@each_layout
def test_mirror_swaps_names_and_keeps_bones(name: str) -> None:
    skeleton = Skeleton.get(name)
    mirror = skeleton.mirror
    swap = {"left_": "right_", "right_": "left_"}
    for joint, image in enumerate(mirror):
        assert mirror[image] == joint
        this, other = skeleton.joints[joint], skeleton.joints[image]
        assert other == re.sub("left_|right_", lambda side: swap[side[0]], this)
    bones = {frozenset(bone) for bone in skeleton.bones}
    assert {frozenset(mirror[joint] for joint in bone) for bone in bones} == bones


@each_layout
def test_parts_share_out_all_joints(name: str) -> None:
    skeleton = Skeleton.get(name)
    members = sorted(joint for part in skeleton.parts.values() for joint in part)
    assert members == list(range(skeleton.num_joints))
    if name != "hand21":
        for joint in ("left_shoulder", "right_shoulder", "left_hip", "right_hip"):
            skeleton.joint(joint)


@each_layout
def test_estimators_in_the_image_have_two_coordinates(name: str) -> None:
    in_image = name in TWO_DIMENSIONAL or name.endswith("_2d")
    assert Skeleton.get(name).dims == (2 if in_image else 3)


def test_kinect20_is_in_the_order_of_utd_mhad(utd_root) -> None:
    text = next(utd_root.rglob("Skeleton_joint_order.txt")).read_text()
    assert tuple(re.findall(r"\d+\. (\w+);", text)) == Skeleton.get("kinect20").joints


# graphs


@each_layout
def test_hop_distance_is_breadth_first(name: str) -> None:
    skeleton = Skeleton.get(name)
    expected = [hops_by_search(skeleton, joint) for joint in range(skeleton.num_joints)]
    assert skeleton.hop_distance().tolist() == expected


def test_hop_distance_without_a_way_is_infinite_and_the_caller_s_own() -> None:
    skeleton = stick(bones=((1, 0), (2, 1)))
    hops = skeleton.hop_distance()
    assert hops[0, 3] == torch.inf and hops[3, 3] == 0
    hops.zero_()
    assert skeleton.hop_distance()[0, 1] == 1


@each_layout
def test_edge_index(name: str) -> None:
    skeleton = Skeleton.get(name)
    edges = skeleton.edge_index()
    assert edges.dtype == torch.long and edges.shape == (2, 2 * len(skeleton.bones))
    assert is_undirected(edges)
    assert {tuple(sorted(e)) for e in edges.t().tolist()} == {
        tuple(sorted(bone)) for bone in skeleton.bones
    }
    loops = skeleton.edge_index(self_loops=True)[:, edges.size(1) :]
    assert loops.tolist() == [list(range(skeleton.num_joints))] * 2
    assert Skeleton("point", ("only",), bones=()).edge_index().shape == (2, 0)


@each_layout
@pytest.mark.parametrize(
    ("strategy", "subsets"), [("uniform", 1), ("distance", 2), ("spatial", 3), ("spatial_stgcn", 3)]
)
def test_adjacency(name: str, strategy: str, subsets: int) -> None:
    skeleton = Skeleton.get(name)
    adjacency = skeleton.adjacency(strategy)
    assert adjacency.shape == (subsets, skeleton.num_joints, skeleton.num_joints)
    assert adjacency.dtype == torch.float32
    assert (adjacency > 0).sum(dim=0).max() == 1  # subsets share no edge
    bones = to_dense_adj(skeleton.edge_index(self_loops=True))[0]
    torch.testing.assert_close(adjacency.sum(dim=0), bones / bones.sum(dim=0))
    edge_index, edge_type, edge_weight = skeleton.relations(strategy)
    sparse = torch.zeros_like(adjacency)
    sparse[edge_type, edge_index[0], edge_index[1]] = edge_weight
    assert torch.equal(sparse, adjacency)


@pytest.mark.parametrize(
    ("name", "strategy", "sizes"),
    [
        ("ntu25", "spatial", [25, 24, 24]),
        ("ntu25", "spatial_stgcn", [25, 40, 8]),
        ("openpose18", "spatial", [18, 17, 17]),
        ("openpose18", "spatial_stgcn", [18, 25, 9]),
    ],
)
def test_sizes_of_spatial_subsets(name: str, strategy: str, sizes: list[int]) -> None:
    adjacency = Skeleton.get(name).adjacency(strategy)
    assert (adjacency > 0).sum(dim=(1, 2)).tolist() == sizes


def test_spatial_subsets_are_self_inward_and_outward() -> None:
    loops, inward, outward = stick().adjacency("spatial") > 0
    assert torch.equal(loops, torch.eye(5, dtype=torch.bool))
    assert inward.nonzero().tolist() == [[1, 0], [2, 1], [3, 0], [4, 3]]  # source is farther
    assert torch.equal(outward, inward.t())


def test_unknown_strategy() -> None:
    with pytest.raises(ValueError, match="unknown strategy 'random'; known are uniform, "):
        stick().adjacency("random")


# joints


def test_joints_by_name_and_number() -> None:
    skeleton = stick()
    assert skeleton.joint("left_foot") == skeleton.joint(2) == 2
    assert skeleton.parents == (0, 0, 1, 0, 3)
    for unknown in ("tail", 5, -1):
        with pytest.raises(ValueError, match=rf"'stick' has no joint {unknown!r}; it has 0 hip, 1"):
            skeleton.joint(unknown)


def test_check_joints_names_both() -> None:
    stick().check_joints(5)
    with pytest.raises(ValueError, match=r"file a\.txt has 25 joints, but .* 'stick' has 5"):
        stick().check_joints(25, "file a.txt")


def test_subset_keeps_limbs_connected() -> None:
    ntu = Skeleton.get("ntu25")
    names = ["head", "spine_base", "left_hand", "left_shoulder", "right_hand", "right_shoulder"]
    small = ntu.subset(names)
    assert small.joints == tuple(names) and small.dims == 3
    assert small.hop_distance().isfinite().all()
    named = {(small.joints[child], small.joints[parent]) for child, parent in small.bones}
    assert {("left_hand", "left_shoulder"), ("right_hand", "right_shoulder")} <= named
    assert set(small.pairs) == {(2, 4), (3, 5)}
    assert small.parts["left_arm"] == (3, 2)
    assert set(ntu.subset(ntu.joints).bones) == set(ntu.bones)
    assert Skeleton.get("coco17").subset(["nose", 5]).dims == 2


@each_layout
def test_subset_of_random_joints_is_a_tree(name: str) -> None:
    skeleton = Skeleton.get(name)
    for _ in range(20):
        kept = torch.randperm(skeleton.num_joints)[: 2 + skeleton.num_joints // 3].tolist()
        small = skeleton.subset(kept)
        assert len(small.bones) == len(kept) - 1
        assert small.hop_distance().isfinite().all()


@pytest.mark.parametrize("joints", [[], ["hip", "hip"], ["hip", 0]])
def test_subset_of_nothing_or_twice(joints: list) -> None:
    with pytest.raises(ValueError, match="keep at least one joint, each only once"):
        stick().subset(joints)


# value and registry


def test_is_a_value() -> None:
    assert stick() == stick() and hash(stick()) == hash(stick())
    assert stick() != stick(center=1)
    assert stick() != stick(parts={})
    for duplicate in (pickle.loads(pickle.dumps(stick())), copy.deepcopy(stick())):
        assert duplicate == stick()
        with pytest.raises(TypeError):
            duplicate.parts["tail"] = (0,)
    with pytest.raises(AttributeError):
        stick().center = 2
    assert repr(stick()) == "Skeleton('stick', joints=5, bones=4)"


def test_register_and_get() -> None:
    mine = stick("stick_of_test")
    assert Skeleton.get(mine) is mine
    with pytest.raises(ValueError, match="unknown skeleton layout 'stick_of_test'; known are"):
        Skeleton.get("stick_of_test")
    Skeleton.register(mine)
    Skeleton.register(stick("stick_of_test"))  # the same once more does no harm
    assert Skeleton.get("stick_of_test") == mine
    assert "stick_of_test" in Skeleton.available()
    with pytest.raises(ValueError, match="another skeleton is registered as 'stick_of_test'"):
        Skeleton.register(stick("stick_of_test", center=1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bones": ((5, 0),)}, r"joint number 5 is outside 0\.\.4"),
        ({"center": -1}, "joint number -1 is outside"),
        ({"bones": (("left_knee", "hip"),)}, ".* numbers of joints, got 'left_knee'; give its"),
        ({"center": "hip"}, "bones and center take numbers of joints, got 'hip'"),
        ({"pairs": ((1, 9),)}, "joint number 9 is outside"),
        ({"parts": {"tail": (7,)}}, "joint number 7 is outside"),
        ({"bones": ((1, 1),)}, "a bone is a loop or given twice"),
        ({"bones": ((1, 0), (0, 1))}, "a bone is a loop or given twice"),
        ({"dims": 4}, "dims must be 2 or 3, got 4"),
    ],
)
def test_impossible_skeletons(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"'stick': {message}"):
        stick(**wrong)


def test_repeated_names() -> None:
    with pytest.raises(ValueError, match="joint names repeat"):
        Skeleton("twins", ("a", "a"), bones=((1, 0),))


def test_numbers_in_files_are_guessed_among_the_layouts_of_the_package_alone() -> None:
    Skeleton.register(stick("stick_of_test"))
    assert "stick_of_test" not in IN_FILES and {"ntu25", "cmu31"} <= set(IN_FILES)
