"""Documentation that does not run is wrong: its code, commands and lists are tried here."""

from __future__ import annotations

import doctest
import functools
import importlib.util
import inspect
import json
import pickle
import pkgutil
import re
import shlex
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numpy as np
import pytest
import torch
import torch_geometric

import pyg_fsar
from pyg_fsar import FewShotModel, Skeleton
from pyg_fsar.cli import main as pyg_fsar_command
from pyg_fsar.data import Episode
from pyg_fsar.datasets import (
    HDM05,
    NTURGBD,
    UTDMHAD,
    FakeSkeletonDataset,
    KinderGator,
    KineticsSkeleton,
    write_ntu_skeleton,
)
from pyg_fsar.formats import FORMATS
from pyg_fsar.matching import MATCHERS, build_matcher
from pyg_fsar.nn import SpatialGraphConv
from pyg_fsar.testing.motion_samples import MOTION_SAMPLES
from pyg_fsar.testing.samples import SAMPLES, sample_bodies
from pyg_fsar.training import clip_transform

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs" / "source").glob("*.rst")),
]
# Numbers that decide how long the code of a page runs, and nothing else that it shows.
TINY = {r"(_episodes)=\d+": r"\1=2", r"n_query=\d+": "n_query=2"}
SUBPACKAGES = [
    f"pyg_fsar.{module.name}" for module in pkgutil.iter_modules(pyg_fsar.__path__) if module.ispkg
]


def blocks(page: Path, language: str) -> Iterator[tuple[int, str]]:
    """Code blocks of a page, each with the number of its first line."""
    lines = page.read_text().splitlines()
    fenced = page.suffix == ".md"
    start = f"```{language}" if fenced else f".. code-block:: {language}"
    for number, line in enumerate(lines):
        if line.strip() != start:
            continue
        margin = len(line) - len(line.lstrip())
        block = []
        for inner in lines[number + 1 :]:
            if fenced and inner.strip() == "```":
                break
            if not fenced and inner.strip() and len(inner) - len(inner.lstrip()) <= margin:
                break
            block.append(inner)
        yield number + 2, inspect.cleandoc("\n".join(["", *block]))


def write_raw_data(folder: Path) -> None:
    """A few small files of each format, where the pages say that the data lies."""
    scipy_io = pytest.importorskip("scipy.io")
    rng = np.random.default_rng(0)

    def bodies(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    for name in ("ntu", "UTD-MHAD", "kinetics/kinetics_train"):
        (folder / name).mkdir(parents=True)
    exemplars = [NTURGBD.exemplar_name(label) for label in NTURGBD.ONE_SHOT_TEST_CLASSES]
    for name in (*exemplars, "S001C001P001R001A001", "S018C001P001R001A061"):
        write_ntu_skeleton(folder / "ntu" / f"{name}.skeleton", bodies(1, 2, 25, 3))
    (folder / "ntu" / "S001C001P001R001A002.skeleton").write_text("2\r\n")

    for action in (1, 2):
        file = folder / "UTD-MHAD" / f"a{action}_s1_t1_skeleton.mat"
        scipy_io.savemat(file, {"d_skel": bodies(20, 3, 4)})

    person = {"pose": [0.4] * 36, "score": [0.9] * 18}
    frames = [{"frame_index": 1, "skeleton": [person]}]
    (folder / "kinetics" / "kinetics_train" / "clip.json").write_text(
        json.dumps({"data": frames, "label": "abseiling", "label_index": 1})
    )

    annotation = {"frame_dir": "clip", "label": 1, "img_shape": (240, 320)}
    annotation |= {"keypoint": bodies(1, 4, 17, 2), "keypoint_score": np.ones((1, 4, 17))}
    content = {"split": {"train": ["clip"]}, "annotations": [annotation]}
    (folder / "clips.pkl").write_bytes(pickle.dumps(content))

    people = {"Kinder-Gator/Adults": "POSE-p565_05-Bow-1469182474370.csv"}
    people |= {"Kinder-Gator/Children": "POSE-p7_01-Raise-your-hand-1469182402284.csv"}
    for place, name in people.items():
        (folder / place).mkdir(parents=True)
        sample = SAMPLES["joints_csv"]
        sample.write(folder / place / name, sample_bodies(sample))
    for action in ("grabHighR", "squat1Reps"):
        (folder / "HDM05" / "amc" / action).mkdir(parents=True)
        sample = MOTION_SAMPLES["asf_amc"]
        name = f"HDM_bd_{action}_001_120.amc"
        sample.write(folder / "HDM05" / "amc" / action / name, sample_bodies(sample))
    for action in ("bow", "wave"):
        (folder / "my_clips" / action).mkdir(parents=True)
        sample = MOTION_SAMPLES["bvh"]
        sample.write(folder / "my_clips" / action / "01.bvh", sample_bodies(sample))

    np.save(folder / "train_data.npy", bodies(2, 3, 4, 25, 1))
    (folder / "train_label.pkl").write_bytes(pickle.dumps((["a", "b"], [0, 1])))


# There is a broken file on purpose.
@pytest.mark.filterwarnings("ignore:.* raw files or clips of .* were left out:UserWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if page.stem == "datasets":
        write_raw_data(tmp_path / "data")
    names: dict[str, object] = {"__name__": "__main__"}
    # What a page registers must not reach other tests.
    with patch.dict(MATCHERS), patch.dict(FORMATS):
        for line, code in blocks(page, "python"):
            for pattern, small in TINY.items():
                code = re.sub(pattern, small, code)
            # Empty lines before it make a traceback point into the page.
            exec(compile("\n" * (line - 1) + code, str(page), "exec"), names)


# Modules whose docstrings have examples.
WITH_EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "pyg_fsar").rglob("*.py"))
    if re.search(r"^ +>>> ", path.read_text(), re.MULTILINE)
]


