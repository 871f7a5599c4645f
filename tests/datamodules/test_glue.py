"""The data module's name in configurations and checkpoints."""

from datamodules import GLUEDataModule, TextDataModule


def test_it_is_the_data_module_of_texts_under_its_own_name():
    assert issubclass(GLUEDataModule, TextDataModule)
    assert {name for name in vars(GLUEDataModule) if not name.startswith("__")} <= {"_abc_impl"}
    # Lightning saves its state in checkpoints under this name.
    assert GLUEDataModule.__qualname__ == "GLUEDataModule"
