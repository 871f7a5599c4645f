"""Foreign programs of `torch.export`: code in the file that torch would run is not run."""

import contextlib
import io
import json
import warnings
import zipfile

import pytest
import torch

from pipeline.deploy.export.dense import family_config
from pipeline.deploy.export.opening import TORCH_FILE, open_graph
from pipeline.deploy.export.torch_program import load_program, plain_archive
from stark.encoders.cutting import shrink_
from tests.payload import Payload
from tests.tiny import random_masks, tiny_classifier

GRAPH = "model/models/model.json"
CONSTANTS = "model/data/constants/model_constants_config.json"
WEIGHTS = "model/data/weights/model_weights_config.json"
BATCH = {
    "input_ids": torch.tensor([[2, 7, 9, 3], [2, 8, 3, 0]]),
    "token_type_ids": torch.zeros(2, 4, dtype=torch.long),
    "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
}


@pytest.fixture(scope="module")
def model():
    model = tiny_classifier()
    shrink_(model, random_masks(model, empty_heads=0))
    return model


@pytest.fixture(scope="module")
def torchs_own(model, tmp_path_factory):
    """The file as torch and earlier versions of this project write it, with guards and pickled sample inputs."""
    shapes = {name: dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC) for name in BATCH}
    program = torch.export.export(model, (), dict(BATCH), dynamic_shapes=shapes)
    path = tmp_path_factory.mktemp("torch") / TORCH_FILE
    torch.export.save(program, path)
    return path


