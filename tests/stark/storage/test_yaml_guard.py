"""Documents that would take too long to parse are refused during parsing."""

import pytest
import yaml

from stark.storage import TooMuchError, compose_yaml


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.BaseLoader])
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("&a [*a]", "leads back"),
        ("[" * 60 + "]" * 60, "50 levels deep"),
        ("[" * 20_000, "50 levels deep"),
        ("a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)), "100,000 values"),
    ],
)
def test_what_would_take_for_ever_is_refused(text, complaint, loader):
    with pytest.raises(TooMuchError, match=complaint):
        compose_yaml(text, loader)


def test_scalars_are_those_of_the_loader():
    tags = [compose_yaml("[no]", loader).value[0].tag for loader in (yaml.SafeLoader, yaml.BaseLoader)]
    assert tags == ["tag:yaml.org,2002:bool", "tag:yaml.org,2002:str"]
    assert compose_yaml("") is None
