"""The name that configurations and checkpoints have for the data module."""

from datamodules import GLUEDataModule, TextDataModule


def test_it_is_the_data_module_of_texts_under_its_own_name():
    assert issubclass(GLUEDataModule, TextDataModule)
    assert {name for name in vars(GLUEDataModule) if not name.startswith("__")} <= {"_abc_impl"}
    # Lightning files its state in checkpoints by this name.
    assert GLUEDataModule.__qualname__ == "GLUEDataModule"
