"""Damaged and hostile files against everything that reads files: one table of what becomes of them.

    python benchmarks/fuzz.py --inputs 2000

Whole files are made, one of them is changed at random, and read. That happens in a process with
6 GiB of address space and 10 s for each input, which may die: then another goes on. Columns:

    read        something was read; what was damaged may have been left out
    skipped     the damaged part is listed with its reason
    refused     an error of a documented type, under 500 characters, that names a file
    unclear     any other error
    hang, memory, crash     10 s were not enough, 6 GiB were not enough, or the process died
    code        a process was started or a library loaded
    outside     a file was written or deleted outside the folder

All columns after the third must be zero. A target is one function in the table ``TARGETS``: it
writes whole files into a folder and returns a function that reads them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import pickle
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric

from pyg_fsar import FewShotClassifier
from pyg_fsar.data import SkeletonSequence
from pyg_fsar.datasets import (
    NTURGBD,
    UTDMHAD,
    KineticsSkeleton,
    PYSKLPickle,
    SkeletonArrays,
    write_ntu_skeleton,
)
from pyg_fsar.matching import build_matcher
from pyg_fsar.nn import STGCN, FewShotModel
from pyg_fsar.saving import encode, pack_manifest
from pyg_fsar.saving.safe_pickle import load_pickle
from pyg_fsar.training import clip_transform, format_table, load_checkpoint, save_checkpoint

OUTCOMES = (
    *("read", "skipped", "refused"),
    *("unclear", "hang", "memory", "crash", "code", "outside"),
)
ADDRESS_SPACE, SECONDS = 6 * 2**30, 10
DOCUMENTED = (ValueError, RuntimeError, OSError)
Make = Callable[[Path], "Target | Callable[[], object]"]


class Target(NamedTuple):
    """How to read the files of a folder, and how an attacker would make their checksums right."""

    read: Callable[[], object]
    repair: Callable[[], None] | None = None


# What is read


def bodies(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def annotations() -> dict[str, Any]:
    clips = [
        {
            "frame_dir": f"clip{number}",
            "label": number,
            "img_shape": (240, 320),
            "total_frames": 4,
            "keypoint": bodies(1, 4, 17, 2),
            "keypoint_score": bodies(1, 4, 17) ** 2,
        }
        for number in range(3)
    ]
    return {"split": {"train": ["clip0", "clip1"], "test": ["clip2"]}, "annotations": clips}


def pickles(folder: Path) -> Callable[[], object]:
    for protocol in (0, 2, 4, 5):
        (folder / f"{protocol}.pkl").write_bytes(pickle.dumps(annotations(), protocol))
    return lambda: [load_pickle(path) for path in sorted(folder.glob("*.pkl"))]


def pyskl(folder: Path) -> Callable[[], object]:
    (folder / "clips.pkl").write_bytes(pickle.dumps(annotations(), 4))
    return lambda: list_clips(PYSKLPickle(folder / "clips.pkl", force_reload=True))


def arrays(folder: Path) -> Callable[[], object]:
    np.save(folder / "data.npy", bodies(3, 3, 5, 25, 2))
    np.save(folder / "frame.npy", np.array([5, 4, 3]))
    (folder / "label.pkl").write_bytes(pickle.dumps((["a", "b", "c"], [0, 1, 1])))
    paths = (folder / name for name in ("data.npy", "label.pkl", "frame.npy"))
    data, label, frame = paths
    return lambda: list_clips(
        SkeletonArrays.from_npy(data, label, frame, processed_dir=folder / "store")
    )


def ntu(folder: Path) -> Callable[[], object]:
    for number in (1, 2):
        write_ntu_skeleton(folder / f"S001C001P001R001A00{number}.skeleton", bodies(2, 3, 25, 3))
    return lambda: list_clips(NTURGBD(folder, split="all", num_workers=0, force_reload=True))


def kinetics(folder: Path) -> Callable[[], object]:
    (folder / "clips").mkdir()
    person = {"pose": [0.25] * 36, "score": [0.5] * 18}
    for name in ("a", "b"):
        clip = {"data": [{"frame_index": 1, "skeleton": [person]}], "label": "x", "label_index": 1}
        (folder / "clips" / f"{name}.json").write_text(json.dumps(clip))
    label = {"has_skeleton": True, "label": "x", "label_index": 1}
    (folder / "clips_label.json").write_text(json.dumps({"a": label, "b": label}))
    return lambda: list_clips(
        KineticsSkeleton(folder, split="all", num_workers=0, force_reload=True)
    )


def utd_mhad(folder: Path) -> Callable[[], object]:
    from scipy.io import savemat

    for action in (1, 2):
        savemat(folder / f"a{action}_s1_t1_skeleton.mat", {"d_skel": bodies(20, 3, 4)})
    return lambda: list_clips(UTDMHAD(folder, split="all", num_workers=0, force_reload=True))


def few_shot_model() -> FewShotModel:
    torch.manual_seed(0)
    return FewShotModel(STGCN("coco17", plan=[(2, 1)], kernel_size=3), build_matcher("dtw"))


def model(folder: Path) -> Target:
    few_shot_model().save_pretrained(folder)
    return Target(lambda: FewShotModel.from_pretrained(folder), lambda: sign_model(folder))


def classifier(folder: Path) -> Target:
    clips = [SkeletonSequence.from_bodies(bodies(1, 5, 17, 3), skeleton="coco17")] * 2
    FewShotClassifier(few_shot_model()).fit(clips, ["a", "b"]).save(folder)

    def repair() -> None:
        sign_model(folder)
        sign(folder, "classifier.json", ("support.safetensors", "config.json", "model.safetensors"))

    return Target(lambda: FewShotClassifier.load(folder), repair)


def checkpoint(folder: Path) -> Target:
    fabric, path = Fabric(accelerator="cpu", devices=1), folder / "last.ckpt"
    save_checkpoint(fabric, path, {"model": few_shot_model(), "settings": {"lr": 0.1}, "epoch": 1})

    def repair() -> None:
        """Without its checksum it is like one of an earlier version."""
        data = path.read_bytes()
        end = data.rfind(b"PK\x05\x06") + 20
        path.write_bytes(data[:end] + b"\0\0")

    return Target(lambda: load_checkpoint(fabric, path, {"model": few_shot_model()}), repair)


def list_clips(dataset: Any) -> str:
    for clip in dataset:
        if not clip.x.isfinite().all():
            raise AssertionError("a value that is not finite")
    return "skipped" if dataset.skipped else "read"


def sign_model(folder: Path) -> None:
    sign(folder, "config.json", ("model.safetensors",))


def sign(folder: Path, manifest: str, others: tuple[str, ...]) -> None:
    try:
        content = json.loads((folder / manifest).read_text())
        stored = {key: content[key] for key in content if key not in ("files", "checksum")}
    except (ValueError, TypeError, RecursionError):
        return
    files = {name: (folder / name).read_bytes() for name in others}
    (folder / manifest).write_bytes(pack_manifest(stored, files))


TARGETS: dict[str, Make] = {
    "pickles": pickles,
    "PYSKL": pyskl,
    "arrays and labels": arrays,
    "NTU": ntu,
    "Kinetics": kinetics,
    "UTD-MHAD": utd_mhad,
    "model": model,
    "classifier": classifier,
    "checkpoint": checkpoint,
}


# How it is changed

NUMBERS = (b"nan", b"inf", b"-1", b"0", b"1e999", b"1e38", b"9" * 18, b"9" * 400, b"0.5", b"''")
WORDS = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1)


def hostile_values(outside: Path) -> list[Any]:
    """Values that a file of data has no use for."""
    file = str(outside / "precious.txt")
    deep: Any = 0
    for _ in range(500):
        deep = [deep]
    functions = ("os.system", "pyg_fsar.datasets.write_ntu_skeleton", "pyg_fsar.nn.import_module")
    calls = [
        {"$partial": {"$function": name}, "args": [file], "keywords": {}} for name in functions
    ]
    dataset = {"class": "pyg_fsar.datasets.NTURGBD", "arguments": {"root": str(outside)}}
    plain = [None, True, -1, 0, 10**9, 2**62, 10**30, 1e308, float("nan"), "", "x" * 10_000, [], {}]
    return [
        *plain,
        *calls,
        {"$module": dataset},
        {"$value": dataset},
        {"$class": "pyg_fsar.STGCN"},
        encode(clip_transform(8, train=True)),
        [[[0.0] * 3] * 25] * 300,
        deep,
        {"a": deep},
    ]


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.file}.new",)


def change(data: bytes, rng: np.random.Generator, outside: Path) -> bytes:
    """One of many changes of a file's content."""
    data = data or b"0"
    kind = int(rng.integers(12))
    start, end = sorted(int(place) for place in rng.integers(0, len(data) + 1, 2))
    if kind == 0:
        flipped = bytearray(data)
        for place in rng.integers(0, len(data), int(rng.integers(1, 4))):
            flipped[place] ^= 1 << int(rng.integers(8))
        return bytes(flipped)
    if kind == 1:
        return data[:start]
    if kind == 2:
        return data[:start] + data[end:]
    if kind == 3:
        return data[:end] + data[start:]
    if kind == 4:
        return data[:start] + rng.bytes(int(rng.integers(1, 32))) + data[start:]
    if kind == 5:
        word = int(rng.choice(np.array(WORDS, dtype=np.uint64)))
        size = int(rng.choice([1, 2, 4, 8]))
        return (
            data[:start] + (word % 2 ** (8 * size)).to_bytes(size, "little") + data[start + size :]
        )
    if kind == 6:
        places = [place for place, byte in enumerate(data[:100_000]) if 48 <= byte < 58]
        if places:
            place = int(rng.choice(places))
            return data[:place] + NUMBERS[rng.integers(len(NUMBERS))] + data[place + 1 :]
    if kind == 7:
        return data[:start] + rng.choice([b"[", b"(", b"{", b"]", b'"']) * 50_000 + data[start:]
    if kind in (8, 9, 10):
        return change_json(data, rng, outside)
    return bytes(
        rng.choice([b"", b"\0" * 64, pickle.dumps(Payload(outside / "payload")), data[::-1]])
    )


