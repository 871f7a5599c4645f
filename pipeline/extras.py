"""What optional dependencies a command needs, found out before anything is written."""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["need_extra"]


def need_extra(extra: str, what: str, *modules: str) -> None:
    """Check that the packages of an extra are there.

    Args:
        extra: Its name in setup.cfg.
        what: Needs them, such as ``--format onnx``.
        modules: Of the packages.

    Raises:
        ValueError: If one of them is missing.

    Examples:
        >>> need_extra("onnx", "--format onnx", "no_such_module")
        Traceback (most recent call last):
        ValueError: --format onnx needs the extra [onnx] (no_such_module): pip install 'stark-lightning[onnx]'
    """
    if missing := [name for name in modules if find_spec(name) is None]:
        raise ValueError(
            f"{what} needs the extra [{extra}] ({', '.join(missing)}): pip install 'stark-lightning[{extra}]'"
        )
