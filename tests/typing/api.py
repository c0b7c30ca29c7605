"""
What a type checker says about the public names. Checked by mypy, never run.
"""

from __future__ import annotations

from typing import assert_type

import edge_sdk

assert_type(edge_sdk.__version__, str)
