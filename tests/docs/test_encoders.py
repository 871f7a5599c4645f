"""The table of encoders has every family."""

import re

from stark.encoders.families.table import FAMILIES
from tests.docs.pages import DOCS

_, *ROWS = re.findall(r"^\| .* \| `([\w-]+)` \|", (DOCS / "encoders.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_family_is_in_the_table():
    assert list(FAMILIES) == ROWS
