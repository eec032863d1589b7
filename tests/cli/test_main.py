"""How every subcommand is called and reports."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pyg_fsar.cli import COMMANDS, main
from pyg_fsar.cli.command import show
from pyg_fsar.testing import write_sample_clip, write_sample_folder

# Appended to examples of --help, so that they take seconds.
SMALL = {
    "train": ["--epochs", "1", "--train-episodes", "2", "--val-episodes", "2", "--num-frames", "8"],
    "evaluate": ["--episodes", "2"],
    "reproduce": ["--set", "train_episodes=2", "n_query=2", "num_frames=4", "test_episodes=2"],
}


def expand(word: str) -> list[str]:
    """What a shell makes of a word."""
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_of_help(name: str, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main([name, "--help"])
    assert exit.value.code == 0
    shown = capsys.readouterr().out
    main(["prepare", "my_clips"])
    for line in COMMANDS[name].examples:
        assert line in shown
        program, command, *words = shlex.split(line)
        assert (program, command) == ("pyg-fsar", name)
        out = next((w for w, flag in zip(words[1:], words, strict=False) if flag == "--out"), None)
        if name == "train" and out is not None and Path(out).exists():
            Path(out).rename(f"{out}-before")  # an earlier run is not to be lost
        words = [part for word in words for part in expand(word)]
        capsys.readouterr()
        small = SMALL.get(name, [])
        if "--pretrained" in words:  # has its own preparation
            small = small[: small.index("--num-frames")]
        main([name, *words, *small])
        output = capsys.readouterr().out
        assert output
        if "--json" in words:
            json.loads(output)


FILE = "a file of this name stands where a folder is needed; give another name"

MISTAKES = [
    ("info missing.bvh", "there is no file or folder missing.bvh"),
    ("info broken.bvh", "broken.bvh"),
    ("info broken.bvh --format bvh", "broken.bvh cannot be read as 'bvh'"),
    ("info my.txt", "use `pyg-fsar info PATH --format NAME`"),
    ("info empty", "Nor is it a folder with one subfolder per class"),
    ("info broken", "none of 1 files in broken can be used, the first being bow/01.bvh"),
    ("prepare missing", "there is no folder"),
    ("prepare empty", "put the clips of each class into a subfolder"),
    ("prepare my_clips --skeleton body16", "unknown skeleton layout 'body16'"),
    ("prepare my_clips --people 0", "people must be a number from 1"),
    ("prepare my_clips --workers -1", "--workers must not be negative"),
    ("prepare my_clips --workers many", "invalid int value: 'many'; see pyg-fsar prepare --help"),
    ("prepare made --people 2", "pass --force to make it anew, or another --store"),
    ("train my_clips", "the following arguments are required: --out"),
    ("train my_clips --out runs", "give a smaller --n-way or --eval-n-way, or more classes"),
    ("train my_clips --out runs --n-way 2 --val-fraction 2", "--val-fraction must lie between"),
    (
        "train my_clips --out runs --n-way 2 --n-query 9",
        "bow has 2 clips, but 1 examples + 9",
    ),
    (
        "train my_clips --out runs --n-way 2 --n-query 1 --blocks 3",
        "--blocks must be one of 2, 4, 7, 10",
    ),
    ("train my_clips --out my.txt --n-way 2 --n-query 1", f"my.txt: {FILE}"),
    ("prepare my_clips --store my.txt", f"my.txt: {FILE}"),
    ("prepare my_clips --store my.txt/sub", "my.txt/sub: a file stands where a folder is needed"),
    ("classify my_clips new.bvh --save my.txt", f"my.txt: {FILE}"),
    ("explain my_clips new.bvh --html empty", "empty: it is a folder, but a file is needed"),
    ("explain my_clips new.bvh --html my.txt/a.html", f"my.txt: {FILE}"),
    ("explain my_clips new.bvh --picture empty", "empty: it is a folder, but a file is needed"),
    ("reproduce --set n_way=0", "error: n_way must be at least 2, got 0"),
    ("evaluate my_clips", "has 4 classes, but 5-way episodes need 5; give a smaller --n-way"),
    ("evaluate my_clips --n-way 2", "class bow has 2 clips, but 1 examples + 5 queries"),
    ("evaluate my_clips --n-way 2 --n-query 1 --episodes 0", "--episodes must be at least 1"),
    (
        "evaluate my_clips --n-way 2 --model mine",
        "there is no model 'mine'; give body15, body15-untrained, or",
    ),
    ("evaluate my_clips --n-way 2 --model empty", "it has no preparation.json; give one"),
    ("classify my_clips missing.bvh", "there is no file or folder missing.bvh"),
    ("classify my_clips my.txt", "no clip is among the files given"),
    ("classify my_clips broken.bvh", "broken.bvh"),
    ("classify my_clips empty", "empty has no clip in it"),
    ("classify my_clips new.bvh --top 0", "--top must be at least 1"),
    ("classify missing new.bvh", "there is no folder missing"),
    ("classify my_clips new.bvh --save my_clips", "which is no part of a classifier"),
    ("explain my_clips new.bvh --label dance", "unknown label 'dance'"),
    ("explain my_clips my_clips/bow", "holds 2 clips; give one"),
    ("dance", "invalid choice: 'dance'"),
    ("", "the following arguments are required: COMMAND"),
]


@pytest.mark.parametrize(("line", "words"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_mistakes_are_told_in_one_line(
    line: str,
    words: str,
    refused: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sample_folder("my_clips", "bvh", ["bow", "hop", "kick", "wave"])
    write_sample_clip("new.bvh", "bvh", "bow", take=9)
    if " made" in line:
        main(["prepare", str(write_sample_folder("made", "bvh"))])
    Path("empty").mkdir()
    Path("my.txt").write_text("no clip")
    Path("broken.bvh").write_text("HIERARCHY\nROOT")
    Path("broken/bow").mkdir(parents=True)
    Path("broken/bow/01.bvh").write_text("HIERARCHY\nROOT")
    assert words in refused(*line.split())


def test_mistakes_of_the_program_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyg_fsar.cli.info.recognise", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["info", str(Path.cwd())])


def test_module_is_the_program(tmp_path: Path) -> None:
    path = write_sample_clip(tmp_path / "a.bvh", "bvh", "bow")
    run = [sys.executable, "-m", "pyg_fsar.cli", "info", str(path), "--json"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["format"] == "bvh"


def test_numbers_that_json_has_not_are_null() -> None:
    text = show({"accuracy": float("nan"), "of": [{"x": float("inf")}], "name": "é"}, as_json=True)
    assert json.loads(text) == {"accuracy": None, "of": [{"x": None}], "name": "é"}
    assert "é" in text


def test_long_lists_are_cut_for_people_only() -> None:
    rows = [{"file": f"{n}.bvh", "reason": "broken"} for n in range(30)]
    assert "and 10 more, see --json" in show({"skipped": rows}, as_json=False)
    assert json.loads(show({"skipped": rows}, as_json=True))["skipped"] == rows


@pytest.mark.filterwarnings("always:.* raw files or clips of .* were left out:UserWarning")
def test_warnings_are_one_line_in_the_words_of_the_shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sample_folder("my_clips", "bvh")
    Path("my_clips/bow/03.bvh").write_text("HIERARCHY\nROOT")
    main(["prepare", "my_clips"])
    captured = capsys.readouterr()
    warnings = [line for line in captured.err.splitlines() if "left out" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: 1 raw files or clips of 7 files")
    assert "--force" in warnings[0] and "force_reload" not in captured.err
    assert "bow/03.bvh" in captured.out
