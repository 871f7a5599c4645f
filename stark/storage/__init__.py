"""Files that are written completely or not at all, and whose damage is detected. Imports only `stark.errors`."""

from typing import TYPE_CHECKING

from stark.storage.caching import cache_folder
from stark.storage.checksums import CHECKSUMS_FILE, file_digest, verify_checksums, write_checksums
from stark.storage.files import (
    WriteError,
    copy_folder,
    inside,
    is_temporary,
    new_file,
    new_folder,
    remove_folder,
    write_json,
    write_text,
)
from stark.storage.lazy import lazy_names
from stark.storage.locks import folder_lock
from stark.storage.model_sizes import WEIGHTS_FILE, check_sizes, stored_shapes, weights_files
from stark.storage.outputs import (
    check_output,
    is_intact_folder,
    is_signed,
    is_stream,
    open_output,
    signed,
    write_output,
)
from stark.storage.reading import DamagedError, ReadError, files_below, is_file, matching_files, passing_reason, reading
from stark.storage.yaml_guard import TooMuchError, compose_yaml

if TYPE_CHECKING:
    from stark.storage.tensors import hash_tensors, read_tensors, write_tensors
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "CHECKSUMS_FILE",
    "WEIGHTS_FILE",
    "DamagedError",
    "ReadError",
    "TooMuchError",
    "WriteError",
    "cache_folder",
    "check_output",
    "check_sizes",
    "compose_yaml",
    "copy_folder",
    "file_digest",
    "files_below",
    "folder_lock",
    "hash_tensors",
    "inside",
    "is_file",
    "is_intact_folder",
    "is_signed",
    "is_stream",
    "is_temporary",
    "matching_files",
    "new_file",
    "new_folder",
    "open_output",
    "passing_reason",
    "read_tensors",
    "reading",
    "remove_folder",
    "signed",
    "stored_shapes",
    "verify_checksums",
    "weights_files",
    "write_checksums",
    "write_json",
    "write_output",
    "write_tensors",
    "write_text",
]
