"""The command `stark serve`."""

from __future__ import annotations

from pipeline.parsing.errors import OneLineErrors
from pipeline.parsing.plugins import add_plugins, load_plugins
from pipeline.parsing.progress import LOADING, step

__all__ = ["command", "parser"]


def parser() -> OneLineErrors:
    """Make the parser of `stark serve`."""
    parser = OneLineErrors(
        prog="stark serve", description="Classify typed text in the browser with student and teacher."
    )
    parser.add_argument("model", type=str, help="model folder, such as runs/NAME/student, or a folder of stark export")
    parser.add_argument("--teacher", type=str, help="model to compare with; default: the teacher of the model's run")
    parser.add_argument(
        "--host", type=str, default="127.0.0.1", help="address; 0.0.0.0 admits other machines that have the token"
    )
    parser.add_argument("--port", type=int, default=7860, help="port of the page")
    parser.add_argument(
        "--windows", action="store_true", help="classify longer texts in overlapping windows instead of cutting them"
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
        from pipeline.deploy.serve import serve

    serve(options)
