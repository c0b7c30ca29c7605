"""
`make test-all` promises that nothing was skipped; here the promise is tried.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"


PLANTED = {
    "skip": "import pytest\n\n\ndef test_a() -> None:\n    pytest.skip('no compiler')\n",
    "mark": "import pytest\n\n\n@pytest.mark.skip(reason='x')\ndef test_a() -> None: ...\n",
    "module": "import pytest\n\npytest.importorskip('no_such_module_anywhere')\n",
    "expected": "import pytest\n\n\n@pytest.mark.xfail\ndef test_a() -> None:\n    assert False\n",
    "passing": "def test_a() -> None: ...\n",
}


def last_line(folder: Path, *, refuse: bool) -> str:
    """Run all that is planted and return pytest's closing line."""
    shutil.copy(CONFTEST, folder / "conftest.py")
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name, source in PLANTED.items():
        (folder / f"test_{name}.py").write_text(source)
    top = str(CONFTEST.parents[1])  # it asks for what other tests have, too
    environ = {**os.environ, "EDGE_TEST_ALL": "1" if refuse else "", "PYTHONPATH": top}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--continue-on-collection-errors",
    ]
    done = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[-1]


def test_every_skip_is_a_failure_where_all_is_asked_for(tmp_path: Path) -> None:
    assert last_line(tmp_path, refuse=True).startswith("2 failed, 1 passed, 2 errors")


def test_a_skip_is_allowed_elsewhere(tmp_path: Path) -> None:
    assert last_line(tmp_path, refuse=False).startswith("1 passed, 3 skipped, 1 xfailed")
