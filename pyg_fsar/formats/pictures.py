"""From the coordinates of cameras and pictures, whose y points down, to this package's."""

from __future__ import annotations

import numpy as np

__all__ = ["from_camera", "from_pixels", "from_relative"]


def from_camera(joints: np.ndarray) -> np.ndarray:
    """3D joints of a camera whose x points right, y down and z away: turned by half a turn about z.

    Shapes:
        - **joints, output:** ``[..., V, 3 or 4]``, the fourth channel being a score
    """
    turned = np.array(joints, dtype=np.float64)
    turned[..., :2] *= -1
    return turned


def from_pixels(
    joints: np.ndarray, size: tuple[float, float] | None = None, dims: int = 2
) -> np.ndarray:
    """Joints found in a picture, counted from its middle, y up, in units of its height.

    Args:
        joints: Pixels counted from the upper left corner, in 3D with a depth that grows away from
            the camera, and a score if there is one. 2D joints get one that is 1. A 2D joint whose
            score is zero was not found, and all its channels become zero.
        size: Width and height of the picture. If they are not known, the smallest square that
            holds all joints and the corner stands for it: proportions are kept, the scale is not.
        dims: Number of coordinates. 3D bodies are turned by half a turn about z, so that as
            elsewhere x points to the right of a person who faces the camera; 2D ones are seen as
            in the picture.

    Shapes:
        - **joints:** ``[..., V, dims or dims + 1]``
        - **output:** float32 ``[..., V, 3]`` in 2D, in 3D as many channels as given

    Raises:
        ValueError: If the size is not positive.
    """
    joints = np.asarray(joints, dtype=np.float64)
    place, score = joints[..., :dims], joints[..., dims : dims + 1]
    found = place.any(axis=-1, keepdims=True) & np.isfinite(place).all(axis=-1, keepdims=True)
    if dims == 2:
        score = score if score.shape[-1] else found.astype(np.float64)
        found &= score > 0
    if size is None:
        side = float(np.where(found, place[..., :2], 0).max(initial=0))
        size = (side, side) if side > 0 else (1.0, 1.0)
    width, height = (float(length) for length in size)
    if not (0 < width < np.inf and 0 < height < np.inf):
        raise ValueError(f"size must be the picture's (width, height), got {size}")
    x = (place[..., :1] - width / 2) * (1 if dims == 2 else -1)
    channels = [x / height, (height / 2 - place[..., 1:2]) / height, place[..., 2:] / height, score]
    return np.where(found, np.concatenate(channels, axis=-1), 0).astype(np.float32)


def from_relative(
    joints: np.ndarray, size: tuple[float, float] | None = None, dims: int = 2
) -> np.ndarray:
    """The same as :func:`from_pixels` for joints that are relative to the picture's size.

    Args:
        joints: x in widths, y in heights, in 3D z in widths, and a score if there is one.
        size: Width and height of the picture; by default it is taken as a square.
        dims: Number of coordinates.

    Shapes:
        - **joints:** ``[..., V, dims or dims + 1]``
    """
    width, height = size if size is not None else (1, 1)
    pixels = np.array(joints, dtype=np.float64)
    pixels[..., :dims] *= np.array([width, height, width])[:dims]
    return from_pixels(pixels, (width, height), dims)