def change_json(data: bytes, rng: np.random.Generator, outside: Path) -> bytes:
    """Another value at one place of a JSON file; one byte of any other."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        content = None
    places = []
    todo = [content]
    while todo:
        node = todo.pop()
        if isinstance(node, dict | list):
            keys = list(node) if isinstance(node, dict) else range(len(node))
            places += [(node, key) for key in keys]
            todo += [node[key] for key in keys]
    if not places:
        place = int(rng.integers(len(data)))
        return data[:place] + rng.bytes(1) + data[place + 1 :]
    node, key = places[rng.integers(len(places))]
    values = hostile_values(outside)
    node[key] = values[rng.integers(len(values))]
    return json.dumps(content).encode()


# How it is watched


def classify(error: BaseException, folder: Path) -> str:
    text = str(error)
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return "memory"
    names = {path.name for path in folder.rglob("*")} | {folder.name}
    named = isinstance(error, DOCUMENTED) and any(name in text for name in names)
    return "refused" if named and len(text) < 500 else "unclear"


def work(make: Make, numbers: range, seed: int, folder: Path, reports: Connection) -> None:
    """Read one input after the other, in a process that may die of it."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with (folder / "printed.txt").open("a") as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
    inside, outside = folder / "inside", folder / "outside"
    outside.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(inside, ignore_errors=True)
    inside.mkdir()
    made = make(inside)
    target = made if isinstance(made, Target) else Target(made)
    whole = {path: path.read_bytes() for path in sorted(inside.rglob("*")) if path.is_file()}
    target.read()  # what is whole can be read
    seen: list[str] = []
    watch(inside, seen)
    for number in numbers:
        rng = np.random.default_rng([seed, number])
        shutil.rmtree(inside)
        for path, content in whole.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        chosen = list(whole)[rng.integers(len(whole))]
        for _ in range(int(rng.integers(1, 3))):
            chosen.write_bytes(change(chosen.read_bytes(), rng, outside))
        if target.repair is not None and rng.random() < 0.5:
            target.repair()
        (outside / "precious.txt").write_text("years of work")
        reports.send((number, "begun", ""))
        signal.alarm(SECONDS)
        seen.clear()
        detail = ""
        try:
            result = target.read()
            outcome = result if isinstance(result, str) and result in OUTCOMES else "read"
        except BaseException as error:
            outcome, detail = classify(error, inside), f"{chosen.name}: {error!r:.300}"
        signal.alarm(0)
        found = list(seen)
        seen.clear()
        changed = [path.name for path in outside.iterdir()] != ["precious.txt"]
        if any(event.startswith("code") for event in found):
            outcome, detail = "code", str(found[:3])
        elif found or changed or (outside / "precious.txt").read_text() != "years of work":
            outcome, detail = "outside", str(found[:3])
        reports.send((number, outcome, detail))
    os._exit(0)


