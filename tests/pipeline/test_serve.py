"""The command as users call it: a server of its own, asked by its API and by a browser, and ended by Ctrl-C."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from cli import main
from lightning_modules import load_classifier, save_classifier
from pipeline.classifier import open_classifier
from pipeline.serve import Side, ask, said, sides_of
from tests.browser import needs_browser, opened

TEXT = "a good and charming film"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@pytest.fixture(scope="module")
def address(pruned_run):
    command = [sys.executable, "-m", "cli", "serve", str(pruned_run / "student"), "--port", str(free_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        line = server.stdout.readline()
        yield line.split()[0] if line else pytest.fail(server.stderr.read())
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 0
        assert server.stderr.read() == ""


def asked(address, *values):
    """What its API says, without a browser."""
    body = json.dumps({"data": values}).encode()
    call = urllib.request.Request(f"{address}/gradio_api/call/classify", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(call, timeout=60) as response:
        event = json.load(response)["event_id"]
    with urllib.request.urlopen(f"{address}/gradio_api/call/classify/{event}", timeout=60) as response:
        return json.loads(response.read().decode().split("data: ", 1)[1].splitlines()[0])


def test_it_says_what_student_and_teacher_say(address, pruned_run):
    student, latency, teacher, _ = asked(address, TEXT)
    for label, folder in ((student, "student"), (teacher, "finetune/model")):
        classifier = open_classifier(pruned_run / folder)
        expected = dict(zip(classifier.label_names, classifier([TEXT])[0].tolist(), strict=True))
        assert {entry["label"]: entry["confidence"] for entry in label["confidences"]} == pytest.approx(expected)
    assert re.match(
        r"\d+\.\d ms \((one thread|\d+ threads), median of 5 calls\), \d+\.\d times as fast as the teacher", latency
    )


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
        def __init__(self, *seconds):
            self.seconds = iter(seconds)

        def __call__(self, *_):
            nonlocal now
            now += next(self.seconds)
            return [self]

    monkeypatch.setattr("pipeline.serve.time.perf_counter", lambda: now)
    models = Model(9, 1, 4, 2, 8, 3), Model(9, 5, 5, 7, 7, 7)
    answers = ask(models, TEXT)
    assert [answer.milliseconds for answer in answers] == pytest.approx([3000, 7000])
    assert tuple(answer.values for answer in answers) == models


def test_a_model_outside_of_a_run_is_alone(tiny_task, tmp_path, pruned_run):
    lone = save_classifier(load_classifier(tiny_task.teacher), tmp_path / "lone")
    assert [side.name for side in sides_of(lone)] == ["model"]
    assert [side.name for side in sides_of(lone, pruned_run / "finetune/model")] == ["student", "teacher"]
    assert [side.name for side in sides_of(pruned_run / "finetune/model")] == ["model"]


def test_regression_has_a_score(tiny_task, tmp_path):
    model = save_classifier(load_classifier(tiny_task.encoder, label_names=["similarity"]), tmp_path / "scores")
    side = Side("model", model, open_classifier(model))
    ((score, line),) = said([side], "good", "bad")
    assert line.endswith("calls)")  # there is no teacher to be faster than
    assert float(score) == pytest.approx(side.classifier(["good"], ["bad"]).item(), abs=5e-4)


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
    assert said.startswith(f"stark: error: {message}")
    assert said.count("\n") == 1


def test_the_extra_is_named(pruned_run, capsys, monkeypatch):
    monkeypatch.setattr("pipeline.extras.find_spec", lambda _: None)
    with pytest.raises(SystemExit):
        main(["serve", str(pruned_run / "student")])
    assert "stark serve needs the extra [demo] (gradio): pip install 'stark-lightning[demo]'" in capsys.readouterr().err
