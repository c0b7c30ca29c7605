"""
Which release this is; owns the number and nothing else. The build reads it here.
"""

from typing import Final

__version__: Final = "0.1.0"
