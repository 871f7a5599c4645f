"""The command `stark`: LightningCLI's fit, validate, test and predict, and the pipeline's own subcommands."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]

_HOME = os.path.dirname(os.path.realpath(__file__))
_PACKAGES = ("callbacks", "datamodules", "lightning_modules", "pipeline", "stark")
# The packages that setup.cfg requires and that we import.
_LIBRARIES = (
    *("datasets", "huggingface_hub", "jsonargparse", "lightning_fabric", "numpy", "pytorch_lightning", "rich"),
    *("pyarrow", "safetensors", "scipy", "torch", "torchmetrics", "transformers", "yaml"),
)

_HELP = """usage: stark COMMAND [options]

commands:
  run          the whole method: finetune, prune, trial, sparsify, rewind, distil, choose the best student
  sweep        a search over settings of stark run
  fit          one training (finetuning, pruning, distillation) from YAML
  validate     evaluate a model on the selection part
  test         evaluate a model on GLUE's dev split
  predict      write GLUE's submission file for the test split
  predict-file labels and probabilities for the rows of a CSV, TSV or JSON lines file
  report       a run or a sweep as one page with pictures, finished or not
  compare      several runs on one page
  export       a model as ONNX, OpenVINO, torch.export or plain transformers, checked on the data
  shrink       a trained classifier cut to a size or a latency, with little training or none
  trim         a model without the tokens that its training data do not need
  serve        typed text in the browser, student and teacher side by side
  card         a model card
  push         a model folder onto the Hugging Face hub
  sample-data  generate small GLUE tasks and a tiny encoder

`stark COMMAND --help` lists the options, `stark --version` prints the version. configs/ has a YAML for each stage,
whose first line is its command.
"""


def main(args: list[str] | None = None) -> None:
    """Run a command.

    Args:
        args: The command line without the program's name; None takes that of the process.
    """
    arguments = sys.argv[1:] if args is None else args
    if (hidden := _hidden()) is not None:
        print(f"stark: error: {hidden}", file=sys.stderr)
        sys.exit(2)
    from pipeline.fits.isolation import SAFE_PATH
    from pipeline.parsing.streams import standard_streams

    if args is None:
        os.environ.update(SAFE_PATH)  # for every process that this one starts, also through libraries
        with standard_streams(arguments[0] if arguments else ""):
            _run(arguments)
    else:
        _run(arguments)


def _run(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_HELP, end="")
        return
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"stark-lightning {version('stark-lightning')}")
        return
    # The help must not wait for the heavy imports.
    from pipeline.commands.dispatch import run_command

    run_command(arguments)


def _hidden() -> str | None:
    """Find a module of a user that hides one of Python's, ours or a required library's, without importing it.

    Returns:
        A line that names the hidden module, the folder that hides it and what to do; None if nothing is hidden.
    """
    library = os.path.dirname(os.__file__)
    # Folders that come before Python's own library: the script's folder, the current one or those of PYTHONPATH.
    users = sys.path[: sys.path.index(library)] if library in sys.path else []
    users = [folder or os.getcwd() for folder in users]
    for folder in users:
        for name in sorted(_modules(folder) & sys.stdlib_module_names - set(sys.builtin_module_names)):
            return f"{name} is taken from {folder}, not from Python's own library: {_remedy(name, folder)}"
    from importlib.util import find_spec  # the loop above has checked that it is Python's own

    for name in (*_PACKAGES, *_LIBRARIES):
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            continue  # the import itself reports the reason
        place = os.path.dirname(spec.origin) if spec.submodule_search_locations else spec.origin
        folder = os.path.dirname(place)
        if name in _PACKAGES and os.path.realpath(place) != os.path.join(_HOME, name):
            remedy = _remedy(name, folder) if folder in users else "uninstall the distribution that has put it there"
            return f"{name} is taken from {place}, not from stark-lightning ({_HOME}): {remedy}"
        if name in _LIBRARIES and folder in users and not _has_distributions(folder):
            return f"{name} is taken from {place}, not from the installed package {name}: {_remedy(name, folder)}"
    return None


def _remedy(name: str, folder: str) -> str:
    return f"rename {name} there, or remove {folder} from PYTHONPATH"


def _modules(folder: str) -> set[str]:
    """Names of the modules and packages in a folder."""
    try:
        entries = os.listdir(folder)
    except OSError:
        return set()
    files = {name.removesuffix(".py") for name in entries if name.endswith(".py")}
    return files | {name for name in entries if os.path.isfile(os.path.join(folder, name, "__init__.py"))}


def _has_distributions(folder: str) -> bool:
    """Whether a folder has installed packages or a project under development, which are meant to be imported."""
    return any(name.endswith((".dist-info", ".egg-info")) for name in os.listdir(folder))


if __name__ == "__main__":
    # The processes of other devices must run this file, too (see pipeline/fits/isolation.py). With a __spec__ Lightning
    # would start them with `-m cli`.
    __spec__ = None  # type: ignore[assignment]  # as in every file that is run as a script
    if _HOME not in sys.path:  # last, so that the other files in this folder hide no module
        sys.path.append(_HOME)
    main()
