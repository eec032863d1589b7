from __future__ import annotations

import re
import zipfile

import numpy as np
import pytest

from pyg_fsar.datasets import NTU_CLASS_NAMES, NTURGBD, read_ntu_skeleton, write_ntu_skeleton

NEW = {"split": "all", "num_workers": 0}


def clip_name(action, setup=1, camera=1, performer=1, replication=1):
    return f"S{setup:03d}C{camera:03d}P{performer:03d}R{replication:03d}A{action:03d}"


def body(seed, T=3, M=1):
    rng = np.random.default_rng(seed)
    pose = rng.uniform(-1, 1, (M, 1, 25, 3)) * (0.2, 0.9, 0.1)
    pose += np.arange(M)[:, None, None, None] * (2, 0, 0)
    return (pose + 0.01 * rng.standard_normal((M, T, 25, 3)) + (0, 0, 3)).astype(np.float32)


@pytest.fixture
def template(tmp_path_factory):
    path = tmp_path_factory.mktemp("template") / "clip.skeleton"
    write_ntu_skeleton(path, body(0, T=2))
    return path.read_bytes()


@pytest.fixture
def make(tmp_path, template):
    """Write clips of the given names, all alike, into a folder."""

    def write(names, folder="."):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            (tmp_path / folder / f"{name}.skeleton").write_bytes(template)
        return tmp_path

    return write


def every_action():
    return [clip_name(action, setup=1 if action <= 60 else 18) for action in range(1, 121)]


def test_items(tmp_path):
    for number, name in enumerate([clip_name(120, 32, 3, 106, 2), clip_name(7)]):
        write_ntu_skeleton(tmp_path / f"{name}.skeleton", body(number, T=3 + number, M=1 + number))
    dataset = NTURGBD(tmp_path, **NEW)
    assert dataset.skeleton.name == "ntu25"
    assert dataset.names == [clip_name(7), clip_name(120, 32, 3, 106, 2)]
    assert dataset.labels.tolist() == [6, 119]
    assert dataset.class_names == list(NTU_CLASS_NAMES)
    clip = dataset[1]
    assert (clip.setup, clip.camera, clip.performer, clip.replication) == (32, 3, 106, 2)
    assert (clip.y, clip.num_bodies, dataset[0].num_bodies) == (119, 1, 2)
    np.testing.assert_array_equal(
        dataset[0].bodies, read_ntu_skeleton(tmp_path / f"{clip_name(7)}.skeleton")
    )
    assert dataset.metadata("camera").tolist() == [1, 3]


def test_class_names():
    assert len(NTU_CLASS_NAMES) == len(set(NTU_CLASS_NAMES)) == 120
    assert NTU_CLASS_NAMES[0] == "drink water"
    assert NTU_CLASS_NAMES[59] == "walking apart from each other"
    assert NTU_CLASS_NAMES[60] == "put on headphone"
    assert all(name.isascii() for name in NTU_CLASS_NAMES)


@pytest.mark.parametrize(
    ("protocol", "num_classes"), [("few-shot", 60), ("few-shot", 120), ("one-shot", 120)]
)
def test_splits(make, protocol, num_classes):
    root = make(every_action())

    def classes(split):
        dataset = NTURGBD(
            root, split=split, protocol=protocol, num_classes=num_classes, num_workers=0
        )
        assert len(dataset.class_names) == num_classes
        return set(dataset.labels.tolist())

    train, val, test = classes("train"), classes("val"), classes("test")
    assert classes("all") == set(range(num_classes)) == train | val | test
    assert classes("trainval") == train | val
    assert not (train & val or train & test or val & test)
    if protocol == "few-shot":
        expected = [
            "15 35 37 38 42 47 50 51 54 56 57 59 60 61 67 69 92 95 97 116",
            "4 9 12 14 24 26 30 32 43 44 45 62 75 83 86 100 102 111 112 119",
        ]
        for found, text in zip((val, test), expected, strict=True):
            assert found == {int(n) for n in text.split() if int(n) < num_classes}
    else:
        assert test == {code - 1 for code in range(1, 116, 6)}
        assert val == {code - 1 for code in range(2, 117, 6)}
    if num_classes == 120:
        assert (len(train), len(val), len(test)) == (80, 20, 20)


