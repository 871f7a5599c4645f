"""Reads programs of `torch.export` (``model.pt2``) so that no code in the file can run.

`torch.export.load` trusts its file: it unpickles sample inputs, weights and constants, evaluates the expressions of
sizes, compiles guards and names as Python, and loads shared libraries. It therefore never reads a foreign file
directly. Instead it reads an archive that this module builds from those parts that are pure data: the raw weights, and
the graph, whose names, expressions and operations are checked against allow lists.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stark.errors import StarkError

__all__ = ["load_program", "plain_archive"]

_GRAPH = "models/model.json"
_SAMPLE_INPUTS = "data/sample_inputs/model.pt"
_PAYLOADS = {"weights": "weight", "constants": "tensor"}
_MARKS = ("archive_format", "archive_version", "byteorder", ".data/version", ".data/serialization_id")
_EXTRA = "extra/"

# Names of tensors and inputs, which torch turns into Python identifiers, and names of parameters in their modules.
_NAME = re.compile(r"(?:(?!__)[A-Za-z_]\w*)?", re.ASCII)
_PARAMETER = re.compile(r"(?!__)[A-Za-z_]\w*(?:\.(?!__)\w+)*", re.ASCII)
_SYMBOL = r"Symbol\('[a-z]\d+'(?:, [a-z]+=True)*\)"
# Sizes as sums and products of symbols and integers; a size is squared at most.
_EXPRESSION = re.compile(
    rf"(?:{_SYMBOL}|Pow\({_SYMBOL}, Integer\(2\)\)|Integer\(-?\d{{1,18}}\)|(?:Add|Mul)\(|, |\))+", re.ASCII
)
# Guards compare sizes of inputs.
_GUARD = re.compile(r"(?:L\['\w+'\]\.size\(\)\[\d\]|\d+|and|or|not|[ ()*+%<>=!-])*", re.ASCII)
# Allowed kinds of arguments of operations. Graphs, operations and objects are not allowed.
_ARGUMENTS = {
    *("as_tensor", "as_tensors", "as_none", "as_bool", "as_int", "as_ints", "as_float", "as_string", "as_name"),
    *("as_sym_int", "as_sym_ints", "as_expr", "as_scalar_type", "as_device", "as_layout"),
}
# Operations of the encoders, their activation functions and our 8-bit weights. None of them reads a file or skips the
# check of an index. MPNet adds in place: add_ writes, but only into a tensor of the program. detach_ writes nothing.
_OPERATIONS = {
    f"torch.ops.aten.{name}"
    for name in (
        *("__and__.Tensor", "_assert_tensor_metadata.default", "abs.default", "add.Tensor", "add_.Tensor"),
        *("alias.default", "arange.default", "bitwise_not.default", "bmm.default", "cat.default", "ceil.default"),
        *("chunk.default", "clamp.default", "clip.default", "contiguous.default", "cos.default", "cumsum.default"),
        *("detach_.default", "div.Tensor", "dropout.default", "embedding.default", "erf.default", "expand.default"),
        *("flatten.using_ints", "full_like.default", "gather.default", "ge.Scalar", "gelu.default", "gt.Scalar"),
        *("hardswish.default", "hardtanh.default", "index.Tensor", "layer_norm.default", "le.Scalar"),
        *("leaky_relu.default", "lift_fresh_copy.default", "linear.default", "log.default", "lt.Scalar"),
        *("masked_fill.Scalar", "matmul.default", "min.other", "mish.default", "mul.Tensor", "ne.Scalar"),
        *("neg.default", "new_ones.default", "permute.default", "pow.Tensor_Scalar", "relu.default"),
        *("repeat.default", "reshape.default", "scaled_dot_product_attention.default", "select.int"),
        *("sigmoid.default", "sign.default", "silu.default", "sin.default", "slice.Tensor", "softmax.int"),
        *("softplus.default", "sqrt.default", "square.default", "squeeze.dim", "stack.default", "sub.Tensor"),
        *("sum.dim_IntList", "sym_size.int", "tanh.default", "to.device", "to.dtype", "to.dtype_layout"),
        *("transpose.int", "type_as.default", "unbind.int", "unflatten.int", "unsqueeze.default", "view.default"),
        *("where.ScalarOther", "where.self", "zeros.default", "zeros_like.default"),
    )
}
_PATTERNS = {
    "expr_str": _EXPRESSION,
    **dict.fromkeys(("parameter_name", "buffer_name", "tensor_constant_name"), _PARAMETER),
}
_TYPES = {None, "builtins.tuple", "builtins.dict", "transformers.modeling_outputs.SequenceClassifierOutput"}


def load_program(path: Path) -> tuple[nn.Module, list[str]]:
    """Load a program from an untrusted file.

    Args:
        path: The file, such as ``model.pt2``.

    Returns:
        The program, and the names of its inputs in their order. The program takes the inputs as keyword arguments and
        returns transformers' ``SequenceClassifierOutput``.

    Raises:
        StarkError: If the file holds anything but a graph of known operations and its weights.
    """
    # This import registers the type of the output with torch.export.
    import transformers.modeling_outputs  # noqa: F401

    content, names = _plain(path)
    try:
        return torch.export.load(io.BytesIO(content)).module(), names
    except RuntimeError as error:  # the reason is not in the error: torch only logs it
        raise StarkError("torch.export cannot load its graph with its weights") from error


def plain_archive(path: Path) -> bytes:
    """Copy a program's file without the parts that are not needed: sample inputs, guards, and traced source lines.

    Args:
        path: The file.

    Returns:
        Content of the copy, which `torch.export.load` can read as well.

    Raises:
        StarkError: As `load_program`.
    """
    return _plain(path)[0]


def _plain(path: Path) -> tuple[bytes, list[str]]:
    members = _members(path)
    if samples := members.pop(_SAMPLE_INPUTS, b""):
        try:
            torch.load(io.BytesIO(samples), weights_only=True)
        except pickle.UnpicklingError as error:
            raise StarkError("its sample inputs hold more than tensors") from error
    graph, names = _plain_graph(members)
    kept = {_GRAPH: graph, _SAMPLE_INPUTS: b"", **{mark: members[mark] for mark in _MARKS if mark in members}}
    for kind, prefix in _PAYLOADS.items():
        kept.update(_payload(members, kind, prefix))
    if unknown := [name for name in members if name not in kept and not name.startswith(_EXTRA)]:
        raise StarkError(f"it has a part that stark export does not write: {unknown[0]!r}")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        for name, content in kept.items():
            written.writestr(zipfile.ZipInfo(f"model/{name}"), content)
    return archive.getvalue(), names


def _members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        # Compressed or overlapping members could unpack to any size.
        if (
            not infos
            or any(info.compress_type != zipfile.ZIP_STORED for info in infos)
            or sum(info.file_size for info in infos) > path.stat().st_size
        ):
            raise StarkError("it is no archive of torch.export")
        root = infos[0].filename.partition("/")[0]
        members = {info.filename.removeprefix(f"{root}/"): archive.read(info) for info in infos}
        if len(members) != len(infos):
            raise StarkError("it has two parts of the same name")
    return members


def _part(members: Mapping[str, bytes], name: str) -> bytes:
    if name not in members:
        raise StarkError(f"it lacks {name}")
    return members[name]


def _plain_graph(members: Mapping[str, bytes]) -> tuple[bytes, list[str]]:
    stored = json.loads(_part(members, _GRAPH))
    module = stored["graph_module"]
    call = module["module_call_graph"][0]["signature"]
    graph = {
        "graph_module": {
            "graph": {**module["graph"], "nodes": [{**node, "metadata": {}} for node in module["graph"]["nodes"]]},
            "signature": module["signature"],
            "module_call_graph": [{"fqn": "", "signature": call}],
            "metadata": {},
            "treespec_namedtuple_fields": {},
        },
        "opset_version": stored["opset_version"],
        "range_constraints": stored["range_constraints"],
        "schema_version": stored["schema_version"],
        "verifiers": ["TRAINING"],
        "guards_code": [],
    }
    _check(graph)
    if foreign := [guard for guard in stored["guards_code"] if not _GUARD.fullmatch(guard)]:
        raise StarkError(f"it has a guard that stark export does not write: {foreign[0][:100]!r}")
    return json.dumps({**graph, "torch_version": torch.__version__}).encode(), list(call["forward_arg_names"])


def _payload(members: Mapping[str, bytes], kind: str, prefix: str) -> dict[str, bytes]:
    """Parts with raw tensors, and the part that describes them."""
    name = f"data/{kind}/model_{kind}_config.json"
    config = json.loads(_part(members, name))["config"]
    found = {name: json.dumps({"config": config}).encode()}
    for tensor, described in config.items():
        _check(tensor, "parameter_name")
        _check(described)
        file = str(described["path_name"])
        if described["use_pickle"] is not False or not re.fullmatch(rf"{prefix}_\d+", file):
            raise StarkError(f"{tensor} is no plain tensor: it would be unpickled")
        content = found[f"data/{kind}/{file}"] = _part(members, f"data/{kind}/{file}")
        # From an empty part torch would silently make a tensor of zeros.
        if not content and math.prod(size["as_int"] for size in described["tensor_meta"]["sizes"]):
            raise StarkError(f"{tensor} has no content")
    return found


def _check(value: object, key: str = "") -> None:
    """Refuse strings that torch could evaluate or compile, by allow lists."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check(name)
            if name.startswith("as_") and name not in _ARGUMENTS:
                raise StarkError(f"its graph has an argument that stark export does not write: {name!r}")
            _check(inner, name)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, key)
    elif isinstance(value, str):
        if key in ("in_spec", "out_spec"):
            _check_spec(json.loads(value))
        elif key == "target":
            if value not in _OPERATIONS:
                raise StarkError(f"its graph has an operation that stark export does not write: {value[:100]!r}")
        elif not _PATTERNS.get(key, _NAME).fullmatch(value):
            raise StarkError(f"it has a name that stark export does not write: {value[:100]!r}")


def _check_spec(value: Any) -> None:  # noqa: ANN401 - JSON
    """Refuse structures of inputs and outputs other than tuples, dictionaries and a classifier's output."""
    for node in value[1:] if isinstance(value, list) else [value]:
        if node["type"] not in _TYPES:
            raise StarkError(f"it takes or returns {str(node['type'])[:100]!r}, which stark export does not write")
        if node["context"] is not None:
            _check(json.loads(node["context"]))
        for child in node["children_spec"]:
            _check_spec(child)
