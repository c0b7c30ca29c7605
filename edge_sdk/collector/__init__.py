"""
The receiving side: intake, opener and authority, and a small API for the command line.
"""
