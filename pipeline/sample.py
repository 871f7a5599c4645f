"""`stark sample-data`: generated GLUE tasks, and a tiny encoder that can learn them."""

from __future__ import annotations

from pathlib import Path

from datamodules import sample_vocabulary, write_sample_data
from lightning_modules import save_sample_encoder
from pipeline.errors import OneLineErrors

__all__ = ["sample_data"]


def sample_data(args: list[str]) -> None:
    """Write the sample data and the sample encoder.

    Args:
        args: The folder to write into.
    """
    parser = OneLineErrors(prog="stark sample-data", description="Generate small GLUE tasks and a tiny encoder.")
    parser.add_argument("directory", type=str, help="folder to write into")
    directory = Path(parser.parse_args(args).directory)
    files = write_sample_data(directory)
    encoder = save_sample_encoder(directory / "encoder", sample_vocabulary())
    print(f"wrote {len(files)} files of generated GLUE tasks under {directory}, and a tiny encoder to {encoder}")
