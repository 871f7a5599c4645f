import shutil

import psutil
import pytest

from stark.storage.space import free_disk, free_memory, gigabytes


def test_a_folder_that_will_be_made_is_on_the_disk_of_its_parents(tmp_path):
    assert free_disk(tmp_path / "new" / "folder") == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)


def test_memory_is_psutils_or_half_of_it(tmp_path):
    assert free_memory() == pytest.approx(psutil.virtual_memory().available, rel=0.3)
    assert free_memory(tmp_path / "none") == pytest.approx(psutil.virtual_memory().total / 2, rel=0.01)


def test_sizes_have_two_digits():
    assert [gigabytes(size) for size in (5e6, 1.26e9, 9.99e9, 1.234e11)] == ["0.005 GB", "1.3 GB", "10 GB", "123 GB"]
