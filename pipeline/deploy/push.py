"""`stark push`: uploads a model folder to the Hugging Face hub, with the user's login."""

from __future__ import annotations

import fnmatch
import sys
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi

# HTTPError belongs to the HTTP library that huggingface_hub uses, which depends on its version.
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalTokenNotFoundError,
)
from jsonargparse import Namespace

from pipeline.deploy.export.opening import check_exported, is_exported
from pipeline.parsing.plain_text import printable
from pipeline.parsing.progress import step
from stark.errors import StarkError
from stark.model_folders.model_folder import load_classifier
from stark.storage import CHECKSUMS_FILE, verify_checksums

__all__ = ["files_of", "push", "push_folder"]

# Files that we and transformers write. All other files in the folder may be private.
_CHECKED = (
    *("config.json", "generation_config.json", "check.json", "export.json"),
    *("*.safetensors", "*.safetensors.index.json", "*.onnx", "*.onnx.data", "*.pt2", "openvino*.xml", "openvino*.bin"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt"),
    *("vocab.txt", "vocab.json", "tokenizer.model", "spiece.model", "spm.model", "sentencepiece.bpe.model"),
)
# Files without a checksum, because they are written by hand or after the checksums.
_UNCHECKED = ("README.md", "LICENSE", "LICENSE.txt", CHECKSUMS_FILE)


def push(options: Namespace) -> None:
    """Run `stark push`.

    Args:
        options: Its command line, parsed.

    Raises:
        StarkError: If the folder is no model, or the hub refuses it.
    """
    folder = Path(options.model)
    if not (folder / "README.md").is_file():
        print(printable(f"{folder} has no model card: stark card {folder} writes one"), file=sys.stderr)
    _, left_out = files_of(folder)
    if left_out:
        names = ", ".join(name if name.isprintable() else repr(name) for name in left_out)
        print(printable(f"not files of a model, left out: {names}"), file=sys.stderr)
    print(push_folder(folder, options.repo, private=options.private))


def files_of(folder: Path) -> tuple[list[str], list[str]]:
    """The files of a folder that are uploaded: those directly in it that have the name of a model file.

    Args:
        folder: A model folder, or one that `stark export` wrote.

    Returns:
        The names of the files to upload, and of everything else in the folder, sorted.

    Raises:
        StarkError: If there is no such folder, it or one of the files to upload is a link, or something else than a
            file has the name of a model file.
    """
    if folder.is_symlink():
        raise StarkError(f"{folder} is a link, which is not followed: name the folder itself")
    if not folder.is_dir():
        raise StarkError(f"cannot load {folder}: there is no such folder")
    names = sorted(path.name for path in folder.iterdir())
    chosen = [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in _CHECKED + _UNCHECKED)]
    for name in chosen:
        if (folder / name).is_symlink():
            raise StarkError(f"{folder / name} is a link, which is not followed: copy the file into the folder")
        if not (folder / name).is_file():
            raise StarkError(f"{folder / name} is no file, but has the name of a model file: give it another name")
    return chosen, [name for name in names if name not in chosen]


def push_folder(folder: Path, repo: str, *, private: bool = False) -> str:
    """Upload the files of a model folder in one commit.

    Args:
        folder: A model folder, which is loaded before the upload, or one that `stark export` wrote. If it has a
            ``SHA256SUMS``, the files must match it.
        repo: Id of the repository on the hub.
        private: Whether a new repository is private.

    Returns:
        Address of the repository.

    Raises:
        StarkError: If the folder is no model or has links, nobody is logged in, or the hub refuses the upload.
    """
    names, _ = files_of(folder)
    with step(f"checking {folder}"):
        verify_checksums(folder, _CHECKED)
        # A damaged model must not be uploaded.
        if is_exported(folder):
            check_exported(folder)
        else:
            load_classifier(folder)
    # The hub's client shows the upload itself on a terminal, which a moving line would disturb.
    print(printable(f"stark: uploading {len(names)} files to {repo}"), file=sys.stderr, flush=True)
    api = HfApi()
    try:
        url = api.create_repo(repo, private=private, exist_ok=True)
        files = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=folder / name) for name in names]
        api.create_commit(url.repo_id, files, commit_message="stark push")
    except LocalTokenNotFoundError as error:
        raise StarkError("nobody is logged in to the hub: hf auth login, or set HF_TOKEN") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        hint = ": hf auth login, with a token that may write" if status in (401, 403) else ""
        raise StarkError(f"the hub refuses {repo} ({status}){hint}") from error
    except HFValidationError as error:
        raise StarkError(f"{repo!r} is no id on the hub, such as me/my-model") from error
    except HTTPError as error:
        raise StarkError(f"the hub cannot be reached at {api.endpoint}: {error}") from error
    return str(url)
