import subprocess
import sys

import pytest
import torch

from pyg_fsar.visualization import plot_joint_similarity


def test_matplotlib_is_only_imported_to_draw():
    code = "import sys, pyg_fsar.visualization; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_the_error_names_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install pyg-fsar\[examples\]"):
        plot_joint_similarity(torch.rand(25, 4))
