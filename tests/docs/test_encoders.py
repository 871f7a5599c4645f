"""The table of encoders has every family, and says what each lacks."""

import re

from stark.encoders.families.table import FAMILIES
from tests.docs.pages import DOCS

ROW = re.compile(r"^\| .* \| `([\w-]+)` \| (yes|no) \| (yes|no) \|$", re.MULTILINE)
WORDS = {True: "yes", False: "no"}


def test_the_table_is_that_of_the_code():
    found = ROW.findall((DOCS / "encoders.md").read_text(encoding="utf-8"))
    assert found == [
        (name, WORDS[family.lean_last_layer], WORDS[family.scores_from_projections])
        for name, family in FAMILIES.items()
    ]
