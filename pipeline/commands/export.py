"""The command `stark export`."""

from __future__ import annotations

from pipeline.deploy.export.formats import Format
from pipeline.parsing.errors import OneLineErrors
from pipeline.parsing.plugins import add_plugins, load_plugins
from pipeline.parsing.progress import LOADING, step

__all__ = ["command", "parser"]


def parser() -> OneLineErrors:
    """Make the parser of `stark export`."""
    parser = OneLineErrors(prog="stark export", description="Export a classifier for use without this project.")
    parser.add_argument("model", type=str, help="model folder, such as runs/NAME/student")
    parser.add_argument("--format", type=Format, required=True, help="onnx, torch, openvino or dense")
    parser.add_argument(
        "--int8", action="store_true", help="8-bit weights; onnx also computes matrix products in 8 bits"
    )
    parser.add_argument("--output", type=str, help="folder to write; default MODEL-FORMAT or MODEL-FORMAT-int8")
    parser.add_argument("--overwrite", action="store_true", help="replace whatever is there")
    parser.add_argument("--data.task", type=str, help="task to check the export on; default: the task of its run")
    parser.add_argument("--data.data_dir", type=str, help="folder of the task's data")
    parser.add_argument(
        "--max_logit_difference",
        type=float,
        help="largest allowed difference of logits; default 0.001, with --int8 no limit",
    )
    parser.add_argument("--max_score_loss", type=float, default=0.01, help="largest allowed loss of the dev score")
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
        from pipeline.deploy.export.export import export

    export(options)
