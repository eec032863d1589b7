from __future__ import annotations

import subprocess
import sys

import pytest

import pyg_fsar


def test_subpackages_are_there_when_asked_for_and_not_before() -> None:
    code = (
        "import sys, pyg_fsar; assert 'pyg_fsar.nn' not in sys.modules; "
        # PyG imports scipy where numba is installed; that is not this package's doing.
        "import torch_geometric.nn, torch_geometric.transforms; before = set(sys.modules); "
        "assert pyg_fsar.nn.RankMax; "
        "assert not {'matplotlib', 'scipy'} & (sys.modules.keys() - before)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    for name in pyg_fsar.SUBPACKAGES:
        assert getattr(pyg_fsar, name).__name__ == f"pyg_fsar.{name}"


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'optim'"):
        pyg_fsar.optim  # noqa: B018
