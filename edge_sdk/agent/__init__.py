"""
The daemon: firmware's points in by a socket, one or many sites behind it, each a household of its own.

    settings   agent.toml
    place      the socket and its folder, and who connected
    daemon     the loop: connections, signals, watchdog
    peer       one connection: reading in turn with others, never waiting for it
    hosted     one site: what is granted, its peers, the firmware's part in a wipe
    checking   a policy whose text is new, in a process of its own
    accounts   how many points each shim sent, and how many the disk has

Runs the same line as :class:`edge_sdk.Gateway`. Nothing a peer sends is trusted further than the policy lets a reading
go: who it is comes from the kernel, which site it feeds from its own word and the agent's file.
"""

from __future__ import annotations

from edge_sdk.agent.daemon import serve
from edge_sdk.agent.settings import Settings

__all__ = ["Settings", "serve"]
