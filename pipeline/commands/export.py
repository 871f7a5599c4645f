"""The command `stark export`."""

from __future__ import annotations

from pipeline.deploy.export.formats import Format
from pipeline.parsing.errors import OneLineErrors
from pipeline.parsing.plugins import add_plugins, load_plugins

__all__ = ["command", "parser"]


def parser() -> OneLineErrors:
    """Make the parser of `stark export`."""
    parser = OneLineErrors(prog="stark export", description="Turn a classifier into a form that is served without us.")
    parser.add_argument("model", type=str, help="model folder, such as runs/NAME/student")
    parser.add_argument("--format", type=Format, required=True, help="onnx, torch, openvino or dense")
    parser.add_argument("--int8", action="store_true", help="weights of 8 bits; of onnx also the matrix products")
    parser.add_argument("--output", type=str, help="folder to write; default MODEL-FORMAT or MODEL-FORMAT-int8")
    parser.add_argument("--overwrite", action="store_true", help="replace whatever is there")
    parser.add_argument("--data.task", type=str, help="what it is checked on; default: the data of its run")
    parser.add_argument("--data.data_dir", type=str, help="their folder")
    parser.add_argument(
        "--max_logit_difference", type=float, help="more makes the export fail; default 0.001, of int8 any"
    )
    parser.add_argument("--max_score_loss", type=float, default=0.01, help="more makes the export fail")
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
    from pipeline.deploy.export.export import export

    export(options)
