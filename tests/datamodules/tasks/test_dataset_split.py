"""Names of data sets' splits."""

import pytest

from datamodules.tasks.dataset_split import DatasetSplit, is_hub_id


@pytest.mark.parametrize("name", ["/tmp/rows", "../rows", "a//b", "", "-x", "a/b ", "a\nb"])
def test_paths_are_no_ids(name):
    assert not is_hub_id(name)


def test_a_path_for_messages():
    assert str(DatasetSplit("/data/subj", "small", "dev").path) == "/data/subj/dev"
