"""
Pure rooms: values and bytes in, values and bytes out; no clock, chance, file, network, log or await.

Time, random bytes and key material arrive as arguments. Imports point down (see tests/architecture).
"""
