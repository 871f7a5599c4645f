"""`import stark`: the library without Lightning."""

import subprocess
import sys

import pytest

import stark
from tests.tiny import random_masks, tiny_classifier

# Orders in which stark and transformers' Auto classes may be imported.
ORDERS = (
    "import stark; from transformers import AutoModelForSequenceClassification as Auto",
    "from transformers import AutoModelForSequenceClassification as Auto; import stark",
    "import stark; from transformers import pipeline, AutoModelForSequenceClassification as Auto",
    # A command, which registers the families when it reads a folder.
    "import cli; from transformers import AutoModelForSequenceClassification as Auto; import stark.model_folders",
    "import lightning_modules; from transformers import AutoModelForSequenceClassification as Auto",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("shrunk") / "model"
    stark.shrink_(tiny_classifier(), random_masks(tiny_classifier())).save_pretrained(place)
    return place


def test_every_name_is_offered():
    assert {name for name in dir(stark) if name in stark.__all__} == set(stark.__all__)
    for name in stark.__all__:
        assert getattr(stark, name).__module__.startswith("stark.")
    with pytest.raises(AttributeError, match="nothing"):
        stark.nothing  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS)
def test_transformers_loads_shrunk_models(order, folder):
    code = f"{order}\nprint(type(Auto.from_pretrained({str(folder)!r})).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "StarkBertForSequenceClassification\n"


def test_lightning_is_not_imported():
    code = "import stark, sys; print(sorted({'pytorch_lightning', 'datasets', 'jsonargparse'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
