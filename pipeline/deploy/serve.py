"""`stark serve`: a page on which teacher and student classify typed text side by side, with their latency."""

from __future__ import annotations

import os
import secrets
import socket
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace
from torch import Tensor

from callbacks import Interrupted
from datamodules import TokenColumns
from datamodules.tokens.tokenization import tokenizer_digest
from pipeline.deploy.classifier import Classifier, open_classifier
from pipeline.deploy.model_data import run_of, texts_of
from pipeline.deploy.serve_guard import Guard, is_loopback
from pipeline.parsing.extras import need_extra
from pipeline.parsing.progress import step
from pipeline.results.markdown import as_code
from pipeline.run_folder import RunFolder
from stark.errors import StarkError
from stark.forward.latency import device_text, threads_text

if TYPE_CHECKING:
    from gradio import Blocks

__all__ = ["Answered", "Side", "ask", "listen", "page_of", "said", "serve", "served", "sides_of"]

# Number of timed calls of each model; their median is reported. One call before them is not counted.
_ROUNDS = 5
# Maximum number of characters of a text: more than a model's tokens can contain, unless most of them are blank.
_LONGEST = 100_000
# Maximum size of a request with two texts, in which each character may take two escapes of six bytes.
_MAX_BYTES = 2 * 12 * _LONGEST + 10_000
# Maximum numbers of requests that wait while the models answer one, and of open connections.
_MAX_WAITING = 20
_MAX_CONNECTIONS = 200
# Number of sessions and requests that Gradio keeps in memory; its default is 10,000.
_REMEMBERED = 100


@dataclass(frozen=True)
class Side:
    """One of the models on the page.

    Args:
        name: ``student``, ``teacher``, or ``model`` if there is only one.
        folder: The model's folder.
        classifier: The loaded model.
    """

    name: str
    folder: Path
    classifier: Classifier


@dataclass(frozen=True)
class Answered:
    """A model's result for one text.

    Args:
        values: Probabilities ``(num_labels,)``, or for regression the score ``(1,)``.
        milliseconds: Time from tokens to values in milliseconds, the median of five calls.
        lost: Number of tokens that were cut off because the text is too long.
        windows: Number of windows whose mean the values are; 0 for a text that is not too long.
    """

    values: Tensor
    milliseconds: float
    lost: int = 0
    windows: int = 0


def serve(options: Namespace) -> None:
    """Run `stark serve` until a signal ends it.

    Args:
        options: Its command line, parsed.

    Raises:
        StarkError: If gradio is not installed, a model does not exist or does not fit, or the port is in use.
    """
    need_extra("demo", "stark serve", "gradio")
    with step(f"loading {options.model}"):
        teacher = None if options.teacher is None else Path(options.teacher)
        sides = sides_of(Path(options.model), teacher, windows=options.windows)
    listening = listen(options.host, options.port)
    token = None if is_loopback(listening.getsockname()[0]) else secrets.token_urlsafe(32)
    try:
        with step("making the page"):
            page = page_of(sides)
        with served(page, listening, token) as thread:
            place = f"[{options.host}]" if ":" in options.host else options.host
            secret = "" if token is None else f"/?token={token}"
            print(f"http://{place}:{options.port}{secret} (Ctrl-C ends it)", flush=True)
            while thread.is_alive():
                # With a timeout, because a signal that another thread receives does not wake this one.
                thread.join(timeout=0.5)
    except Interrupted:
        pass


def listen(host: str, port: int) -> socket.socket:
    """Listen on a port.

    Args:
        host: The address to listen on.
        port: The port.

    Returns:
        The listening socket.

    Raises:
        StarkError: If there is no such port or address, or it is in use.
    """
    if not 0 < port < 2**16:
        raise StarkError(f"port is {port}: choose one from 1 to 65535")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise StarkError(f"cannot listen on {host}, port {port} ({error}): choose another --port or --host") from error


@contextmanager
def served(page: Blocks, listening: socket.socket, token: str | None) -> Iterator[threading.Thread]:
    """Answer requests in a separate thread.

    Args:
        page: The page, from `page_of`.
        listening: The socket, from `listen`; it is closed at the end.
        token: Token that each request must contain; None for a page that only this machine can reach.

    Yields:
        The thread, as soon as it answers requests.
    """
    import fastapi
    import gradio
    import uvicorn

    # FastAPI's description of the interface is turned off, because Gradio has its own one.
    outer = fastapi.FastAPI(openapi_url=None)
    options: dict[str, Any] = {"run_history": False, "enable_monitoring": False, "mcp_server": False, "ssr_mode": False}
    app = gradio.mount_gradio_app(outer, page, path="/", footer_links=["api", "settings"], show_error=False, **options)
    config = uvicorn.Config(
        Guard(app, max_bytes=_MAX_BYTES, token=token),
        log_level="warning",  # so that no log contains addresses, and the token in them
        ws="none",
        proxy_headers=False,
        limit_concurrency=_MAX_CONNECTIONS,
    )
    server = uvicorn.Server(config)
    # In a thread, because uvicorn's handling of signals would wait for the connections of open pages.
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        while thread.is_alive() and not server.started:
            time.sleep(0.01)
        yield thread
    finally:
        page.close(verbose=False)  # ends the streams of open pages
        server.should_exit = True
        thread.join(timeout=5)


