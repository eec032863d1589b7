"""Mistakes of users end in one line and exit status 2, in every program."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from pyg_fsar.cli import main
from pyg_fsar.testing import SAMPLES, sample_bodies
from pyg_fsar.training import run_script

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
MISTAKES = {
    "ntu_fewshot": [
        ("--root none", "there is no folder"),
        ("--root empty", "found neither *.skeleton nor nturgbd_skeletons_*.zip"),
        ("--root empty --out text.txt", "found neither"),
        ("--out text.txt", "text.txt"),
        ("--out used", "holds an earlier run"),
        ("--out used --resume", "cannot restore"),
        ("--n-way 1", "n_way must be at least 2"),
        ("--n-way 500", "need 500 classes"),
        ("--lr nan", "lr must be at least 0"),
        ("--num-frames 0", "num_frames must be at least 1"),
        ("--precision nonsense", "Precision 'nonsense' is invalid"),
        ("--accelerator quantum", "invalid accelerator name"),
        ("--accelerator cuda", "can not run on your system"),
        ("--devices x", "should be an int > 0"),
        ("--optimizer-options foo=1", "has no option foo"),
        ("--matcher otam --gamma 7", "has no option gamma"),
        ("--backbone transformer", "invalid choice: 'transformer'"),
    ],
    "utd_fewshot": [("--root none", "there is no folder"), ("--n-way 5", "required: --root")],
    "kinetics_fewshot": [
        ("--root none", "there is no folder"),
        ("--root empty", "found no *.json"),
        ("--n-way 5", "required: --root"),
    ],
    "reproduce": [("--data utd --root none", "there is no folder"), ("--budget x", "invalid")],
    "compose_pyg": [("--n-way 500", "need 500 classes"), ("--lr nan", "lr must be at least 0")],
    "cross_dataset": [("--utd none", "there is no folder"), ("--episodes x", "invalid int value")],
    "pretrain": [
        ("--utd none", "there is no folder"),
        ("--leave-out hdm05", "hdm05"),
        ("--lr nan", "lr must be at least 0"),
    ],
    "live": [("none none.json", "no file"), ("none", "give either a source or --camera")],
    "pyg-fsar": [
        ("info none", "there is no file or folder"),
        ("info text.txt", "is of no known format"),
        ("info empty", "Nor is it a folder with one subfolder per class"),
        ("prepare none", "there is no folder"),
        ("train clips --out new", "has 2 classes, but 5-way"),
        ("train clips --out new --val-fraction 2", "--val-fraction must lie between 0 and 1"),
        ("evaluate clips", "5-way episodes need 5"),
        ("evaluate clips --n-way 2", "leave the class out"),
        ("evaluate clips --n-way 2 --model used", "no preparation.json"),
        ("classify clips text.txt", "no clip is among the files given"),
        ("classify clips clips/a/0.csv --model none", "there is no model"),
        ("classify clips clips/a/0.csv --top 0", "--top must be at least 1"),
        ("classify clips clips/a/0.csv --save used", "no part of a classifier"),
        ("spot clips none", "there is no file or folder"),
        ("spot clips clips/a/0.csv --tolerance 0", "--tolerance must be positive"),
        ("explain clips none", "there is no file or folder"),
        ("reproduce --data utd", "--data utd needs one --root for each of utd, got 0"),
        ("reproduce --root empty", "--data fake needs no --root, got 1"),
        ("reproduce --data ntu --root empty", "found neither *.skeleton"),
        ("reproduce --data hdm05 --root empty --missing x", "--missing is about --data ntu"),
        ("reproduce --rows nothing", "no row is named 'nothing'"),
        ("reproduce --set epochs", "expected an option of the form name=value"),
        ("reproduce --set epoch=1", "unknown option epoch"),
        ("reproduce --set epochs=0", "epochs must be at least 1"),
        ("reproduce --set devices=2", "give --devices instead"),
        ("reproduce --experiments table1 --set blocks=2", "--set blocks has no effect"),
        ("reproduce --jobs 0", "--jobs must be at least 1"),
        ("reproduce --jobs 2 --engine order", "--jobs has no effect"),
        ("reproduce --cluster-options mem_gb=2", "--cluster-options needs"),
        ("dance", "invalid choice: 'dance'"),
    ],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place where mistakes are made."""
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "used", "clips/a", "clips/b"):
        Path(name).mkdir(parents=True)
    Path("text.txt").write_text("hello")
    for name in ("metrics.csv", "last.ckpt"):
        Path("used", name).write_text("x")
    sample = SAMPLES["joints_csv"]
    for path in ("clips/a/0.csv", "clips/a/1.csv", "clips/b/0.csv", "clips/b/1.csv"):
        sample.write(Path(path), sample_bodies(sample, num_frames=4))


def program(name: str) -> Callable[[Sequence[str]], None]:
    if name == "pyg-fsar":
        return main
    (path,) = (path for path in EXAMPLES if path.stem == name)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [(name, line, message) for name in MISTAKES for line, message in MISTAKES[name]],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_mistake_is_one_line(
    name: str, line: str, message: str, folder: None, capfd: pytest.CaptureFixture[str]
) -> None:
    if "cuda" in line and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    arguments = line.split()
    if name not in ("pyg-fsar", "cross_dataset", "live") and "--accelerator" not in arguments:
        arguments += ["--accelerator", "cpu"]
    with pytest.raises(SystemExit) as exit_info:
        run_script(lambda: program(name)(arguments))
    assert exit_info.value.code == 2
    printed = capfd.readouterr().err
    last = printed.strip().splitlines()[-1]
    assert "error: " in last and message in last
    assert "Traceback" not in printed and len(last) < 500


def test_every_example_is_run_so() -> None:
    assert {path.stem for path in EXAMPLES} | {"pyg-fsar"} == set(MISTAKES)
    for path in EXAMPLES:
        assert path.read_text().endswith('if __name__ == "__main__":\n    run_script(main)\n')


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    for fault in (lambda: torch.ones(2) @ torch.ones(3), lambda: [][0], lambda: {}["x"]):
        with pytest.raises((RuntimeError, LookupError)):
            run_script(fault)
