import os
import re
import subprocess
import sys

import pytest

from tests.docs.pages import ROOT


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    reference = (tmp_path / "site/reference/stark.html").read_text()
    assert "<math" in reference
    assert "arithmatex" not in reference
    # The pages include the packaged configs.
    page = re.sub(r"<[^>]+>", "", (tmp_path / "site/stages/prune.html").read_text())
    assert (ROOT / "configs/prune.yaml").read_text().splitlines()[1] in page


@pytest.mark.parametrize("page", sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("*.md")))
def test_links_of_the_front_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text()):
        assert target.startswith(("https://", "mailto:")) or (ROOT / target).exists(), target