def sides_of(model: Path, teacher: Path | None = None, *, windows: bool = False) -> list[Side]:
    """Load a model and its teacher.

    Args:
        model: A model folder, or one that `stark export` wrote.
        teacher: Folder of the teacher; None for the teacher of the run that the model lies in.
        windows: As in `open_classifier`.

    Returns:
        The student and the teacher; only the model if there is no teacher, or if it is the teacher itself.

    Raises:
        StarkError: If a folder is no model, or the labels of the two models differ.
    """
    run = run_of(model)
    if teacher is None and run is not None and (dense := RunFolder(run).dense_teacher.path).is_dir():
        teacher = dense
    if teacher is None or teacher.resolve() == model.resolve():
        return [Side("model", model, open_classifier(model, windows=windows))]
    named = (("student", model), ("teacher", teacher))
    sides = [Side(name, folder, open_classifier(folder, windows=windows)) for name, folder in named]
    own, other = (side.classifier.label_names for side in sides)
    if own != other:
        raise StarkError(f"{teacher} has the labels {', '.join(other)}, {model} has {', '.join(own)}: name its teacher")
    return _share_tokenizer(*sides)


def _share_tokenizer(first: Side, second: Side) -> list[Side]:
    """Let both models share one tokenizer object if theirs are equal, so that `ask` need not tokenise twice."""
    tokenizer = first.classifier.tokenizer
    if tokenizer_digest(tokenizer) != tokenizer_digest(second.classifier.tokenizer):
        return [first, second]
    return [first, replace(second, classifier=replace(second.classifier, tokenizer=tokenizer))]


def ask(classifiers: Sequence[Classifier], text: str, pair: str | None = None) -> list[Answered]:
    """Classify one text with each model, in turns, so that all are timed under the same load of the machine.

    The text is tokenised once for all calls of a model, and only once for both models if they share a tokenizer object.

    Args:
        classifiers: The models.
        text: The text.
        pair: The second text of a pair; None for a single text.

    Returns:
        Results in the order of the models.
    """
    tokenised: dict[tuple[Any, ...], TokenColumns] = {}
    rows = []
    for classifier in classifiers:
        key = (id(classifier.tokenizer), classifier.max_length, classifier.segment_ids)
        if key not in tokenised:
            tokenised[key] = classifier.tokenize([text], None if pair is None else [pair])
        rows.append(tokenised[key])
    calls = [[_timed(*call) for call in zip(classifiers, rows, strict=True)] for _ in range(1 + _ROUNDS)]
    return [
        replace(own[0], milliseconds=statistics.median(call.milliseconds for call in own[1:]))
        for own in zip(*calls, strict=True)
    ]


def _timed(classifier: Classifier, rows: TokenColumns) -> Answered:
    start = time.perf_counter()
    found = classifier.classify(rows)
    milliseconds = 1000 * (time.perf_counter() - start)
    return Answered(found.probabilities[0], milliseconds, found.truncation.lost, found.windows)


def said(sides: Sequence[Side], text: str, pair: str | None = None) -> list[tuple[dict[str, float] | str, str]]:
    """The page's text for each model's result.

    Args:
        sides: The models.
        text: The text.
        pair: The second text of a pair; None for a single text.

    Returns:
        For each model the labels with their probabilities, or for regression the score, and a line with the latency.
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
        if own.lost:
            line += f"; {own.lost:,} tokens were cut off: it takes {side.classifier.max_length}"
        if own.windows:
            line += f"; mean of {own.windows} windows of up to {side.classifier.max_length} tokens"
        if rule := side.classifier.problem.rule:
            line += f"; {rule}"
        shown.append((labels if side.classifier.problem.has_classes else f"{values[0]:.3f}", line))
    return shown


def page_of(sides: Sequence[Side]) -> Blocks:
    """Make the page. The page and the function `classify` of its API return the same results.

    Args:
        sides: The student and the teacher, or a model alone.

    Returns:
        The page, not launched.
    """
    # Set before Gradio is imported, because it would contact its maker's server for the newest version.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # Gradio keeps statistics of requests in memory, and computes them again at each request.
    os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = str(_REMEMBERED)
    import gradio

    trained = texts_of(sides[0].folder)
    places = [as_code(os.path.relpath(side.folder)) for side in sides]
    names = ("text", "second text, if the model takes pairs") if trained is None else trained

    def classify(text: str | None, pair: str | None = None) -> list[Any]:
        texts = [text or "", pair or ""]
        missing = [name for name, value in zip(names, texts, strict=False) if not value.strip()]
        if missing and (trained is not None or not texts[0].strip()):
            raise gradio.Error(f"Type a text for {missing[0]}.", print_exception=False)
        for name, value in zip(names, texts, strict=False):
            if len(value) > _LONGEST:
                raise gradio.Error(
                    f"{name} has {len(value):,} characters: at most {_LONGEST:,} are taken.", print_exception=False
                )
        answers = zip(said(sides, texts[0], texts[1] if texts[1].strip() else None), places, strict=True)
        return [item for (labels, line), place in answers for item in (labels, f"{line}\n\n{place}")]

    with gradio.Blocks(title=f"stark serve {sides[0].folder}", analytics_enabled=False) as page:
        texts = [gradio.Textbox(label=name, lines=3, max_length=_LONGEST) for name in names]
        button = gradio.Button("Classify", variant="primary")
        shown: list[Any] = []
        with gradio.Row():
            for side, place in zip(sides, places, strict=True):
                with gradio.Column(min_width=280):
                    shown += [gradio.Label(label=side.name), gradio.Markdown(place)]
        button.click(classify, texts, shown, api_name="classify")
    page.state_session_capacity = _REMEMBERED
    # Requests are answered one at a time, so that a latency is not distorted by others; none can skip the queue.
    page.queue(max_size=_MAX_WAITING, default_concurrency_limit=1, api_open=False)
    # Gradio has no settings for these: it keeps 2,000 results that nobody fetched, and each session until it ends.
    page._queue.pending_messages_per_session = gradio.utils.LRUCache(_REMEMBERED)
    page._queue.pending_event_ids_session = gradio.utils.LRUCache(_REMEMBERED)
    return page
