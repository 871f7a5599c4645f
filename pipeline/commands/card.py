"""The command `stark card`."""

from __future__ import annotations

from pipeline.parsing.errors import OneLineErrors
from pipeline.parsing.plugins import add_plugins, load_plugins
from pipeline.parsing.progress import LOADING, step

__all__ = ["command", "parser"]


def parser() -> OneLineErrors:
    """Make the parser of `stark card`."""
    parser = OneLineErrors(prog="stark card", description="Write a model card.")
    parser.add_argument("model", type=str, help="model folder of a run, such as runs/NAME/student")
    parser.add_argument("--license", type=str, help="license id of the hub, such as apache-2.0")
    parser.add_argument("--language", type=str, help="language of the texts, such as en")
    parser.add_argument("--repo", type=str, help="id on the hub, for the usage example; default: the folder")
    parser.add_argument("--output", type=str, help="file to write; default MODEL/README.md")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that was written or changed by hand")
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
        from pipeline.report.card import card

    card(options)