def test_exemplars(make):
    codes = range(1, 116, 6)
    exemplars = [clip_name(code, 1 if code <= 55 else 18, 3, 8) for code in codes]
    queries = [clip_name(code, 2, 1, 8) for code in codes]
    root = make(exemplars + queries)
    for split in ("test", "all"):
        dataset = NTURGBD(root, split=split, protocol="one-shot", num_workers=0)
        assert list(dataset.exemplars) == [code - 1 for code in codes]
        for (label, position), name in zip(dataset.exemplars.items(), exemplars, strict=True):
            assert dataset.labels[position] == label
            assert dataset.names[position] == dataset[position].name == name
            assert dataset.exemplar_name(label) == name
        assert len(dataset) - len(dataset.exemplars) == 20
    with pytest.raises(ValueError, match="protocol='one-shot'"):
        _ = NTURGBD(root, **NEW).exemplars


def test_a_missing_exemplar_is_named(make):
    codes = range(1, 116, 6)
    root = make([clip_name(code, 1 if code <= 55 else 18, 3, 8) for code in codes][1:])
    dataset = NTURGBD(root, split="test", protocol="one-shot", num_workers=0)
    with pytest.raises(ValueError, match=r"1 exemplars .*: S001C003P008R001A001\.skeleton\. "):
        _ = dataset.exemplars


def test_subsets(make, tmp_path):
    names = [clip_name(a, performer=p) for a in (5, 10) for p in range(1, 71)]
    names += [clip_name(13, performer=p) for p in range(1, 41)]
    root = make(names)

    def draw(root=root, **kwargs):
        return NTURGBD(root, split="test", num_workers=0, **kwargs)

    def counts(dataset):
        return np.unique(dataset.labels, return_counts=True)[1].tolist()

    assert counts(draw()) == [70, 70, 40]
    tiny, small = draw(subset="T"), draw(subset="S")
    assert counts(tiny) == [30, 30, 30]
    assert counts(small) == [60, 60, 40]
    assert tiny.store.path == small.store.path
    assert draw(subset="T").names == tiny.names
    assert draw(subset="T", seed=1).names != tiny.names
    # Other files, or another place and order of the same, change nothing for a class.
    other = tmp_path / "elsewhere"
    make([*reversed(names), clip_name(15)], "elsewhere/part")
    assert set(tiny.names) < set(draw(other, subset="T").names)


def test_a_list_of_missing_skeletons(make, tmp_path, monkeypatch):
    names = [clip_name(5, performer=p) for p in range(1, 41)]
    root = make(names)
    listing = tmp_path / "missing.txt"
    listing.write_text("2 of the samples have missing skeletons.\n\n" + "\r\n".join(names[:2]))
    dataset = NTURGBD(root, missing=listing, **NEW)
    assert dataset.names == names[2:]
    assert len(NTURGBD(root, **NEW)) == 40  # the store has them all
    subset = NTURGBD(root, subset="T", missing=listing, **NEW)
    assert len(subset) == 30
    assert not set(names[:2]) & set(subset.names)

    with pytest.raises(FileNotFoundError, match=r"none\.txt; pass missing='download', or save"):
        NTURGBD(root, missing=tmp_path / "none.txt", **NEW)
    listing.write_text("nothing")
    with pytest.raises(ValueError, match=r"missing\.txt names no clip"):
        NTURGBD(root, missing=listing, **NEW)


@pytest.mark.parametrize("num_classes", [60, 120])
def test_the_list_is_downloaded(make, tmp_path, monkeypatch, num_classes):
    names = [clip_name(5, performer=p) for p in range(1, 5)]
    root = make(names)
    web = tmp_path / "web"
    web.mkdir()
    file, length = NTURGBD.MISSING_LISTS[num_classes]
    padding = [clip_name(1, setup=99, performer=p) for p in range(length - 1)]
    (web / file).write_text("\n".join([names[0], *padding]))
    monkeypatch.setattr(NTURGBD, "MISSING_URL", web.as_uri() + "/{}")
    kwargs = {"missing": "download", "num_classes": num_classes, **NEW}
    assert NTURGBD(root, **kwargs).names == names[1:]
    (web / file).unlink()
    assert NTURGBD(root, **kwargs).names == names[1:]  # it is kept
    kept = root / "processed" / file
    kept.write_text(names[0])
    with pytest.raises(ValueError, match=f"names 1 clips instead of {length}; delete it"):
        NTURGBD(root, **kwargs)
    kept.unlink()
    with pytest.raises(OSError, match=r"cannot download file:.*; save it by hand and"):
        NTURGBD(root, **kwargs)


