"""From pixels to the package's convention for joints in pictures."""

from __future__ import annotations

import numpy as np

__all__ = ["from_pixels"]


def from_pixels(joints: np.ndarray, size: tuple[float, float] | None = None) -> np.ndarray:
    """Joints found in a picture, counted from its middle, y up, in units of its height.

    Args:
        joints: Pixels counted from the upper left corner, and scores. Where the score is zero,
            nothing was found, and all channels become zero.
        size: Width and height of the picture. If they are not known, the smallest square that
            holds all joints and the corner stands for it: proportions are kept, the scale is not.

    Shapes:
        - **joints:** ``[..., V, 3]``
        - **output:** float32 ``[..., V, 3]``
    """
    joints = np.asarray(joints, dtype=np.float64)
    found = (joints[..., 2:] > 0) & np.isfinite(joints[..., :2]).all(axis=-1, keepdims=True)
    if size is None:
        side = float(np.where(found, joints[..., :2], 0).max(initial=0))
        size = (side, side) if side > 0 else (1.0, 1.0)
    width, height = (float(length) for length in size)
    if not (0 < width < np.inf and 0 < height < np.inf):
        raise ValueError(f"size must be the picture's (width, height), got {size}")
    place = (joints[..., :2] - (width / 2, height / 2)) * (1 / height, -1 / height)
    return np.where(found, np.concatenate([place, joints[..., 2:]], axis=-1), 0).astype(np.float32)
