"""Progress bars."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

from pyg_fsar.training.local import Runner

__all__ = ["progress"]


def progress(runner: Runner, iterable: Any, label: str, **kwargs: Any) -> tqdm:
    """A progress bar on the first rank; ``TQDM_DISABLE=1`` in the environment silences it.

    Args:
        runner: Tells the rank.
        iterable: What is gone through; None with ``total=`` for a bar that is updated by hand.
        label: What is done.
        **kwargs: Further arguments of :class:`tqdm.tqdm`.
    """
    if not runner.is_global_zero:  # on the first rank, tqdm's own switch decides
        kwargs["disable"] = True
    return tqdm(iterable, desc=label, leave=False, mininterval=0.5, **kwargs)
