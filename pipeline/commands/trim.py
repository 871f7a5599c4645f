"""The command `stark trim`."""

from __future__ import annotations

from pipeline.parsing.errors import OneLineErrors
from pipeline.parsing.plugins import add_plugins, load_plugins
from pipeline.parsing.progress import LOADING, step

__all__ = ["command", "parser"]


def parser() -> OneLineErrors:
    """Make the parser of `stark trim`."""
    parser = OneLineErrors(
        prog="stark trim",
        description="Remove the tokens from a model that its training data do not need, and factorise the others.",
    )
    parser.add_argument("model", type=str, help="model folder, such as runs/NAME/student")
    parser.add_argument("--output", type=str, help="folder to write; default MODEL-trimmed")
    parser.add_argument(
        "--tokens", type=int, default=0, help="number of tokens to keep at least, the frequent ones in addition"
    )
    parser.add_argument("--rank", type=int, help="rank of the embeddings of the tokens that are left; default: whole")
    parser.add_argument("--data.task", type=str, help="task whose texts keep their tokens; default: that of its run")
    parser.add_argument("--data.data_dir", type=str, help="folder of the task's data")
    parser.add_argument(
        "--data.unlabelled", type=list[str], default=[], help="more files of rows whose texts keep their tokens"
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
        from pipeline.deploy.trim import trim

    trim(options)
