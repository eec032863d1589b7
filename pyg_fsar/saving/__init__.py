"""Models, transforms and options as files: data that cannot run code, whole or not at all."""

from pyg_fsar.saving.arguments import decode, encode, is_whole, plan_call, saveable
from pyg_fsar.saving.folder import (
    Snapshot,
    checksum,
    pack_manifest,
    read_manifest,
    read_snapshot,
    write_files,
)
from pyg_fsar.saving.torch_file import check_texts, load_tensors

__all__ = [
    "Snapshot",
    "check_texts",
    "checksum",
    "decode",
    "encode",
    "is_whole",
    "load_tensors",
    "pack_manifest",
    "plan_call",
    "read_manifest",
    "read_snapshot",
    "saveable",
    "write_files",
]