@pytest.fixture(scope="module")
def folder(model, torchs_own, tmp_path_factory):
    """The folder as `stark export` writes it."""
    folder = tmp_path_factory.mktemp("program") / "exported"
    family_config(model.config).save_pretrained(folder)
    (folder / TORCH_FILE).write_bytes(plain_archive(torchs_own))
    return folder


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def write(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def pickled(mark):
    buffer = io.BytesIO()
    torch.save(Payload(mark), buffer)
    return buffer.getvalue()


def changed(members, name, change):
    values = json.loads(members[name])
    change(values)
    members[name] = json.dumps(values).encode()


def first_tensor(members, config, mark, **values):
    """Change the description of the first tensor, and replace its content by a pickle."""

    def change(stored):
        described = next(iter(stored["config"].values()))
        described.update(values)
        members[config.rpartition("/")[0] + "/" + described["path_name"]] = pickled(mark)

    changed(members, config, change)


def graph_of(values):
    return values["graph_module"]["graph"]


def call(mark):
    return f"open({str(mark)!r}, 'w')"


ATTACKS = {
    "sample inputs": lambda members, mark: members.update({"model/data/sample_inputs/model.pt": pickled(mark)}),
    "weights": lambda members, mark: first_tensor(members, WEIGHTS, mark, use_pickle=True),
    "constants": lambda members, mark: first_tensor(members, CONSTANTS, mark, use_pickle=True),
    "opaque object": lambda members, mark: first_tensor(members, CONSTANTS, mark, path_name="opaque_obj_0"),
    "custom object": lambda members, mark: first_tensor(members, CONSTANTS, mark, path_name="custom_obj_0"),
    "unlisted custom object": lambda members, mark: members.update({"model/data/constants/custom_obj_0": b"x"}),
    "weights of old": lambda members, mark: members.update({"model/data/weights/model.pt": pickled(mark)}),
    "constants of old": lambda members, mark: members.update({"model/data/constants/model.pt": pickled(mark)}),
    "shared library": lambda members, mark: members.update({"model/data/aotinductor/model/model.so": b"\x7fELF"}),
    "two roots": lambda members, mark: members.update({"other/data/sample_inputs/model.pt": pickled(mark)}),
    "guard": lambda members, mark: changed(
        members, GRAPH, lambda values: values.update(guards_code=[f"{call(mark)} is not None"])
    ),
    "size": lambda members, mark: changed(
        members,
        GRAPH,
        lambda values: next(iter(graph_of(values)["sym_int_values"].values()))["as_expr"].update(expr_str=call(mark)),
    ),
    "name": lambda members, mark: members.update(
        {GRAPH: members[GRAPH].replace(b'"input_ids"', json.dumps(f"input_ids={call(mark)}").encode())}
    ),
    "dotted name": lambda members, mark: members.update(
        {GRAPH: members[GRAPH].replace(b'"name": "linear"', b'"name": "torch.manual_seed"')}
    ),
    "operation": lambda members, mark: changed(
        members,
        GRAPH,
        lambda values: graph_of(values)["nodes"][0].update(
            target="torch.os.system", inputs=[{"name": "", "arg": {"as_string": f"touch {mark}"}, "kind": 1}]
        ),
    ),
    "operation that reads files": lambda members, mark: changed(
        members, GRAPH, lambda values: graph_of(values)["nodes"][0].update(target="torch.ops.aten.from_file.default")
    ),
    "graph as an argument": lambda members, mark: changed(
        members,
        GRAPH,
        lambda values: graph_of(values)["nodes"][0]["inputs"].append({"name": "", "arg": {"as_graph": {}}, "kind": 1}),
    ),
    "type": lambda members, mark: members.update(
        {GRAPH: members[GRAPH].replace(b"builtins.dict", b"collections.defaultdict")}
    ),
    "layout of old": lambda members, mark: (
        members.clear(),
        members.update({"version": b"8.20", "serialized_exported_program.json": b"{}"}),
        members.update({f"serialized_{part}.pt": pickled(mark) for part in ("state_dict", "constants")}),
    ),
    "sizes without content": lambda members, mark: (
        changed(
            members,
            WEIGHTS,
            lambda stored: next(iter(stored["config"].values()))["tensor_meta"].update(sizes=[{"as_int": 10**15}]),
        ),
        members.update({"model/data/weights/weight_0": b""}),
    ),
    "a weight missing": lambda members, mark: members.pop("model/data/weights/weight_0"),
    "no JSON": lambda members, mark: members.update({GRAPH: b"{"}),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_in_it_runs(attack, folder, tmp_path):
    members, mark = members_of(folder / TORCH_FILE), tmp_path / "ran"
    before = dict(members)
    ATTACKS[attack](members, mark)
    assert members != before
    write(tmp_path / TORCH_FILE, members)
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(ValueError, match=r"^cannot load .*model\.pt2: .") as error:
        open_graph(tmp_path)
    assert "\n" not in str(error.value)
    assert not mark.exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("attack", ["sample inputs", "constants", "guard", "size"])
def test_torch_would_run_it(attack, torchs_own, tmp_path):
    """The attacks above work if torch loads the file."""
    members, mark = members_of(torchs_own), tmp_path / "ran"
    ATTACKS[attack](members, mark)
    write(tmp_path / TORCH_FILE, members)
    with contextlib.suppress(Exception):
        torch.export.load(tmp_path / TORCH_FILE).module()(**BATCH)
    assert mark.exists()


def test_archives_that_could_unpack_to_any_size_are_refused(folder, tmp_path):
    members = members_of(folder / TORCH_FILE)
    write(tmp_path / TORCH_FILE, members, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"no archive of torch\.export"):
        load_program(tmp_path / TORCH_FILE)
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(tmp_path / TORCH_FILE, "w") as archive:
        for name in (*members, GRAPH):
            archive.writestr(name, members[name])
    with pytest.raises(ValueError, match="two parts of the same name"):
        load_program(tmp_path / TORCH_FILE)


def test_what_torch_writes_is_read_with_the_same_logits(model, torchs_own, tmp_path):
    assert json.loads(members_of(torchs_own)[GRAPH])["guards_code"]
    module, names = load_program(torchs_own)
    assert names == list(BATCH)
    with torch.no_grad():
        torch.testing.assert_close(module(**BATCH).logits, model(**BATCH).logits)
    # torch reads the file that is kept, and keeping it a second time does not change it.
    plain = tmp_path / TORCH_FILE
    plain.write_bytes(plain_archive(torchs_own))
    with torch.no_grad():
        torch.testing.assert_close(torch.export.load(plain).module()(**BATCH).logits, model(**BATCH).logits)
    assert plain_archive(plain) == plain.read_bytes()


def test_what_is_written_has_no_pickle_and_no_path(torchs_own, folder):
    members = members_of(folder / TORCH_FILE)
    assert members["model/data/sample_inputs/model.pt"] == b""
    assert b"File " in members_of(torchs_own)[GRAPH]
    for content in members.values():
        assert not content.startswith(b"PK")
        assert b"File " not in content