def watch(inside: Path, seen: list[str]) -> None:
    """Note processes and changes of files outside a folder."""
    run = (
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "subprocess.Popen",
        "ctypes.dlopen",
    )
    write = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "shutil.rmtree", "os.truncate")

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event in run:
            seen.append(f"code: {event} {arguments!r:.100}")
        is_open = event == "open" and isinstance(arguments[2], int)
        writes = is_open and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        inner = event in write and arguments[-1] not in (-1, arguments[0])  # of a shutil.rmtree
        if (writes or (event in write and not inner)) and isinstance(arguments[0], str | Path):
            path = str(Path(arguments[0]).resolve())
            if not path.startswith((str(inside), os.devnull)):
                seen.append(f"outside: {event} {path}")

    sys.addaudithook(note)


def fuzz(make: Make, inputs: int, seed: int = 0) -> tuple[Counter[str], list[str]]:
    """Try a target.

    Args:
        make: The target.
        inputs: Number of inputs.
        seed: Decides them all.

    Returns:
        How often each outcome came, and what came instead of the first three.
    """
    outcomes: Counter[str] = Counter()
    bad: list[str] = []
    begun = 0
    with tempfile.TemporaryDirectory() as folder:
        while begun < inputs:
            receive, send = multiprocessing.Pipe(duplex=False)
            process = multiprocessing.get_context("fork").Process(
                target=work, args=(make, range(begun, inputs), seed, Path(folder).resolve(), send)
            )
            process.start()
            send.close()
            number, outcome, detail = begun, "begun", ""
            try:
                while True:
                    number, outcome, detail = receive.recv()
                    begun = number + 1
                    if outcome != "begun":
                        outcomes[outcome] += 1
                        if outcome not in OUTCOMES[:3]:
                            bad.append(f"input {number}: {outcome}: {detail}")
            except EOFError:
                process.join()
            if outcome == "begun":
                if process.exitcode == 1:
                    printed = (Path(folder) / "printed.txt").read_text().strip()
                    raise RuntimeError(f"failed at input {number}: {printed[-2000:]}")
                code = process.exitcode or 0
                outcome = {-signal.SIGALRM: "hang", -signal.SIGKILL: "memory"}.get(code, "crash")
                outcomes[outcome] += 1
                bad.append(f"input {number}: {outcome}: exit status {code}")
    return outcomes, bad


def row(name: str, outcomes: Mapping[str, int]) -> dict[str, str]:
    return {"target": name, **{outcome: str(outcomes.get(outcome, 0)) for outcome in OUTCOMES}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=2000, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--details", type=int, default=5, help="bad outcomes to show, a target")
    options = parser.parse_args()
    rows, all_good = [], True
    for name in options.targets:
        start = time.perf_counter()
        outcomes, bad = fuzz(TARGETS[name], options.inputs, options.seed)
        all_good &= not bad
        rows.append(row(name, outcomes))
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
        for line in bad[: options.details]:
            print(f"  {line}", file=sys.stderr)
    print(format_table(rows))
    return 0 if all_good else 1


if __name__ == "__main__":
    sys.exit(main())
