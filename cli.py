"""The command `stark`: LightningCLI's fit, validate, test and predict, and the pipeline's own subcommands."""

from __future__ import annotations

import sys

__all__ = ["main"]

_HELP = """usage: stark COMMAND [options]

commands:
  run          the whole method: finetune, prune, trial, sparsify, rewind, distil, choose the best student
  fit          one training (finetuning, pruning, distillation) from YAML
  validate     evaluate a model on the selection part
  test         evaluate a model on GLUE's dev split
  predict      write GLUE's submission file for the test split
  predict-file labels and probabilities for the rows of a CSV, TSV or JSON lines file
  report       a run as one page with pictures, finished or not
  compare      several runs on one page
  export       a model as ONNX, OpenVINO, torch.export or plain transformers, checked on the data
  serve        typed text in the browser, student and teacher side by side
  card         a model card
  push         a model folder onto the Hugging Face hub
  sample-data  generate small GLUE tasks and a tiny encoder

`stark COMMAND --help` lists the options; configs/ has a YAML for each stage, whose first line is its command.
"""


def main(args: list[str] | None = None) -> None:
    """Run a command.

    Args:
        args: The command line without the program's name; None takes that of the process.
    """
    arguments = sys.argv[1:] if args is None else args
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_HELP, end="")
        return
    # Heavy imports come after the help.
    from pipeline.commands import run_command

    run_command(arguments)


if __name__ == "__main__":
    main()
