"""Options of the commands, but for those of fits and runs. Imports nothing that takes long: help comes at once."""

from __future__ import annotations

from typing import Literal

from pipeline.errors import OneLineErrors

__all__ = ["Format", "card", "compare", "export", "predict_file", "push", "report", "sample_data", "serve"]

Format = Literal["onnx", "torch", "openvino", "dense"]
"""What `stark export` writes."""

_OVERWRITE_PAGE = "replace files of these names that are not earlier pages, or were changed since"


def card() -> OneLineErrors:
    """Make the parser of `stark card`."""
    parser = OneLineErrors(prog="stark card", description="Write a model card.")
    parser.add_argument("model", type=str, help="model folder of a run, such as runs/NAME/student")
    parser.add_argument("--license", type=str, help="as the hub spells it, such as apache-2.0")
    parser.add_argument("--language", type=str, help="of the texts, such as en")
    parser.add_argument("--repo", type=str, help="id on the hub that the example names; default: the folder")
    parser.add_argument("--output", type=str, help="file to write; default MODEL/README.md")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that was written or changed by hand")
    return parser


def compare() -> OneLineErrors:
    """Make the parser of `stark compare`."""
    parser = OneLineErrors(prog="stark compare", description="Several runs on one page.")
    parser.add_argument("runs", type=str, nargs="+", help="folders of runs, such as runs/A runs/B")
    parser.add_argument("--output", type=str, default="runs/compare.html", help="HTML file; Markdown beside it")
    parser.add_argument("--overwrite", action="store_true", help=_OVERWRITE_PAGE)
    return parser


def export() -> OneLineErrors:
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
    return parser


def predict_file() -> OneLineErrors:
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
    return parser


def push() -> OneLineErrors:
    """Make the parser of `stark push`."""
    parser = OneLineErrors(prog="stark push", description="Upload a model folder to the Hugging Face hub.")
    parser.add_argument("model", type=str, help="model folder, such as runs/NAME/student, or one of stark export")
    parser.add_argument("repo", type=str, help="id on the hub, such as me/my-model; made if it is not there")
    parser.add_argument("--private", action="store_true", help="make it private, if it has to be made")
    return parser


def report() -> OneLineErrors:
    """Make the parser of `stark report`."""
    parser = OneLineErrors(prog="stark report", description="A run as one page, pictures first.")
    parser.add_argument("run", type=str, help="folder of a run, finished or not, such as runs/NAME")
    parser.add_argument("--output", type=str, help="HTML file; default RUN/report.html, and report.md beside it")
    parser.add_argument("--overwrite", action="store_true", help=_OVERWRITE_PAGE)
    return parser


def sample_data() -> OneLineErrors:
    """Make the parser of `stark sample-data`."""
    parser = OneLineErrors(prog="stark sample-data", description="Generate small GLUE tasks and a tiny encoder.")
    parser.add_argument("directory", type=str, help="folder to write into")
    parser.add_argument("--overwrite", action="store_true", help="replace files of the same names, whatever they hold")
    return parser


def serve() -> OneLineErrors:
    """Make the parser of `stark serve`."""
    parser = OneLineErrors(prog="stark serve", description="Classify typed text in the browser, beside the teacher.")
    parser.add_argument("model", type=str, help="model folder, such as runs/NAME/student, or one of stark export")
    parser.add_argument("--teacher", type=str, help="model beside it; default: the teacher of the run that it lies in")
    parser.add_argument(
        "--host", type=str, default="127.0.0.1", help="address; 0.0.0.0 lets other machines in, with a token"
    )
    parser.add_argument("--port", type=int, default=7860, help="port of the page")
    return parser
