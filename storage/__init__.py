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
from storage.outputs import check_output, is_intact_folder, is_signed, is_stream, open_output, signed, write_output
from storage.tensors import hash_tensors, read_tensors, write_tensors
from storage.yaml_guard import TooMuchError, compose_yaml

__all__ = [
    "CHECKSUMS_FILE",
    "DamagedError",
    "TooMuchError",
    "WriteError",
    "check_output",
    "compose_yaml",
    "copy_folder",
    "file_digest",
    "folder_lock",
    "hash_tensors",
    "inside",
    "is_intact_folder",
    "is_signed",
    "is_stream",
    "new_file",
    "new_folder",
    "open_output",
    "read_tensors",
    "remove_folder",
    "signed",
    "verify_checksums",
    "write_checksums",
    "write_json",
    "write_output",
    "write_tensors",
    "write_text",
]