def test_broken_files_are_skipped_with_their_reason(make, template):
    names = [clip_name(a) for a in range(1, 7)]
    root = make(names)
    (root / f"{names[1]}.skeleton").write_bytes(template[:2000])
    (root / f"{names[2]}.skeleton").write_bytes(template.replace(b"\r\n25\r\n", b"\r\n24\r\n", 1))
    (root / f"{names[3]}.skeleton").write_bytes(b"2\r\n0\r\n0\r\n")
    make(["walking"])
    make([clip_name(121)])
    (root / "nturgbd_skeletons_s001_to_s017.zip").write_bytes(b"PK\x03\x04 cut")
    with pytest.warns(UserWarning, match="6 raw files"):
        dataset = NTURGBD(root, **NEW)
    assert dataset.names == [names[0], names[4], names[5]]
    reasons = dict(dataset.skipped)
    for file, reason in {
        f"{names[1]}.skeleton": r"line \d+: ",
        f"{names[2]}.skeleton": "24 joints",
        f"{names[3]}.skeleton": "no body",
        "walking.skeleton": "not named like S001",
        f"{clip_name(121)}.skeleton": "label 120",
        "nturgbd_skeletons_s001_to_s017.zip": "not a whole zip file; download it again",
    }.items():
        assert re.search(reason, reasons[file])


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"nturgb+d_skeletons/{name}.skeleton", content)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_zip_files_are_read_as_they_are(tmp_path, num_workers):
    unpacked, packed = tmp_path / "unpacked", tmp_path / "packed"
    unpacked.mkdir()
    packed.mkdir()
    files = {}
    for number, name in enumerate(every_action()[50:70]):
        write_ntu_skeleton(unpacked / f"{name}.skeleton", body(number))
        files[name] = (unpacked / f"{name}.skeleton").read_bytes()
    first = dict(list(files.items())[:10])
    zipped(packed / "nturgbd_skeletons_s001_to_s017.zip", first)
    zipped(
        packed / "nturgbd_skeletons_s018_to_s032.zip",
        {name: content for name, content in files.items() if name not in first},
    )
    folder = NTURGBD(unpacked, **NEW)
    archive = NTURGBD(packed, split="all", num_workers=num_workers)
    assert archive.names == folder.names
    assert archive.labels.tolist() == folder.labels.tolist()
    np.testing.assert_array_equal(archive.store.frames, folder.store.frames)
    assert not list(packed.rglob("*.skeleton"))


def test_a_clip_that_is_unpacked_too_counts_once(make, template):
    root = make([clip_name(1)], "unpacked")
    zipped(root / "nturgbd_skeletons.zip", {clip_name(1): b"broken", clip_name(2): template})
    dataset = NTURGBD(root, **NEW)
    assert dataset.names == [clip_name(1), clip_name(2)]
    assert dataset.skipped == []


def test_a_damaged_member_of_a_zip_file_is_skipped(tmp_path):
    names = every_action()[:3]
    files = {}
    for number, name in enumerate(names):
        write_ntu_skeleton(tmp_path / "clip", body(number))
        files[name] = (tmp_path / "clip").read_bytes()
    path = tmp_path / "nturgbd_skeletons.zip"
    zipped(path, files)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        middle = archive.infolist()[1]
    begin = middle.header_offset + middle.compress_size // 2
    content[begin : begin + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="1 raw files"):
        dataset = NTURGBD(tmp_path, **NEW)
    assert dataset.names == [names[0], names[2]]
    ((file, reason),) = dataset.skipped
    assert names[1] in file
    assert "download it again" in reason


