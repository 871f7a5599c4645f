"""`stark serve`: a page on which typed text is classified by teacher and student side by side, with their latency."""

from __future__ import annotations

import os
import socket
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from callbacks import Interrupted
from pipeline.classifier import Classifier, open_classifier
from pipeline.errors import OneLineErrors
from pipeline.extras import need_extra
from pipeline.latency import device_text, threads_text
from pipeline.model_data import run_of, texts_of

if TYPE_CHECKING:
    from gradio import Blocks

__all__ = ["Answered", "Side", "ask", "page_of", "said", "serve", "sides_of"]

_TEACHER = "finetune/model"
# Calls in turns whose median is told, after one that is not counted.
_ROUNDS = 5


@dataclass(frozen=True)
class Side:
    """One of the models on the page.

    Args:
        name: ``student``, ``teacher``, or ``model`` where it is alone.
        folder: Where it lies.
        classifier: The model.
    """

    name: str
    folder: Path
    classifier: Classifier


@dataclass(frozen=True)
class Answered:
    """What a model says of one text.

    Args:
        values: Probabilities ``(num_labels,)``, or of regression the score ``(1,)``.
        milliseconds: From text to values, median of five calls.
    """

    values: Tensor
    milliseconds: float


def serve(args: list[str]) -> None:
    """Run `stark serve` until a signal ends it.

    Args:
        args: The command line after `serve`.

    Raises:
        ValueError: If gradio is not installed, a model is not there or does not fit, or the port is taken.
    """
    parser = OneLineErrors(prog="stark serve", description="Classify typed text in the browser, beside the teacher.")
    parser.add_argument("model", type=str, help="model folder, such as runs/NAME/student, or one of stark export")
    parser.add_argument("--teacher", type=str, help="model beside it; default: the teacher of the run that it lies in")
    parser.add_argument("--host", type=str, default="127.0.0.1", help="address; 0.0.0.0 lets other machines in")
    parser.add_argument("--port", type=int, default=7860, help="port of the page")
    options = parser.parse_args(args)
    need_extra("demo", "stark serve", "gradio")
    sides = sides_of(Path(options.model), None if options.teacher is None else Path(options.teacher))
    _check_free(options.host, options.port)
    page = page_of(sides)
    try:
        # With its own loop below, as gradio's takes no signal but Ctrl-C.
        page.launch(server_name=options.host, server_port=options.port, prevent_thread_lock=True, quiet=True)
        print(f"http://{options.host}:{options.port} (Ctrl-C ends it)", flush=True)
        threading.Event().wait()
    except Interrupted:
        pass
    finally:
        page.close(verbose=False)


def _check_free(host: str, port: int) -> None:
    if not 0 < port < 2**16:
        raise ValueError(f"port is {port}: choose one from 1 to 65535")
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        raise ValueError(f"cannot listen on {host}, port {port} ({error}): choose another --port or --host") from error


def sides_of(model: Path, teacher: Path | None = None) -> list[Side]:
    """Load a model and its teacher.

    Args:
        model: A model folder, or one that `stark export` wrote.
        teacher: None for that of the run that the model lies in.

    Returns:
        The student and the teacher; the model alone if it lies in no run, or is the teacher.

    Raises:
        ValueError: If a folder is no model, or the two have other labels.
    """
    run = run_of(model)
    if teacher is None and run is not None and (run / _TEACHER).is_dir():
        teacher = run / _TEACHER
    if teacher is None or teacher.resolve() == model.resolve():
        return [Side("model", model, open_classifier(model))]
    sides = [Side(name, folder, open_classifier(folder)) for name, folder in (("student", model), ("teacher", teacher))]
    own, other = (side.classifier.label_names for side in sides)
    if own != other:
        raise ValueError(f"{teacher} has the labels {', '.join(other)}, {model} has {', '.join(own)}: name its teacher")
    return sides


def ask(classifiers: Sequence[Classifier], text: str, pair: str | None = None) -> list[Answered]:
    """Classify one text with each model, in turns so that all meet the same machine.

    Args:
        classifiers: The models.
        text: The text.
        pair: The second text of a pair.

    Returns:
        In their order.
    """
    calls = [[_timed(classifier, text, pair) for classifier in classifiers] for _ in range(1 + _ROUNDS)]
    return [
        Answered(own[0].values, statistics.median(call.milliseconds for call in own[1:]))
        for own in zip(*calls, strict=True)
    ]


def _timed(classifier: Classifier, text: str, pair: str | None) -> Answered:
    start = time.perf_counter()
    values = classifier([text], None if pair is None else [pair])[0]
    return Answered(values, 1000 * (time.perf_counter() - start))


def said(sides: Sequence[Side], text: str, pair: str | None = None) -> list[tuple[dict[str, float] | str, str]]:
    """What the page shows of each model for a text.

    Args:
        sides: The models.
        text: The text.
        pair: The second text of a pair.

    Returns:
        For each its labels with their probabilities, or of regression the score, and how long it took.
    """
    answers = ask([side.classifier for side in sides], text, pair)
    shown = []
    for side, own in zip(sides, answers, strict=True):
        values = own.values.tolist()
        labels = dict(zip(side.classifier.label_names, values, strict=True))
        where = threads_text() if side.classifier.device == "cpu" else device_text(side.classifier.device)
        line = f"{own.milliseconds:.1f} ms ({where}, median of {_ROUNDS} calls)"
        if side.name == "student":
            line += f", {answers[1].milliseconds / own.milliseconds:.1f} times as fast as the teacher"
        shown.append((f"{values[0]:.3f}" if side.classifier.is_regression else labels, line))
    return shown


def page_of(sides: Sequence[Side]) -> Blocks:
    """Make the page; whoever calls `classify` of its API gets the same as who looks at it.

    Args:
        sides: The student and the teacher, or a model alone.

    Returns:
        The page, not launched.
    """
    # Before it is imported, as it then asks its makers for its newest version.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio

    trained = texts_of(sides[0].folder)
    places = [f"`{os.path.relpath(side.folder)}`" for side in sides]
    names = ("text", "second text, if the model takes pairs") if trained is None else trained

    def classify(text: str, pair: str) -> list[Any]:
        missing = [name for name, value in zip(names, (text, pair), strict=False) if not value.strip()]
        if missing and (trained is not None or not text.strip()):
            raise gradio.Error(f"Type a text for {missing[0]}.", print_exception=False)
        answers = zip(said(sides, text, pair if pair.strip() else None), places, strict=True)
        return [item for (labels, line), place in answers for item in (labels, f"{line}\n\n{place}")]

    with gradio.Blocks(title=f"stark serve {sides[0].folder}", analytics_enabled=False) as page:
        texts = [gradio.Textbox(label=name, lines=3) for name in names]
        pair = texts[1] if len(texts) > 1 else gradio.State("")
        button = gradio.Button("Classify", variant="primary")
        shown: list[Any] = []
        with gradio.Row():
            for side, place in zip(sides, places, strict=True):
                with gradio.Column(min_width=280):
                    shown += [gradio.Label(label=side.name), gradio.Markdown(place)]
        button.click(classify, [texts[0], pair], shown, api_name="classify")
    return page
