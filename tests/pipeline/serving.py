"""Serves a fake model, calls it and prints the results; a separate process, because Gradio leaves loops open."""

import asyncio
import gc
import http.client
import json
import sys
from pathlib import Path

import torch

from pipeline.deploy import serve
from pipeline.deploy.classifier import Classified
from stark.problems.table import problem_for


class Fake:
    """A classifier that returns at once."""

    tokenizer, max_length, segment_ids = None, 128, "tokenizer"
    label_names, device = ["</script><img src=x onerror=alert(1)>", "b"], "cpu"
    problem = problem_for(label_names)

    def tokenize(self, *_):
        return None

    def classify(self, _):
        return Classified(torch.tensor([1]), torch.tensor([[0.25, 0.75]]))


def sent(address, path, body=None, **headers):
    """Status and content of any response; redirections are not followed."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    connection.request("GET" if body is None else "POST", path, body, headers)
    response = connection.getresponse()
    content = response.read().decode()
    connection.close()
    return response.status, content


def main(folder, port):
    serve._REMEMBERED = 5
    (folder / "config.json").write_text('{"model_type": "bert"}')
    found = {}
    listening = serve.listen("127.0.0.1", port)
    page = serve.page_of([serve.Side("model", folder, Fake())])
    with serve.served(page, listening, "secret"):
        address = f"http://127.0.0.1:{port}"
        known = {"Authorization": "Bearer secret"}
        call, kind = "/gradio_api/call/classify", {"Content-Type": "application/json"}
        body = json.dumps({"data": ["good", ""]})
        found["without"] = [sent(address, path)[0] for path in ("/", "/config", "/?token=secret")]
        found["without"].append(sent(address, call, body, **kind)[0])
        found["page"] = sent(address, "/", **known)[1]
        for _ in range(15):
            event = json.loads(sent(address, call, body, **kind, **known)[1])["event_id"]
            found["answer"] = sent(address, f"{call}/{event}", **known)[1]
        gc.collect()
        things = gc.get_objects()
        found["queues"] = sum(type(thing) is asyncio.Queue for thing in things)
        found["sessions"] = sum(type(thing).__name__ == "SessionState" for thing in things)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
