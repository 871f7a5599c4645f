"""Uploads to a local server that responds as the real hub does."""

import base64
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from huggingface_hub import close_session, constants

import cli
from pipeline.deploy.push import files_of
from stark.encoders.cutting import shrink_
from stark.model_folders.model_folder import load_classifier, save_classifier
from stark.storage import write_checksums
from tests.tiny import random_masks

ROOT = Path(__file__).parents[3]


class Hub(http.server.BaseHTTPRequestHandler):
    """The part of the hub that an upload of small files needs; it records what it receives."""

    asked: list
    files: dict
    status = 200

    def do_POST(self):
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.path, self.headers.get("Authorization")))
        if self.status != 200:
            return self._say({"error": "no"}, self.status)
        if self.path == "/api/repos/create":
            asked = json.loads(content)
            address = f"http://{self.headers['Host']}/{asked['organization']}/{asked['name']}"
            return self._say({"url": address, "id": "me/small"})
        if self.path == "/api/validate-yaml":  # a check of the model card
            return self._say({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(content)["files"]
            ]
            return self._say({"files": files})
        if "/commit/" in self.path:
            for line in content.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    self.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            address = f"http://{self.headers['Host']}/me/small"
            return self._say({"commitUrl": f"{address}/commit/1", "commitOid": "1" * 40, "commitMessage": "x"})
        return self._say({}, 404)

    def do_GET(self):
        self.asked.append((self.path, self.headers.get("Authorization")))
        self._say({"id": "me/small", "sha": "0" * 40, "siblings": [], "modelId": "me/small"}, self.status)

    def _say(self, values, status=200):
        text = json.dumps(values).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    handler = type("OwnHub", (Hub,), {"asked": [], "files": {}})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    handler.address = f"http://127.0.0.1:{server.server_port}"
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def student(tiny_task, tmp_path_factory):
    model = load_classifier(tiny_task.teacher)
    shrink_(model, random_masks(model))
    folder = save_classifier(model, tmp_path_factory.mktemp("push") / "student")
    (folder / "README.md").write_text("# A card\n")
    return folder


def push(folder, endpoint, home):
    """Run the command in a separate process, as a user does."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": endpoint, "HF_HOME": str(home)}
    environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_XET": "1"}
    environment["HF_TOKEN"] = "hf_secret"
    command = [sys.executable, "-m", "cli", "push", str(folder), "me/small"]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)


@pytest.mark.slow
def test_the_folder_arrives_in_one_commit(student, hub, tmp_path):
    folder, own = tmp_path / "folder", {file.name: file.read_bytes() for file in student.iterdir()}
    shutil.copytree(student, folder)
    (folder / ".ssh").mkdir()
    for name in (".env", ".ssh/id_rsa", "notes.txt", "train.csv", "model.pkl"):
        (folder / name).write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "elsewhere")
    said = push(folder, hub.address, tmp_path)
    assert said.returncode == 0, (said.stderr, hub.asked)
    assert said.stdout.strip() == f"{hub.address}/me/small"
    assert said.stderr.splitlines() == [
        "stark: loading the libraries",
        "not files of a model, left out: .env, .ssh, link.txt, model.pkl, notes.txt, train.csv",
        f"stark: checking {folder}",
        f"stark: uploading {len(own)} files to me/small",
    ]
    assert hub.files == own
    own = ("/api/repos/", "/api/models/")
    assert {token for path, token in hub.asked if path.startswith(own)} == {"Bearer hf_secret"}
    assert sum("/commit/" in path for path, _ in hub.asked) == 1


@pytest.fixture
def refused(monkeypatch, tmp_path, capsys):
    """Function that returns the command's error before status 2; in this process, because starting takes seconds."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def push(folder, endpoint, token="hf_secret", repo="me/small"):
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        if token is not None:
            monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(SystemExit) as stopped:
            cli.main(["push", str(folder), repo])
        assert stopped.value.code == 2
        return capsys.readouterr().err

    close_session()  # a session that was created offline would stay offline
    yield push
    close_session()


def test_who_is_not_logged_in_is_told_how(student, hub, refused):
    hub.status = 401
    said = refused(student, hub.address, token=None)
    assert [line for line in said.splitlines() if "hf auth login" in line] == said.splitlines()[-1:]
    hub.status = 403
    said = refused(student, hub.address)
    assert "the hub refuses me/small (403): hf auth login, with a token that may write" in said


def test_what_cannot_be_pushed_is_one_line(student, tmp_path, refused):
    nowhere = "http://127.0.0.1:9"
    assert f"the hub cannot be reached at {nowhere}" in refused(student, nowhere)
    assert "'a/b/c d' is no id on the hub, such as me/my-model" in refused(student, nowhere, repo="a/b/c d")
    damaged = tmp_path / "damaged"
    save_classifier(load_classifier(student), damaged)
    (damaged / "config.json").write_text("{}")
    said = refused(damaged, nowhere)
    assert "has no model card: stark card" in said
    assert "is damaged" in said


@pytest.mark.parametrize("name", ["model.safetensors", "README.md", "tokenizer.json"])
def test_links_are_not_followed(name, student, hub, tmp_path, refused):
    folder = tmp_path / "folder"
    shutil.copytree(student, folder)
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    assert f"{folder / name} is a link, which is not followed" in refused(folder, hub.address)
    (tmp_path / "link").symlink_to(student)
    assert f"{tmp_path / 'link'} is a link, which is not followed" in refused(tmp_path / "link", hub.address)
    assert hub.asked == []


def test_an_export_that_is_not_what_was_written_stays(hub, tmp_path, refused):
    folder = tmp_path / "student-onnx"
    folder.mkdir()
    for name in ("config.json", "export.json", "model.onnx", "model.onnx.data"):
        (folder / name).write_text(name)
    write_checksums(folder)
    (folder / "model.onnx.data").write_text("model.onnx.dat_")
    assert "model.onnx.data is damaged" in refused(folder, hub.address)
    (folder / "model.onnx.data").write_text("model.onnx.data")
    (folder / "tokenizer.json").write_text("{}")
    assert "does not list tokenizer.json" in refused(folder, hub.address)
    assert hub.asked == []


def test_every_form_of_a_model_is_complete(tmp_path):
    names = ["LICENSE", "README.md", "SHA256SUMS", "check.json", "config.json", "export.json", "merges.txt"]
    names += ["model-00001-of-00002.safetensors", "model.onnx", "model.onnx.data", "model.pt2"]
    names += ["model.safetensors.index.json", "openvino_model.bin", "openvino_model.xml", "special_tokens_map.json"]
    names += ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    for name in names:
        (tmp_path / name).touch()
    assert files_of(tmp_path) == (names, [])
