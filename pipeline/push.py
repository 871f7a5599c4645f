"""`stark push`: a model folder onto the Hugging Face hub, with the user's own login."""

from __future__ import annotations

import sys
from pathlib import Path

from huggingface_hub import HfApi

# HTTPError is that of its own HTTP library, whichever that is.
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalTokenNotFoundError,
)

from lightning_modules import load_classifier
from pipeline.errors import OneLineErrors
from pipeline.exported import check_exported, is_exported

__all__ = ["push", "push_folder"]


def push(args: list[str]) -> None:
    """Run `stark push`.

    Args:
        args: The command line after `push`.

    Raises:
        ValueError: If the folder is no model, or the hub refuses it.
    """
    parser = OneLineErrors(prog="stark push", description="Upload a model folder to the Hugging Face hub.")
    parser.add_argument("model", type=str, help="model folder, such as runs/NAME/student, or one of stark export")
    parser.add_argument("repo", type=str, help="id on the hub, such as me/my-model; made if it is not there")
    parser.add_argument("--private", action="store_true", help="make it private, if it has to be made")
    options = parser.parse_args(args)
    folder = Path(options.model)
    if not (folder / "README.md").is_file():
        print(f"{folder} has no model card: stark card {folder} writes one", file=sys.stderr)
    print(push_folder(folder, options.repo, private=options.private))


def push_folder(folder: Path, repo: str, *, private: bool = False) -> str:
    """Upload a model folder in one commit.

    Args:
        folder: A model folder, which is loaded first, or one that `stark export` wrote.
        repo: Id on the hub.
        private: Whether a new one is.

    Returns:
        Its address.

    Raises:
        ValueError: If the folder is no model, nobody is logged in, or the hub refuses it.
    """
    # A damaged one is not to be shared.
    if is_exported(folder):
        check_exported(folder)
    else:
        load_classifier(folder)
    api = HfApi()
    try:
        url = api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(repo_id=url.repo_id, folder_path=folder, commit_message="stark push")
    except LocalTokenNotFoundError as error:
        raise ValueError("nobody is logged in to the hub: hf auth login, or set HF_TOKEN") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        hint = ": hf auth login, with a token that may write" if status in (401, 403) else ""
        raise ValueError(f"the hub refuses {repo} ({status}){hint}") from error
    except HFValidationError as error:
        raise ValueError(f"{repo!r} is no id on the hub, such as me/my-model") from error
    except HTTPError as error:
        raise ValueError(f"the hub cannot be reached at {api.endpoint}: {error}") from error
    return str(url)
