"""The command `stark shrink`."""

from __future__ import annotations

from pipeline.deploy.export.formats import Format
from pipeline.parsing.errors import OneLineErrors
from pipeline.parsing.progress import LOADING, step
from pipeline.parsing.yaml_text import CONFIGS

__all__ = ["command", "parser"]


def parser() -> OneLineErrors:
    """Make the parser of `stark shrink`."""
    parser = OneLineErrors(prog="stark shrink", description="Cut a trained classifier to a size, and check the result.")
    parser.add_argument("model", type=str, help="folder of a trained classifier, of this project or of transformers")
    parser.add_argument(
        "--data", type=str, required=True, help="file of rows, a data set, or a YAML that describes rows"
    )
    parser.add_argument("--text", type=str, help="column of the text; default: that of the training, or text")
    parser.add_argument("--text_pair", type=str, help="column of the second text")
    parser.add_argument("--label", type=str, help="column of the label; default: the one whose values are the labels")
    parser.add_argument("--sparsity", type=float, help="fraction of heads and neurons to remove, such as 0.7")
    parser.add_argument("--flops", type=float, help="fraction of the layers' operations to keep, such as 0.3")
    parser.add_argument("--size", type=str, help="most MB of the written folder, such as 10MB")
    parser.add_argument("--latency", type=str, help="most time for one row of 128 tokens on this machine, such as 5ms")
    parser.add_argument("--train", type=str, default="0", help="time to distil, such as 10min; 0 trains nothing")
    parser.add_argument("--max_loss", type=float, help="points that the score may fall by, on held-out rows")
    parser.add_argument("--format", type=Format, help="export the result: onnx, openvino or torch")
    parser.add_argument("--int8", action="store_true", help="8-bit weights of the export")
    parser.add_argument("--name", type=str, help="the run's folder is ROOT/NAME; default MODEL-small")
    parser.add_argument("--root", type=str, default="runs", help="folder of all runs")
    parser.add_argument("--seed", type=int, default=776, help="random seed")
    return parser


def command(args: list[str]) -> None:
    """Run the command: a run of `stark run` without finetuning, whose sparsity follows from what is asked for.

    Args:
        args: The command line after its name.
    """
    options = parser().parse_args(args)
    with step(LOADING):
        # Imported here, as it takes seconds.
        from pipeline.commands.run import read_settings
        from pipeline.run import run
        from pipeline.shrinking.shrink import conclude, plan_run

    plan = plan_run(options)
    arguments = [str(CONFIGS.parent / word) if word == "configs/run.yaml" else word for word in plan.arguments]
    run(*read_settings(arguments))
    conclude(plan, options.max_loss)