def test_max_bodies(tmp_path):
    write_ntu_skeleton(tmp_path / f"{clip_name(1)}.skeleton", body(0, M=3))
    assert NTURGBD(tmp_path, **NEW)[0].num_bodies == 2
    with pytest.raises(ValueError, match="max_bodies"):
        NTURGBD(tmp_path, max_bodies=3, **NEW)  # the store has two
    assert NTURGBD(tmp_path, max_bodies=3, force_reload=True, **NEW)[0].num_bodies == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subset": "XL"}, "unknown subset 'XL'"),
        ({"split": "dev"}, "unknown split 'dev'; known are train, val, test, trainval, all"),
        ({"protocol": "zero-shot"}, "unknown protocol 'zero-shot'; known are few-shot, one-shot"),
        ({"num_classes": 61}, "num_classes must be 60 or 120, got 61"),
        ({"protocol": "one-shot", "subset": "T"}, "the one-shot protocol is about all clips"),
        ({"protocol": "one-shot", "num_classes": 60}, "the one-shot protocol is about all clips"),
        ({"max_bodies": 0}, "max_bodies must be at least 1"),
    ],
)
def test_options_are_checked_before_anything_is_read(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        NTURGBD(tmp_path, **options)


def test_a_root_without_data(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"found neither \*\.skeleton nor nturgbd_"):
        NTURGBD(tmp_path, num_workers=0)


# archives and files of which nothing can be believed


def patched(path, member, **fields):
    """Overwrite fields of a member in the directory of a zip file, and in front of its content."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
        start = archive.start_dir
    content = bytearray(path.read_bytes())
    name = member.encode()
    central = content.index(name, start) - 46
    local = info.header_offset
    places = {"flags": (8, 6, 2), "method": (10, 8, 2), "size": (24, 22, 4)}
    for field, value in fields.items():
        at, at_local, width = places[field]
        for place in (central + at, local + at_local):
            content[place : place + width] = value.to_bytes(width, "little")
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"flags": 1}, "encrypted"),
        ({"method": 99}, "not a whole zip file"),
        ({"method": 14}, "not a whole zip file"),
        ({"method": 12}, "not a whole zip file"),
        ({"size": 2**31}, "bytes unpacked, which is no clip"),
        ({"size": 7}, "not a whole zip file"),
    ],
    ids=["encrypted", "unknown method", "lzma", "bzip2", "bomb", "wrong size"],
)
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_member_that_cannot_be_unpacked_is_skipped(
    tmp_path, template, fields, reason, num_workers
):
    names = every_action()[:3]
    path = tmp_path / "nturgbd_skeletons.zip"
    zipped(path, dict.fromkeys(names, template))
    patched(path, f"nturgb+d_skeletons/{names[1]}.skeleton", **fields)
    with pytest.warns(UserWarning, match="1 raw files"):
        dataset = NTURGBD(tmp_path, split="all", num_workers=num_workers)
    assert dataset.names == [names[0], names[2]]
    assert reason in dataset.skipped[0][1]


def test_a_name_that_is_no_text_spoils_only_its_archive(tmp_path, template):
    names = every_action()[:2]
    zipped(tmp_path / "nturgbd_skeletons_1.zip", {names[0]: template})
    path = tmp_path / "nturgbd_skeletons_2.zip"
    zipped(path, {f"ä{names[1]}": template})
    path.write_bytes(path.read_bytes().replace("ä".encode(), b"\xff\xff"))
    with pytest.warns(UserWarning, match="1 raw files"):
        dataset = NTURGBD(tmp_path, **NEW)
    assert dataset.names == names[:1]
    assert "not a whole zip file" in dataset.skipped[0][1]


def test_a_file_of_any_size_is_not_read(make, template, monkeypatch):
    root = make([clip_name(1), clip_name(2)])
    monkeypatch.setattr("pyg_fsar.datasets.ntu.MAX_BYTES", len(template))
    (root / f"{clip_name(2)}.skeleton").write_bytes(template + b" ")
    with pytest.warns(UserWarning, match="which is no clip"):
        assert NTURGBD(root, **NEW).names == [clip_name(1)]


def test_suffixes_in_any_case(make, template):
    root = make([])
    (root / f"{clip_name(1)}.SKELETON").write_bytes(template)
    with zipfile.ZipFile(root / "NTURGBD_SKELETONS.ZIP", "w") as archive:
        archive.writestr(f"{clip_name(2)}.Skeleton", template)
    assert NTURGBD(root, **NEW).names == [clip_name(1), clip_name(2)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig", "latin1"])
def test_a_list_of_missing_skeletons_in_any_encoding(make, tmp_path, encoding):
    root = make([clip_name(1), clip_name(2)])
    (tmp_path / "list").write_bytes(f"Liste:\r\n{clip_name(1)}\r\n".encode(encoding))
    assert NTURGBD(root, missing=tmp_path / "list", **NEW).names == [clip_name(2)]


def test_an_unchanged_archive_is_not_listed_again(tmp_path, template, monkeypatch):
    zipped(tmp_path / "nturgbd_skeletons.zip", dict.fromkeys(every_action()[:3], template))
    NTURGBD(tmp_path, **NEW)
    monkeypatch.setattr("pyg_fsar.datasets.ntu.zip_members", None)
    assert len(NTURGBD(tmp_path, **NEW)) == 3
