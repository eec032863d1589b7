from __future__ import annotations

import pytest

from pyg_fsar import Skeleton
from pyg_fsar.joint_names import SYNONYMS, left_right_pairs, split_side, unknown_joints


@pytest.mark.parametrize(
    ("name", "side", "rest"),
    [
        ("left_knee", "left", "knee"),
        ("KneeLeft", "left", "knee"),
        ("LKnee", "left", "knee"),
        ("lknee", "left", "knee"),
        ("R.Knee", "right", "knee"),
        ("RKNE", "right", "kne"),
        ("rightknee", "right", "knee"),
        ("Character1_RightUpLeg", "right", "upleg"),
        ("Bip01 L UpperArm", "left", "upperarm"),
        ("Hips", "", "hips"),
        ("lowerback", "", "lowerback"),  # no left "owerback"
        ("root", "", "root"),
        ("L5", "", "l5"),  # a vertebra
        ("", "", ""),
    ],
)
def test_sides_in_all_spellings(name: str, side: str, rest: str) -> None:
    assert split_side(name) == (side, rest)


@pytest.mark.parametrize("name", Skeleton.available())
def test_registered_layouts_are_understood(name: str) -> None:
    layout = Skeleton.get(name)
    assert unknown_joints(layout.joints) == []
    assert set(left_right_pairs(layout.joints)) == set(layout.pairs)


def test_the_table_is_in_the_words_it_explains() -> None:
    for names in SYNONYMS.values():
        assert len(set(names)) == len(names)
        assert all(name.isalnum() and name == name.lower() for name in names)
