"""The console script `stark`, under a name that no file of a user has.

A folder on ``PYTHONPATH`` may have a ``cli.py``, which the script would execute instead of the one beside this file.
"""

import os
import sys

__all__ = ["main"]

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from cli import main

del sys.path[0]
