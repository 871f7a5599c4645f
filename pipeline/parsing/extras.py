"""What optional dependencies a command needs, found out before anything is written."""

from __future__ import annotations

from importlib.util import find_spec

from stark.errors import StarkError

__all__ = ["need_extra", "needs_extra"]


def needs_extra(what: str, extra: str, missing: str) -> str:
    """Say that an extra is missing, and how to get it.

    Args:
        what: Needs it, such as ``--format onnx``.
        extra: Its name in setup.cfg.
        missing: The packages.

    Returns:
        A sentence.
    """
    install = f"pip install '.[{extra}]' in the folder of the source, or see README.md, Installing"
    return f"{what} needs the extra [{extra}] ({missing}): {install}"


def need_extra(extra: str, what: str, *modules: str) -> None:
    """Check that the packages of an extra are there.

    Args:
        extra: Its name in setup.cfg.
        what: Needs them, such as ``--format onnx``.
        modules: Names of the modules that the packages have.

    Raises:
        StarkError: If one of them is missing.

    Examples:
        >>> need_extra("onnx", "--format onnx", "no_such_module")
        Traceback (most recent call last):
        stark.errors.StarkError: --format onnx needs the extra [onnx] (no_such_module): pip install '.[onnx]' in the ...
    """
    if missing := [name for name in modules if find_spec(name) is None]:
        raise StarkError(needs_extra(what, extra, ", ".join(missing)))
