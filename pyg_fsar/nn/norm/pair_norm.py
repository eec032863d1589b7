"""Pair normalisation."""

from __future__ import annotations

import math

from torch import Tensor
from torch_geometric.utils import scatter

from pyg_fsar.nn.pretrained import PretrainedModule

__all__ = ["PairNorm"]

MODES = ("PN", "PN-SI", "PN-SCS")


class PairNorm(PretrainedModule):
    r"""Keeps the total distance between the joints of a frame constant, after "PairNorm: Tackling
    Oversmoothing in GNNs" (ICLR 2020).

    With :math:`\mathbf{x}^c_i` the joints less their mean over the frame, the modes give

    .. math::
        \text{PN:} \quad s \, \mathbf{x}^c_i \Big/
        \sqrt{\tfrac{1}{V} \textstyle\sum_j \| \mathbf{x}^c_j \|^2}
        \qquad
        \text{PN-SI:} \quad s \, \mathbf{x}^c_i / \| \mathbf{x}^c_i \|
        \qquad
        \text{PN-SCS:} \quad s \, \mathbf{x}_i / \| \mathbf{x}_i \|
        - \tfrac{1}{V} \textstyle\sum_j \mathbf{x}_j

    Unlike :class:`torch_geometric.nn.PairNorm`, which averages over the first axis when it gets no
    ``batch``, every frame is normalised for itself. With ``batch`` the two agree, PN-SI being
    PyG's ``scale_individually``.

    Args:
        scale: The factor :math:`s`.
        mode: ``"PN"``, ``"PN-SI"`` (scale individually) or ``"PN-SCS"`` (scale and centre
            simultaneously).
        eps: Added to denominators, so that equal joints give zeros.

    Shapes:
        - **input:** :math:`(*, V, C)`, or with ``batch`` :math:`(N, C)`
        - **output:** the same

    Raises:
        ValueError: If the mode is unknown, or a number is NaN or infinite.

    Example:
        >>> x = PairNorm(scale=1.0)(embeddings)
        >>> x.shape
        torch.Size([4, 8, 25, 64])
    """

    def __init__(self, scale: float = 1.0, mode: str = "PN", eps: float = 1e-5) -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"unknown mode '{mode}'; known are {', '.join(MODES)}")
        if not (math.isfinite(scale) and math.isfinite(eps)):
            raise ValueError(f"scale and eps must be finite, got {scale} and {eps}")
        self.scale = scale
        self.mode = mode
        self.eps = eps

    def forward(
        self, x: Tensor, batch: Tensor | None = None, batch_size: int | None = None
    ) -> Tensor:
        """Normalise every frame, or every graph of a batch.

        Args:
            x: Joint features.
            batch: For ordinary graphs, the graph that each node belongs to.
            batch_size: Number of graphs, found from ``batch`` if not given.
        """

        def mean(values: Tensor) -> Tensor:
            if batch is None:
                return values.mean(dim=-2, keepdim=True)
            means = scatter(values, batch, dim=-2, dim_size=batch_size, reduce="mean")
            return means.index_select(-2, batch)

        centre = mean(x)
        if self.mode == "PN-SCS":
            return self.scale * x / (self.eps + x.norm(dim=-1, keepdim=True)) - centre
        x = x - centre
        if self.mode == "PN-SI":
            return self.scale * x / (self.eps + x.norm(dim=-1, keepdim=True))
        return self.scale * x / (self.eps + mean(x.square().sum(dim=-1, keepdim=True))).sqrt()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(scale={self.scale}, mode='{self.mode}')"
