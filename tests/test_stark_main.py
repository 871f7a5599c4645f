import os
import subprocess
import sys
from pathlib import Path

import cli
import stark_main

ROOT = Path(__file__).parent.parent


def test_it_is_the_command():
    assert stark_main.main is cli.main


def test_a_file_of_the_same_name_on_the_path_is_not_executed(tmp_path):
    (tmp_path / "cli.py").write_text("open('mark', 'w')\n")
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import sys; from stark_main import main; print(sys.path[0]); main()", "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{tmp_path}\nusage: stark COMMAND")
    assert not (tmp_path / "mark").exists()
