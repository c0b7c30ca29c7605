"""
Minimise, encrypt and batch gateway telemetry; honour consent; wipe on cancellation.
"""
