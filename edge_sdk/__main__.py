"""
Run the command line as ``python -m edge_sdk``; owns nothing, the commands are in ``edge_sdk.cli``.
"""

import sys

from edge_sdk.cli import main

sys.exit(main())
