"""The console script `stark`, under a name that users hardly give to their own files.

A folder on ``PYTHONPATH`` may contain a ``cli.py``. The console script would execute that one instead of ours, so this
file imports ``cli`` from its own folder.
"""

import os
import sys

__all__ = ["main"]

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from cli import main

del sys.path[0]
