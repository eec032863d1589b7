"""Rank maximisation of joint embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch_geometric.utils import to_dense_batch

from pyg_fsar.nn.pretrained import PretrainedModule

__all__ = ["RANK_METHODS", "RankMax", "nuclear_norm"]

# Singular values below this fraction of the largest are rounding errors of a Gram matrix.
RELATIVE_CUT = 1e-6
# Squared precision of the coding rate, as in Yu et al. (NeurIPS 2020).
SQUARED_PRECISION = 0.25


class RankMax(PretrainedModule):
    r"""Penalty on frames whose joints look alike, after Ma et al. (ECCV 2022): minus a smooth
    measure of the rank of each frame, averaged over frames.

    For the first three methods :math:`\mathbf{S}` is a frame after softmax over its channels and
    :math:`r = \min(V, C)`:

    - ``"nuclear"``: the mean singular value of :math:`\mathbf{S}`, as in batch nuclear-norm
      maximisation (Cui et al., CVPR 2020). Among these three only it ranks a frame of distinct
      joints above one of equal joints both while the softmax is soft and when it is saturated.
    - ``"fbnm"``: the mean of the :math:`r` largest column norms of :math:`\mathbf{S}`, the fast
      approximation of the former that Ma et al. released.
    - ``"frobenius"``: the Frobenius norm of :math:`\mathbf{S}`, the upper bound that Cui et al.
      start from. It grows with confidence and does not see whether joints are alike.
    - ``"logdet"``: the coding rate :math:`\log \det (\mathbf{I} + a \mathbf{Z} \mathbf{Z}^\top)`
      of Yu et al. (NeurIPS 2020) with :math:`\mathbf{Z}` the joints scaled to unit length and
      :math:`a = C / (0.25 \, V)`, divided by its greatest possible value
      :math:`r \log(1 + a V / r)`, so that orthogonal joints give 1.

    Values and gradients are finite for every finite frame, also where joints are equal or zero.
    Everything is computed in at least float32, under autocast too.

    Args:
        method: One of the four above, or what was added to :data:`RANK_METHODS`.

    Shapes:
        - **input:** joints :math:`(*, V, C)`; or :math:`(N, C)` with ``batch``
        - **output:** a scalar, to be minimised

    Raises:
        ValueError: If the method is unknown.

    Example:
        >>> loss = loss + 0.1 * RankMax()(embeddings)
    """

    def __init__(self, method: str = "nuclear") -> None:
        super().__init__()
        if method not in RANK_METHODS:
            raise ValueError(f"unknown method '{method}'; known are {', '.join(RANK_METHODS)}")
        self.method = method

    def forward(self, x: Tensor, batch: Tensor | None = None) -> Tensor:
        """Penalise frames, or the graphs of a PyG batch.

        Args:
            x: Joint features.
            batch: For ordinary node sets, the graph that each node belongs to, ascending. Graphs
                may differ in size; the result is the mean over graphs.

        Raises:
            ValueError: If ``x`` has fewer than two axes or no element, or more than two axes
                although ``batch`` is given.
        """
        if x.dim() < 2 or x.numel() == 0 or (batch is not None and x.dim() != 2):
            wanted = "[..., V, C]" if batch is None else "[N, C] with batch"
            raise ValueError(f"RankMax needs joints {wanted}, at least one, got {list(x.shape)}")
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(torch.promote_types(x.dtype, torch.float32))
            if batch is None:
                sizes = torch.full((), x.size(-2), device=x.device)
                return -RANK_METHODS[self.method](x, None, sizes).mean()
            x, mask = to_dense_batch(x, batch)
            sizes = mask.sum(dim=1)
            # A graph without nodes measures zero and does not count.
            total = RANK_METHODS[self.method](x, mask, sizes.clamp(min=1)).sum()
            return -total / (sizes > 0).sum()

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self.method}')"


def nuclear_norm(x: Tensor) -> Tensor:
    r"""Sum of the singular values of each matrix, several times faster than by
    :func:`torch.linalg.svdvals` on short and wide matrices.

    The singular values are the roots of the eigenvalues of the smaller Gram matrix, in float64.
    The gradient :math:`\mathbf{U} \mathbf{V}^\top` leaves out singular vectors whose values are
    zero but for rounding, so it is finite for repeated and zero singular values too.

    Shapes:
        - **x:** :math:`(*, N, M)`
        - **output:** :math:`(*)`
    """
    return _NuclearNorm.apply(x)


class _NuclearNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        wide = x.double() if x.size(-2) <= x.size(-1) else x.double().mT
        eigenvalues, vectors = torch.linalg.eigh(wide @ wide.mT)
        values = eigenvalues.clamp(min=0).sqrt()
        values = torch.where(values > RELATIVE_CUT * values[..., -1:], values, 0)
        if ctx.needs_input_grad[0]:
            inverse = torch.where(values > 0, 1 / values.clamp(min=1e-300), 0)
            polar = (vectors * inverse.unsqueeze(-2)) @ vectors.mT @ wide
            ctx.save_for_backward((polar if wide.shape == x.shape else polar.mT).to(x.dtype))
        return values.sum(dim=-1).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (polar,) = ctx.saved_tensors
        return grad[..., None, None] * polar


# Missing joints become rows of zeros, which change no measure.


def _softmax(x: Tensor, mask: Tensor | None) -> Tensor:
    x = x.softmax(dim=-1)
    return x if mask is None else x * mask.unsqueeze(-1)


def _nuclear(x: Tensor, mask: Tensor | None, sizes: Tensor) -> Tensor:
    return nuclear_norm(_softmax(x, mask)) / sizes.clamp(max=x.size(-1))


def _fbnm(x: Tensor, mask: Tensor | None, sizes: Tensor) -> Tensor:
    squares = _softmax(x, mask).square().sum(dim=-2)
    # Without the clamp, a saturated column has an infinite gradient times zero.
    norms = squares.clamp(min=torch.finfo(x.dtype).tiny).sqrt()
    largest = norms.topk(min(x.shape[-2:])).values
    rank = sizes.clamp(max=x.size(-1))
    counts = torch.arange(largest.size(-1), device=x.device) < rank.unsqueeze(-1)
    return (largest * counts).sum(dim=-1) / rank


def _frobenius(x: Tensor, mask: Tensor | None, sizes: Tensor) -> Tensor:
    return _softmax(x, mask).flatten(-2).norm(dim=-1)


def _logdet(x: Tensor, mask: Tensor | None, sizes: Tensor) -> Tensor:
    # The small constant bounds the gradient of joints that are all zero.
    unit = x * (x.square().sum(dim=-1, keepdim=True) + 1e-6).rsqrt()
    if mask is not None:
        unit = unit * mask.unsqueeze(-1)
    factor = x.size(-1) / (SQUARED_PRECISION * sizes)
    rows = unit if unit.size(-2) <= unit.size(-1) else unit.mT
    gram = factor[..., None, None] * (rows @ rows.mT)
    cholesky = torch.linalg.cholesky(gram + torch.eye(rows.size(-2)).to(x))
    logdet = 2 * cholesky.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
    rank = sizes.clamp(max=x.size(-1))
    return logdet / (rank * (1 + factor * sizes / rank).log())


#: Measures of :class:`RankMax` by name, as :class:`~pyg_fsar.training.ModelOptions` and command
#: lines take them. Each is called with joints ``[*, V, C]``, a mask ``[*, V]`` of those that exist
#: (None: all do) and their number ``[*]``, and gives ``[*]``.
RANK_METHODS: dict[str, Callable[[Tensor, Tensor | None, Tensor], Tensor]] = {
    "nuclear": _nuclear,
    "fbnm": _fbnm,
    "frobenius": _frobenius,
    "logdet": _logdet,
}
