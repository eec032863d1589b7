"""One encoder, and several views of the same clip as input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyg_fsar.nn.pretrained import PretrainedModule
from pyg_fsar.skeleton import Skeleton

__all__ = ["AZIMUTHS", "MultiView", "check_azimuths"]

#: Views in degrees about the vertical axis unless told otherwise.
AZIMUTHS = (-30.0, 0.0, 30.0)


class MultiView(PretrainedModule):
    r"""Encodes a clip as seen from several sides: rotated about the vertical axis y, like other
    camera positions.

    The output holds each view's embedding as a fraction of the channels, in the order of the
    azimuths. :class:`~pyg_fsar.FewShotModel` makes it where a matcher compares views, such as
    ``"views"`` and ``"jeanie"`` do, so there usually is no need to.

    Args:
        encoder: Any encoder of 3D clips; :class:`torch.nn.Identity` for the coordinates
            themselves. All views are encoded at once, so in training a batch norm sees all of them.
        azimuths: Angles of the views in degrees, one of them 0, the clip as it is.

    Shapes:
        - **input:** :math:`(B, T, V, C)`
        - **output:** :math:`(B, T', V, K \, C')` for :math:`K` views

    Raises:
        ValueError: If azimuths are not finite, repeat or lack 0; if the encoder is for 2D clips;
            on a call, if it has no skeleton and the input does not have 3 channels.

    Example:
        >>> encoder = MultiView(STGCN("ntu25", num_blocks=4), azimuths=(-30, 0, 30))
        >>> encoder(torch.randn(2, 20, 25, 3)).shape[-1] // 3 == encoder.out_channels
        True
    """

    def __init__(self, encoder: nn.Module, azimuths: Sequence[float] = AZIMUTHS) -> None:
        super().__init__()
        self.encoder = encoder
        self.azimuths = check_azimuths(azimuths)
        if hasattr(encoder, "skeleton"):
            self.check_skeleton(encoder.skeleton)  # type: ignore[arg-type]

    @property
    def num_views(self) -> int:
        """Number of views, ``K``."""
        return len(self.azimuths)

    @property
    def skeleton(self) -> Skeleton:
        """Layout of the joints, if the encoder has one."""
        return self._of_encoder("skeleton")

    @property
    def in_channels(self) -> int:
        """Size of each input joint, if the encoder knows it."""
        return self._of_encoder("in_channels")

    @property
    def out_channels(self) -> int:
        """Size of each output joint in one view, if the encoder knows it."""
        return self._of_encoder("out_channels")

    @property
    def stride(self) -> int:
        """Product of all temporal strides."""
        return getattr(self.encoder, "stride", 1)

    @property
    def mixes_frames(self) -> bool:
        """Whether a frame of the output may depend on more than the same frame of the input."""
        return getattr(self.encoder, "mixes_frames", not isinstance(self.encoder, nn.Identity))

    def forward(self, x: Tensor) -> Tensor:
        """Encode every view of bodies."""
        if not hasattr(self.encoder, "skeleton") and x.size(-1) != 3:
            raise ValueError(
                "views are rotated coordinates of 3D joints, but joints have "
                f"{x.size(-1)} channels; give 3D clips, or an encoder with a skeleton"
            )
        turned = torch.stack([self._turn(x, math.radians(angle)) for angle in self.azimuths])
        views = self.encoder(turned.flatten(0, 1)).unflatten(0, (self.num_views, -1))
        return torch.cat(views.unbind(0), dim=-1)

    def check_skeleton(self, skeleton: str | Skeleton) -> None:
        """Refuse clips that cannot be rotated.

        Args:
            skeleton: Layout of their joints, or its registered name.

        Raises:
            ValueError: If it is 2D.
        """
        layout = Skeleton.get(skeleton)
        if layout.dims != 3:
            raise ValueError(
                f"views are rotated 3D clips, but '{layout.name}' has {layout.dims} coordinates; "
                "use a matcher without views, such as soft_dtw"
            )

    def _turn(self, x: Tensor, angle: float) -> Tensor:
        if not angle:
            return x
        cos, sin = math.cos(angle), math.sin(angle)
        across, up, away, *rest = x.split([1, 1, 1, *([x.size(-1) - 3] * (x.size(-1) > 3))], dim=-1)
        return torch.cat([cos * across + sin * away, up, cos * away - sin * across, *rest], dim=-1)

    def _of_encoder(self, name: str) -> Any:
        return getattr(self.encoder, name)

    def extra_repr(self) -> str:
        """Options shown by ``print``."""
        return f"azimuths={self.azimuths}"


def check_azimuths(azimuths: Sequence[float]) -> tuple[float, ...]:
    """Check the angles of views.

    Raises:
        ValueError: If they are not finite numbers, repeat, or lack 0.
    """
    values = (azimuths,) if isinstance(azimuths, str | int | float) else tuple(azimuths)
    numbers = [isinstance(v, int | float) and math.isfinite(v) for v in values]
    if not all(numbers) or 0 not in values or len(set(values)) < len(values):
        raise ValueError(
            "azimuths must be different angles in degrees, one of them 0 for the clip as it is, "
            f"such as (-30, 0, 30); got {azimuths!r:.80}"
        )
    return tuple(float(value) for value in values)
