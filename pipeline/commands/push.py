"""The command `stark push`."""

from __future__ import annotations

from pipeline.parsing.errors import OneLineErrors
from pipeline.parsing.plugins import add_plugins, load_plugins
from pipeline.parsing.progress import LOADING, step

__all__ = ["command", "parser"]


def parser() -> OneLineErrors:
    """Make the parser of `stark push`."""
    parser = OneLineErrors(prog="stark push", description="Upload a model folder to the Hugging Face hub.")
    parser.add_argument("model", type=str, help="model folder, such as runs/NAME/student, or a folder of stark export")
    parser.add_argument("repo", type=str, help="id on the hub, such as me/my-model; created if it does not exist")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
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
        from pipeline.deploy.push import push

    push(options)
