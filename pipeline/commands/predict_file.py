"""The command `stark predict-file`."""

from __future__ import annotations

from pipeline.parsing.errors import OneLineErrors
from pipeline.parsing.plugins import add_plugins, load_plugins
from pipeline.parsing.progress import LOADING, step

__all__ = ["command", "parser"]


def parser() -> OneLineErrors:
    """Make the parser of `stark predict-file`."""
    parser = OneLineErrors(prog="stark predict-file", description="Classify the rows of a CSV, TSV or JSON lines file.")
    parser.add_argument("model", type=str, help="model folder, or a folder of stark export")
    parser.add_argument(
        "--input", type=str, required=True, help="my.csv, my.tsv, my.jsonl, my.parquet, or - for standard input"
    )
    parser.add_argument(
        "--output", type=str, default="-", help="file for the rows and their labels; - for standard output"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output even if it is no earlier output")
    parser.add_argument("--text", type=str, help="column of the text; default: text, or the task's column")
    parser.add_argument("--text_pair", type=str, help="column of the second text; default: text_pair, or the task's")
    parser.add_argument("--delimiter", type=str, help="delimiter of the input; default: from the file's ending")
    parser.add_argument("--quoting", type=str, help="auto, none (marks are text), standard (fields may span lines)")
    parser.add_argument("--encoding", type=str, help="encoding of the input; default: UTF-8, or UTF-16 with a BOM")
    parser.add_argument("--header", type=bool, help="false if the first line is a row; columns are then 0, 1, ...")
    parser.add_argument(
        "--escape_formulas", action="store_true", help="put ' before cells that a spreadsheet may execute"
    )
    parser.add_argument("--batch_size", type=int, default=32, help="rows per batch")
    parser.add_argument("--max_length", type=int, help="maximum tokens per row; default: as in training")
    parser.add_argument(
        "--windows", action="store_true", help="classify longer rows in overlapping windows instead of cutting them"
    )
    add_plugins(parser)
    return parser


def command(args: list[str]) -> None:
    """Run the command.

    Args:
        args: The command line after its name.
    """
    options = parser().parse_args(args)
    with step(LOADING):
        load_plugins(options.plugins)
        # Imported here, as it takes seconds.
        from pipeline.deploy.predict_file.predict_file import predict_file

    predict_file(options)
