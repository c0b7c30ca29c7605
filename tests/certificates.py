"""
An authority that a device trusts, and what goes wrong with certificates.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Certified:
    """
    A key with its certificate in one file, and the pin of the key.
    """

    chain: Path
    pin: str


class Office:
    """
    An authority in *folder*; ``trust`` is the file that a device has of it.
    """

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.trust = folder / f"{name}.pem"
        certificate = self._signed(self._key, name, days=(-60, 60), extensions=(x509.BasicConstraints(True, None),))
        self.trust.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def certify(
        self, name: str, *, host: str = "127.0.0.1", days: tuple[int, int] = (-30, 30), serves: bool = True
    ) -> Certified:
        """
        Make a certificate for *host*, valid on these days from today.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        use = ExtendedKeyUsageOID.SERVER_AUTH if serves else ExtendedKeyUsageOID.CLIENT_AUTH
        extensions = (
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]),
            x509.ExtendedKeyUsage([use]),
        )
        certificate = self._signed(key, name, days=days, extensions=extensions)
        chain = self._folder / f"{self._name}-{name}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
        spki = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return Certified(chain, base64.b64encode(hashlib.sha256(spki).digest()).decode())

    def _signed(
        self,
        key: ec.EllipticCurvePrivateKey,
        name: str,
        *,
        days: tuple[int, int],
        extensions: tuple[x509.ExtensionType, ...],
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(self._name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + days[0] * DAY)
            .not_valid_after(now + days[1] * DAY)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self._key, hashes.SHA256())


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
