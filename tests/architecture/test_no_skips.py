"""
`make test-all` promises that nothing was skipped; here the promise is tried.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"


def run_pytest(folder: Path, source: str, *, refuse: bool) -> int:
    shutil.copy(CONFTEST, folder / "conftest.py")
    (folder / "test_planted.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\n")
    environ = {**os.environ, "EDGE_TEST_ALL": "1" if refuse else ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    return subprocess.run(command, env=environ, cwd=folder, capture_output=True, check=False).returncode


PLANTED = {
    "a skip": "import pytest\n\n\ndef test_a() -> None:\n    pytest.skip('no compiler')\n",
    "a marked skip": "import pytest\n\n\n@pytest.mark.skip(reason='x')\ndef test_a() -> None: ...\n",
    "a module that is skipped": "import pytest\n\npytest.importorskip('no_such_module_anywhere')\n",
    "an expected failure": "import pytest\n\n\n@pytest.mark.xfail\ndef test_a() -> None:\n    assert False\n",
}


@pytest.mark.parametrize("source", PLANTED.values(), ids=PLANTED.keys())
def test_a_skip_is_a_failure_where_all_is_asked_for(tmp_path: Path, source: str) -> None:
    assert run_pytest(tmp_path, source, refuse=True) in {1, 2}


def test_a_skip_is_allowed_elsewhere(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, PLANTED["a skip"], refuse=False) == 0


def test_a_passing_test_passes_where_all_is_asked_for(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, "def test_a() -> None: ...\n", refuse=True) == 0
