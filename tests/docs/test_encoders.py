"""The table of encoders has every family, and says what each lacks."""

import re

from stark.encoders.families.table import FAMILIES
from tests.docs.pages import DOCS

ROW = re.compile(r"^\| .* \| `([\w-]+)` \| (yes|no) \| (yes|no) \| (yes|no) \| (yes|no) \|$", re.MULTILINE)
WORDS = {True: "yes", False: "no"}


def test_the_table_is_that_of_the_code():
    found = ROW.findall((DOCS / "encoders.md").read_text(encoding="utf-8"))
    has = {
        name: (
            family.lean_last_layer,
            family.scores_from_projections,
            not family.first_layer_differs,
            not family.shares_layers,
        )
        for name, family in FAMILIES.items()
    }
    assert found == [(name, *(WORDS[one] for one in columns)) for name, columns in has.items()]
