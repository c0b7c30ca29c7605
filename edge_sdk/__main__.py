"""
``python -m edge_sdk`` is ``edge-sdk``.
"""

import sys

from edge_sdk.cli import main

sys.exit(main())
