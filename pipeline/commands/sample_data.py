"""`stark sample-data`: generated GLUE tasks, and a tiny encoder that can learn them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from datamodules import sample_vocabulary, write_sample_data
from pipeline.parsing.errors import OneLineErrors
from pipeline.parsing.plain_text import printable
from pipeline.parsing.progress import LOADING, step
from stark.storage import CHECKSUMS_FILE, check_output, file_digest, new_file, write_text

__all__ = ["command", "parser"]

_ENCODER = "encoder"


def parser() -> OneLineErrors:
    """Make the parser of `stark sample-data`."""
    parser = OneLineErrors(prog="stark sample-data", description="Generate small GLUE tasks and a tiny encoder.")
    parser.add_argument("directory", type=str, help="folder to write into")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files of the same names")
    return parser


def command(args: list[str]) -> None:
    """Write the sample data and the sample encoder.

    Args:
        args: The command line after its name.

    Raises:
        StarkFileExistsError: If a file exists that this command did not write; nothing is changed then.
    """
    options = parser().parse_args(args)
    with step(LOADING):
        # Imported here, as it takes seconds.
        from stark.model_folders.sample_encoder import save_sample_encoder

    directory = Path(options.directory)
    listed = _listed(directory.resolve())

    def is_ours(path: Path) -> bool:
        return path.is_file() and listed.get(path) == file_digest(path)

    listing, encoder = directory / CHECKSUMS_FILE, directory / _ENCODER
    check_output(listing, overwrite=options.overwrite or bool(listed))
    with step(f"writing {directory}"), tempfile.TemporaryDirectory() as temporary:
        made = sorted(save_sample_encoder(Path(temporary) / _ENCODER, sample_vocabulary()).iterdir())
        if not options.overwrite:
            _check_encoder(directory.resolve() / _ENCODER, listed, {file.name: file_digest(file) for file in made})
        files = write_sample_data(directory, overwrite=options.overwrite, is_ours=is_ours)
        if encoder.is_symlink():  # nothing may be written into the folder that it points to
            encoder.unlink()
        # File by file, so that other files in the folder are kept.
        for file in made:
            with new_file(encoder / file.name) as new:
                shutil.copyfile(file, new)
    names = sorted(path.relative_to(directory).as_posix() for path in [*files, *(encoder / file.name for file in made)])
    write_text(listing, "".join(f"{file_digest(directory / name)}  {name}\n" for name in names))
    wrote = f"wrote {len(files)} files of generated GLUE tasks under {directory}, and a tiny encoder to {encoder}"
    print(printable(wrote))


def _listed(directory: Path) -> dict[Path, str]:
    """Files that an earlier call wrote, with their checksums; empty if another program wrote the list."""
    path = directory / CHECKSUMS_FILE
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    digests = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    # Only our list contains the list of the encoder's files.
    if f"{_ENCODER}/{CHECKSUMS_FILE}" not in digests:
        return {}
    return {directory / name: digest for name, digest in digests.items()}


def _check_encoder(folder: Path, listed: dict[Path, str], digests: dict[str, str]) -> None:
    """Refuse to replace an encoder that differs from what an earlier call wrote and from what this call would write."""

    def is_ours(path: Path) -> bool:
        digest = file_digest(path) if path.is_file() else None
        return digest is not None and digest in (listed.get(path), digests.get(path.name))

    if folder.is_dir() and not folder.is_symlink():
        for path in sorted(folder.iterdir()):
            check_output(path, is_ours=is_ours)
    else:
        check_output(folder)
