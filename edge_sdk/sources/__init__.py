"""
Where readings come from when the firmware does not call :meth:`Gateway.record` itself.
"""
