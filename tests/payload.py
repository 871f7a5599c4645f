"""The payload of a malicious pickle, for tests that it is never run."""

from pathlib import Path


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self):
        return open, (self.mark, "w")
