"""The command `stark predict-file`."""

from __future__ import annotations

from pipeline.parsing.errors import OneLineErrors
from pipeline.parsing.plugins import add_plugins, load_plugins

__all__ = ["command", "parser"]


def parser() -> OneLineErrors:
    """Make the parser of `stark predict-file`."""
    parser = OneLineErrors(prog="stark predict-file", description="Classify the rows of a CSV, TSV or JSON lines file.")
    parser.add_argument("model", type=str, help="model folder, or one of stark export")
    parser.add_argument("--input", type=str, required=True, help="my.csv, my.tsv, my.jsonl, or - for standard input")
    parser.add_argument("--output", type=str, default="-", help="the same rows and their labels; - for standard output")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is no earlier output")
    parser.add_argument("--text", type=str, help="column of the text; default: text, or as the model's task calls it")
    parser.add_argument("--text_pair", type=str, help="column of the second text; default: text_pair, or the task's")
    parser.add_argument("--delimiter", type=str, help="of the input's fields; default: that of its ending")
    parser.add_argument("--quoting", type=str, help="auto, none (marks are text), standard (fields may span lines)")
    parser.add_argument("--encoding", type=str, help="of the input; default: UTF-8, or UTF-16 with its byte order mark")
    parser.add_argument("--header", type=bool, help="false if the first line is a row; columns are then 0, 1, ...")
    parser.add_argument("--escape_formulas", action="store_true", help="put ' before what spreadsheets may execute")
    parser.add_argument("--batch_size", type=int, default=32, help="rows per batch")
    parser.add_argument("--max_length", type=int, help="the most tokens of a row; default: as it was trained")
    add_plugins(parser)
    return parser


def command(args: list[str]) -> None:
    """Run the command.

    Args:
        args: The command line after its name.
    """
    options = parser().parse_args(args)
    load_plugins(options.plugins)
    # It takes seconds to import.
    from pipeline.deploy.rows import predict_file

    predict_file(options)
