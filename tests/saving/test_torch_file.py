from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pyg_fsar.saving import load_tensors


def test_tensors_and_plain_containers(tmp_path: Path) -> None:
    content = {"meta": {"epoch": 3}, "state_dict": {"a": torch.arange(3), "b": [1.5, "x"]}}
    for new in (True, False):  # an archive, and the form before torch 1.6
        path = tmp_path / f"{new}.pth"
        torch.save(content, path, _use_new_zipfile_serialization=new)
        for given in (path, str(path)):
            loaded = load_tensors(given)
            assert loaded["meta"] == {"epoch": 3}
            assert torch.equal(loaded["state_dict"]["a"], torch.arange(3))
            assert loaded["state_dict"]["b"] == [1.5, "x"]


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x" * 9])
def test_damaged(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "a.pth"
    torch.save({"a": torch.zeros(9)}, path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"a\.pth cannot be loaded"):
        load_tensors(path)


def test_refuses_what_is_no_data(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_tensors(path)
    torch.save({"a": Path("x")}, path)
    with pytest.raises(ValueError, match="more than tensors and plain containers"):
        load_tensors(path)
    torch.save({"a" * 10_001: 1}, path)  # torch's messages about long names take long
    with pytest.raises(ValueError, match="a text of 10001 characters"):
        load_tensors(path)