@functools.cache
def dataset_of_examples() -> FakeSkeletonDataset:
    return FakeSkeletonDataset("ntu25", clips_per_class=3, transform=clip_transform(30, False))


def names_of_examples(module: ModuleType) -> dict[str, object]:
    """What examples need not define: public names, and ordinary things to apply them to."""
    public = {
        name: getattr(subpackage, name)
        # From the last to the first: where a transform has the name of a layer, it is the layer.
        for subpackage in map(importlib.import_module, reversed(["pyg_fsar", *SUBPACKAGES]))
        for name in subpackage.__all__
    }
    public |= vars(module)
    dataset = dataset_of_examples()
    clips = dataset.gather([0, 1, 3])
    skeleton = Skeleton.get("ntu25")
    x = torch.randn(25, 3)
    return public | {
        "Path": Path,
        "np": np,
        "partial": functools.partial,
        "torch": torch,
        "torch_geometric": torch_geometric,
        "SAGEConv": torch_geometric.nn.SAGEConv,
        "criterion": torch.nn.functional.cross_entropy,
        "skeleton": skeleton,
        "data": torch_geometric.data.Data(
            x=x,
            edge_index=skeleton.edge_index(),
            y=torch.arange(25),
            batch=torch.zeros(25, dtype=torch.long),
        ),
        "x": x,
        "conv": SpatialGraphConv(3, 3),
        "embeddings": torch.randn(4, 8, 25, 64),
        "loss": torch.zeros(()),
        "dataset": dataset,
        "clips": clips,
        "queries": [clips[2], clips[0]],
        "episode": Episode.from_clips(
            dataset.gather(range(0, 15, 3)), dataset.gather(range(1, 15, 3))
        ),
        "model": FewShotModel(torch.nn.Identity(), build_matcher("dtw")),
    }


