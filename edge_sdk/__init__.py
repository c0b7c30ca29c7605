"""
Minimise, encrypt and batch gateway telemetry; honour consent; wipe on cancellation.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
