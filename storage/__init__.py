"""Files that are there completely or not at all, and that tell when they have been damaged. Imports nothing of ours."""

from storage.checksums import CHECKSUMS_FILE, DamagedError, file_digest, verify_checksums, write_checksums
from storage.files import (
    WriteError,
    copy_folder,
    inside,
    new_file,
    new_folder,
    remove_folder,
    write_json,
    write_text,
)
from storage.locks import folder_lock
from storage.tensors import hash_tensors, read_tensors, write_tensors

__all__ = [
    "CHECKSUMS_FILE",
    "DamagedError",
    "WriteError",
    "copy_folder",
    "file_digest",
    "folder_lock",
    "hash_tensors",
    "inside",
    "new_file",
    "new_folder",
    "read_tensors",
    "remove_folder",
    "verify_checksums",
    "write_checksums",
    "write_json",
    "write_tensors",
    "write_text",
]