@pytest.mark.parametrize("module_name", WITH_EXAMPLES)
def test_examples_of_docstrings(
    module_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(module_name)
    names = names_of_examples(module)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    report: list[str] = []
    for example in doctest.DocTestFinder().find(module, module_name, extraglobs=names):
        runner.run(example, out=report.append)
    assert not runner.failures, "".join(report)


def load_script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    """Scripts are there and know the options that a page gives them, and make has its targets."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for _, block in blocks(page, "console"):
        for line in block.splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words[:1] == ["make"]:
                assert words[1] in targets, line
            scripts = [word for word in words if word.endswith(".py")]
            if scripts:
                assert (ROOT / scripts[0]).is_file(), line
            if scripts and scripts[0].startswith("examples/"):
                load_script(ROOT / scripts[0]).parse(words[words.index(scripts[0]) + 1 :])


def shown(text: str) -> str:
    """Output as far as it is the same in every run: without numbers and blanks."""
    return re.sub(r"[\d.]+|[ -]{2,}", " ", text)


def expanded(word: str) -> list[str]:
    """What a shell makes of a word of a command."""
    return sorted(map(str, Path().glob(word))) or [word] if "/*" in word else [word]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "$ pyg-fsar" in page.read_text()], ids=lambda page: page.name
)
def test_commands_of_pyg_fsar_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One after the other, with the lines of Python between them; output shown is what comes."""
    monkeypatch.chdir(tmp_path)
    for _, block in blocks(page, "console"):
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, output = command.partition("\n")
            program, *words = (w for word in shlex.split(line) for w in expanded(word))
            capsys.readouterr()
            if program == "pyg-fsar":
                pyg_fsar_command(words)
                if output.strip():
                    assert shown(capsys.readouterr().out).split() == shown(output).split(), line
            elif (program, words[0]) == ("python", "-c"):
                exec(words[1], {})


def test_results_of_the_readme_are_those_of_the_pages() -> None:
    pages = (ROOT / "docs" / "source" / "results.rst").read_text()
    results = (ROOT / "README.md").read_text().split("## Results")[1].split("## ")[0]
    numbers = re.findall(r"\d+\.\d+", results)
    assert len(numbers) >= 10
    for number in numbers:
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", pages), number


def test_picture_is_drawn(tmp_path: Path) -> None:
    script = load_script(ROOT / "docs" / "make_picture.py")
    script.main(tmp_path / "picture.png")
    committed = script.PICTURE.read_bytes()
    for picture in (committed, (tmp_path / "picture.png").read_bytes()):
        assert picture.startswith(b"\x89PNG")
        assert len(picture) < 200_000
    text = str(script.PICTURE.relative_to(ROOT))
    assert f"({text})" in (ROOT / "README.md").read_text()


def test_picture_of_the_report_is_drawn(tmp_path: Path) -> None:
    script = load_script(ROOT / "docs" / "make_report_picture.py")
    script.write_report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<title>Why raise both arms?</title>" in page  # as on the picture
    assert 100_000 < script.PICTURE.stat().st_size < 200_000
    text = str(script.PICTURE.relative_to(ROOT / "docs" / "source"))
    assert f"image:: {text}" in (ROOT / "docs" / "source" / "explanations.rst").read_text()
    if not any(map(shutil.which, script.PROGRAMS)):
        pytest.skip(f"no {', '.join(script.PROGRAMS)} is on the PATH, so the page is not drawn")
    script.main(tmp_path / "picture.png")
    for picture in (script.PICTURE.read_bytes(), (tmp_path / "picture.png").read_bytes()):
        assert picture.startswith(b"\x89PNG")
        assert struct.unpack(">II", picture[16:24]) == (script.WIDTH, script.HEIGHT)


@pytest.mark.slow
def test_diagrams_are_drawn(tmp_path: Path) -> None:
    """For light and for dark pages, on which they stand, from the numbers that the pages show."""
    script = load_script(ROOT / "docs" / "make_diagrams.py")
    script.main(tmp_path)
    pages = "".join(page.read_text() for page in (ROOT / "docs" / "source").glob("*.rst"))
    for drawn in tmp_path.iterdir():
        committed = script.STATIC / drawn.name
        for picture in (committed, drawn):
            assert b"<svg" in picture.read_bytes()
            assert picture.stat().st_size < 200_000
        theme = committed.stem.split("_")[-1]
        assert f".. image:: _static/{committed.name}\n   :class: only-{theme}\n" in pages
    assert len(list(tmp_path.iterdir())) == 2 * len(script.DIAGRAMS)


def test_listed_splits_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "source" / "datasets.rst").read_text()
    for dataset in (NTURGBD, KineticsSkeleton):
        for classes in (dataset.VAL_CLASSES, dataset.TEST_CLASSES):
            assert f" {' '.join(map(str, classes))}\n" in page
    text = " ".join(page.split())
    for data, sizes in ((UTDMHAD, (15, 5, 7)), (KinderGator, (34, 10, 14))):
        order = np.random.default_rng(data.SPLIT_SEED).permutation(sum(sizes)).tolist()
        for split, size in zip(("train", "val", "test"), sizes, strict=True):
            classes = getattr(data, f"{split.upper()}_CLASSES")
            listed = ", ".join(f"{label} {data.CLASS_NAMES[label]}" for label in classes)
            assert f"* - {split} - {listed}" in text
            drawn, order = order[:size], order[size:]
            assert list(classes) == sorted(drawn)


def test_listed_split_of_hdm05_is_that_of_its_classes() -> None:
    text = (ROOT / "docs" / "source" / "datasets.rst").read_text()
    lists = [re.search(rf"\n{s}\n   (\w+,[\w, ]+)\n", text) for s in ("train", "val", "test")]
    names = [found[1].split(", ") for found in lists if found]
    every = sorted(name for split in names for name in split)
    val, test = HDM05.split_classes(len(every))
    assert names[1:] == [[every[n] for n in labels] for labels in (val, test)]


def test_rank_table_is_what_its_code_prints(capsys: pytest.CaptureFixture[str]) -> None:
    page = ROOT / "docs" / "source" / "method.rst"
    code = next(code for _, code in blocks(page, "python") if "cases" in code)
    with torch.random.fork_rng():
        exec(compile(code, str(page), "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4
    text = " ".join(page.read_text().split())
    for line in printed:
        *name, fbnm, nuclear, frobenius, logdet = line.split()
        assert f"* - {' '.join(name)} - {fbnm} - {nuclear} - {frobenius} - {logdet}" in text


@pytest.mark.parametrize("module_name", ["pyg_fsar", *SUBPACKAGES])
def test_every_public_name_is_documented(module_name: str) -> None:
    module = importlib.import_module(module_name)
    assert module.__doc__
    for name in module.__all__:
        member = getattr(module, name)
        if inspect.isclass(member) or inspect.isroutine(member):
            assert member.__doc__, f"{module_name}.{name} has no docstring"


# Those with API pages; kernels are for the other modules.
@pytest.mark.parametrize(
    "module_name", ["pyg_fsar", *(name for name in SUBPACKAGES if name != "pyg_fsar.kernels")]
)
def test_every_public_class_has_an_example(module_name: str) -> None:
    module = importlib.import_module(module_name)
    members = {name: getattr(module, name) for name in module.__all__}
    without = [
        name
        for name, member in members.items()
        if inspect.isclass(member) and ">>> " not in (inspect.getdoc(member) or "")
    ]
    assert not without, "add a section Example: of a few lines to the docstring"
