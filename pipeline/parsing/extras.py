"""Checks for the optional dependencies of a command, before anything is written."""

from __future__ import annotations

from importlib.util import find_spec

from stark.errors import StarkError

__all__ = ["need_extra", "needs_extra"]


def needs_extra(what: str, extra: str, missing: str) -> str:
    """Return a message that an extra is missing, with the command that installs it.

    Args:
        what: Option that needs the extra, such as ``--format onnx``.
        extra: Name of the extra in setup.cfg.
        missing: Names of the missing packages.

    Returns:
        The message, one line.
    """
    install = f"pip install '.[{extra}]' in the folder of the source, or see README.md, Installing"
    return f"{what} needs the extra [{extra}] ({missing}): {install}"


def need_extra(extra: str, what: str, *modules: str) -> None:
    """Check that the packages of an extra are installed.

    Args:
        extra: Name of the extra in setup.cfg.
        what: Option that needs the packages, such as ``--format onnx``.
        modules: Names of the packages' modules.

    Raises:
        StarkError: If one of them is missing.

    Examples:
        >>> need_extra("onnx", "--format onnx", "no_such_module")
        Traceback (most recent call last):
        stark.errors.StarkError: --format onnx needs the extra [onnx] (no_such_module): pip install '.[onnx]' in the ...
    """
    if missing := [name for name in modules if find_spec(name) is None]:
        raise StarkError(needs_extra(what, extra, ", ".join(missing)))
