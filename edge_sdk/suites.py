"""
Which suite and cipher a site seals with: what its configuration asks for, held against this build and this processor.

Owns: the names of the suites in ``site.toml``. Rules: nothing weaker is ever taken instead of what was asked for.
Does not: seal (core.seal), or negotiate: the other side is not asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.config import Config
from edge_sdk.core import claims
from edge_sdk.core.seal import x_wing_available
from edge_sdk.errors import ConfigError

SUITES: Final = {"hpke-9-ke": claims.ALG_HPKE_X_WING, "hpke-4-ke": claims.ALG_HPKE_X25519}


def suite_of(config: Config) -> int:
    """
    Return the HPKE algorithm a site seals with.

    Raises:
        ConfigError: when this build of ``cryptography`` does not have it; nothing weaker is taken instead.
    """
    if config.suite == "hpke-9-ke" and not x_wing_available():
        raise ConfigError(
            "[batch] suite: hpke-9-ke needs a build of cryptography with ML-KEM",
            hint='install the wheel of cryptography, or write suite = "hpke-4-ke"',
        )
    return SUITES[config.suite]


def content_alg_of(config: Config) -> int:
    """
    Return the content cipher: AES-GCM where the processor has instructions for it, ChaCha20-Poly1305 elsewhere.
    """
    if config.cipher != "auto":
        return claims.ALG_A256GCM if config.cipher == "a256gcm" else claims.ALG_CHACHA20_POLY1305
    fast = b" aes" in files.read_system(Path("/proc/cpuinfo"))
    return claims.ALG_A256GCM if fast else claims.ALG_CHACHA20_POLY1305
