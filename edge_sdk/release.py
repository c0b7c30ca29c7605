"""
Which release this is; owns the number and nothing else. The build reads it here.
"""

__version__ = "0.1.0"
