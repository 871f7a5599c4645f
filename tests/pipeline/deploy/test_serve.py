"""The command as users call it: a server in a separate process, called by its API and a browser, ended by Ctrl-C."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import urllib.request
from contextlib import contextmanager

import pytest

from cli import main
from pipeline.deploy.classifier import Classified, open_classifier
from pipeline.deploy.serve import Side, ask, said, sides_of
from stark.model_folders.model_folder import load_classifier, save_classifier
from tests.browser import needs_browser, opened
from tests.pipeline.serving import sent

TEXT = "a good and charming film"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@pytest.fixture(scope="module")
def uploads(tmp_path_factory):
    """The folder in which the server would keep uploaded files."""
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def address(pruned_run, uploads, warm):
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(uploads), "TMPDIR": str(uploads)}
    command = [str(warm / "python"), "-m", "cli", "serve", str(pruned_run / "student"), "--port", str(free_port())]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        line = server.stdout.readline()
        yield line.split()[0] if line else pytest.fail(server.stderr.read())
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 0
        steps = ["stark: loading the libraries", f"stark: loading {pruned_run / 'student'}", "stark: making the page"]
        assert server.stderr.read().splitlines() == steps


def asked(address, *values):
    """The result of the server's API."""
    body = json.dumps({"data": values}).encode()
    call = urllib.request.Request(f"{address}/gradio_api/call/classify", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(call, timeout=60) as response:
        event = json.load(response)["event_id"]
    with urllib.request.urlopen(f"{address}/gradio_api/call/classify/{event}", timeout=60) as response:
        return json.loads(response.read().decode().rsplit("data: ", 1)[1].splitlines()[0])


def test_it_says_what_student_and_teacher_say(address, pruned_run):
    student, latency, teacher, _ = asked(address, TEXT)
    for label, folder in ((student, "student"), (teacher, "finetune/model")):
        classifier = open_classifier(pruned_run / folder)
        expected = dict(zip(classifier.label_names, classifier([TEXT]).probabilities[0].tolist(), strict=True))
        assert {entry["label"]: entry["confidence"] for entry in label["confidences"]} == pytest.approx(expected)
    assert re.match(
        r"\d+\.\d ms \((one thread|\d+ threads), median of 5 calls\), \d+\.\d times as fast as the teacher", latency
    )


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_a_person_sees_both(address, scheme, width):
    with opened(address, color_scheme=scheme, viewport={"width": width, "height": 900}) as (page, seen):
        page.get_by_role("button", name="Classify").click()
        page.get_by_text("Type a text for sentence.").wait_for()
        page.get_by_label("sentence").fill(TEXT)
        page.get_by_role("button", name="Classify").click()
        page.get_by_text("median of 5 calls").nth(1).wait_for()
        assert page.get_by_text("times as fast as the teacher").is_visible()
        assert page.get_by_test_id("label-output-value").count() == 2
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert seen.messages == []
    assert [url for url in seen.requests if not url.startswith((address, "data:", "blob:"))] == []


def test_latency_is_a_median_and_the_first_call_does_not_count(monkeypatch):
    now = 0.0

    class Model:
        tokenizer, max_length, segment_ids = object(), 128, "tokenizer"
        tokenised = 0

        def __init__(self, *seconds):
            self.seconds = iter(seconds)

        def tokenize(self, *_):
            Model.tokenised += 1

        def classify(self, _):
            nonlocal now
            now += next(self.seconds)
            return Classified([self], [self])

    monkeypatch.setattr("pipeline.deploy.serve.time.perf_counter", lambda: now)
    models = Model(9, 1, 4, 2, 8, 3), Model(9, 5, 5, 7, 7, 7)
    answers = ask(models, TEXT)
    assert [answer.milliseconds for answer in answers] == pytest.approx([3000, 7000])
    assert tuple(answer.values for answer in answers) == models
    assert Model.tokenised == 1


def test_models_of_one_run_share_a_tokenizer(pruned_run):
    student, teacher = (side.classifier for side in sides_of(pruned_run / "student"))
    assert student.tokenizer is teacher.tokenizer


@pytest.mark.slow
def test_memory_stays_flat_others_need_the_token_and_names_stay_text(tmp_path, warm):
    folder = tmp_path / "a`b <img src=x onerror=alert(1)>"
    folder.mkdir()
    command = [str(warm / "python"), "-m", "tests.pipeline.serving", str(folder), str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["without"] == [401, 401, 303, 401]
    # Of 15 requests the server remembers 5; Gradio itself adds one of each.
    assert found["queues"] <= 6
    assert found["sessions"] <= 6
    assert "<img src=x" not in found["page"]
    assert re.search(r"\\n\\n`` .*a`b <img src=x onerror=alert\(1\)> ``\"\]", found["answer"])


def test_texts_are_limited(address):
    latest = asked(address, "a" * 100_000)
    assert len(latest[0]["confidences"]) == 2
    assert asked(address, "a" * 100_001)["error"] == "sentence has 100,001 characters: at most 100,000 are taken."
    assert asked(address, None)["error"] == "Type a text for sentence."


def test_the_token_is_made_where_other_machines_can_ask(monkeypatch, capsys, tmp_path):
    tokens = []

    @contextmanager
    def nothing_served(page, listening, token):
        tokens.append(token)
        listening.close()
        yield threading.Thread()

    monkeypatch.setattr("pipeline.deploy.serve.served", nothing_served)
    monkeypatch.setattr("pipeline.deploy.serve.page_of", lambda _: None)
    monkeypatch.setattr("pipeline.deploy.serve.sides_of", lambda *_, **__: [])
    for host in ("127.0.0.1", "localhost", "0.0.0.0", "0.0.0.0"):
        main(["serve", "model", "--host", host, "--port", str(free_port())])
    said = capsys.readouterr().out.splitlines()
    assert tokens[:2] == [None, None]
    assert tokens[2] != tokens[3]
    assert min(map(len, tokens[2:])) >= 32
    assert ["token=" in line for line in said] == [False, False, True, True]
    assert f"/?token={tokens[3]} " in said[3]


def test_what_other_sites_send_leaves_nothing(address, uploads):
    body = json.dumps({"data": [TEXT]})
    for headers in (
        {"Content-Type": "text/plain", "Origin": "http://evil.example"},
        {"Content-Type": "application/json", "Origin": "http://evil.example"},
        {"Content-Type": "application/json", "Host": "evil.example"},
    ):
        for path in ("/gradio_api/call/classify", "/gradio_api/queue/join", "/gradio_api/upload"):
            assert sent(address, path, body, **headers)[0] == 403
    form = '--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nsecret\r\n--x--\r\n'
    assert sent(address, "/gradio_api/upload", form, **{"Content-Type": "multipart/form-data; boundary=x"})[0] == 404
    huge = json.dumps({"data": ["a " * 5_000_000]})
    assert sent(address, "/gradio_api/call/classify", huge, **{"Content-Type": "application/json"})[0] == 413
    assert [file for file in uploads.rglob("*") if file.is_file()] == []


def test_a_model_outside_of_a_run_is_alone(tiny_task, tmp_path, pruned_run):
    lone = save_classifier(load_classifier(tiny_task.teacher), tmp_path / "lone")
    assert [side.name for side in sides_of(lone)] == ["model"]
    assert [side.name for side in sides_of(lone, pruned_run / "finetune/model")] == ["student", "teacher"]
    assert [side.name for side in sides_of(pruned_run / "finetune/model")] == ["model"]


def test_regression_has_a_score(tiny_task, tmp_path):
    model = save_classifier(load_classifier(tiny_task.encoder, label_names=["similarity"]), tmp_path / "scores")
    side = Side("model", model, open_classifier(model))
    ((score, line),) = said([side], "good", "bad")
    assert line.endswith("calls)")  # without a teacher there is no comparison of speed
    assert float(score) == pytest.approx(side.classifier(["good"], ["bad"]).predictions.item(), abs=5e-4)


def test_a_text_that_is_too_long_is_told(tiny_task):
    for windows, note in (
        (False, "; 30 tokens were cut off: it takes 128"),
        (True, "; mean of 2 windows of up to 128 tokens"),
    ):
        side = Side("model", tiny_task.teacher, open_classifier(tiny_task.teacher, windows=windows))
        ((labels, line),) = said([side], "good " * 156)
        assert line.endswith(f"calls){note}")
        assert list(labels.values()) == side.classifier(["good " * 156]).probabilities[0].tolist()
    assert [side.classifier.windows for side in sides_of(tiny_task.teacher, windows=True)] == [True]


def test_another_task_is_refused(tiny_task, tmp_path, pruned_run):
    other = save_classifier(load_classifier(tiny_task.encoder, label_names=["a", "b", "c"]), tmp_path / "other")
    with pytest.raises(ValueError, match=r"has the labels a, b, c, .*student has negative, positive: name its teacher"):
        sides_of(pruned_run / "student", other)


def test_a_port_that_is_taken_is_told_in_one_line(pruned_run, capsys):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(SystemExit) as stop:
            main(["serve", str(pruned_run / "student"), "--port", str(port)])
    assert stop.value.code == 2
    assert f"stark: error: cannot listen on 127.0.0.1, port {port}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--port", "0"], "port is 0: choose one from 1 to 65535"),
        (["--port", "70000"], "port is 70000: choose one from 1 to 65535"),
        (["--teacher", "runs/none"], "cannot load runs/none: there is no such folder"),
    ],
)
def test_mistakes_are_told_in_one_line(wrong, message, pruned_run, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["serve", str(pruned_run / "student"), *wrong])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    (line,) = [line for line in said.splitlines() if not line.startswith("stark: loading ")]
    assert line.startswith(f"stark: error: {message}")


def test_the_extra_is_named(pruned_run, capsys, monkeypatch):
    monkeypatch.setattr("pipeline.parsing.extras.find_spec", lambda _: None)
    with pytest.raises(SystemExit):
        main(["serve", str(pruned_run / "student")])
    assert "stark serve needs the extra [demo] (gradio): pip install '.[demo]' in" in capsys.readouterr().err
