"""
Founds a collector: role keys, root, recipient keys, recipients document, three empty databases.

Rules: the root document is written last, so a folder without it is no collector and founding it again starts
over; a root made for trying out is marked as such and never changes into a real one; what is granted without
being asked for on a device is only what the operator names. Every seed is drawn by the caller's *draw*. Not
here: serving (``folder``), keeping keys outside the machine (move the files).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge_sdk import files
from edge_sdk.collector.certifying import RECIPIENT_KEY_VALID_S, RECIPIENTS_VALID_S
from edge_sdk.collector.folder import assemble_authority
from edge_sdk.collector.keyring import Places, write_enrolment, write_recipients, write_role
from edge_sdk.collector.offices import authority_keys
from edge_sdk.collector.statements import Draw, asks_for_transfer
from edge_sdk.collector.store import IntakeStore
from edge_sdk.core.claims import Mechanism, Role
from edge_sdk.core.cose import public_key_of
from edge_sdk.core.documents import HpkePublic, RecipientKey, Recipients, RoleKeys, Root, sign_root
from edge_sdk.core.keys import SECRET_BYTES, RecipientSeed, RoleSeed
from edge_sdk.core.policy import Basis, Policy, Purpose
from edge_sdk.core.seal import hpke_key_pair
from edge_sdk.core.terms import CROSS_BORDER
from edge_sdk.errors import ConfigError

_PUBLIC: Final = 0o644


@dataclass(frozen=True, slots=True)
class Founding:
    """
    What an operator decides when a collector is made.

    ``region`` and ``mechanism`` are certified for the key of every recipient that is not in ``elsewhere``; ``granted``
    are the purposes that rest on consent and are granted at enrolment because consent was obtained before; ``alg`` is
    the HPKE algorithm of all keys.
    """

    policies: Sequence[Policy]
    region: str
    mechanism: Mechanism
    granted: Collection[str]
    test: bool
    alg: int
    elsewhere: Mapping[str, tuple[str, Mechanism]] = field(default_factory=dict)

    def place_of(self, operator: str) -> tuple[str, Mechanism]:
        """
        Return region and mechanism to certify for a recipient's key.
        """
        return self.elsewhere.get(operator, (self.region, self.mechanism))

    @property
    def purposes(self) -> list[Purpose]:
        """
        Return the purposes of all policies.
        """
        return [purpose for policy in self.policies for purpose in policy.purposes.values()]


@dataclass(frozen=True, slots=True)
class Founded:
    """
    What was made: the file that devices pin, and the public recipient keys.
    """

    root_path: Path
    root: Root
    recipients: tuple[RecipientKey, ...]


def init_collector(folder: Path, founding: Founding, *, now_s: int, draw: Draw) -> Founded:
    """
    Make a collector in *folder*.

    Args:
        folder: new, or left over from a founding that was cut short.
        founding: what the operator decided.
        now_s: Unix seconds.
        draw: returns random bytes.

    Raises:
        ConfigError: the policies and the decisions do not fit together.
        StorageError: the folder holds a collector, or cannot be written.

    After a power cut: there is a collector, or a folder in which founding starts over.
    """
    _check(founding)
    places = Places(folder)
    places.make()
    roles = {role: RoleSeed(draw(SECRET_BYTES)) for role in Role}
    enrolment = RoleSeed(draw(SECRET_BYTES))
    root = Root(
        version=1,
        iat_s=now_s,
        roles={role: RoleKeys(1, (public_key_of(seed.reveal()),)) for role, seed in roles.items()},
        enrolment=HpkePublic(founding.alg, hpke_key_pair(enrolment, founding.alg)[1]),
        test=founding.test,
    )
    for role, seed in roles.items():
        write_role(places.folder_of(role), role, seed)
    write_enrolment(places.authority, root.enrolment, enrolment)
    recipients = _certify_recipients(places, founding, now_s=now_s, draw=draw)
    bundle = sign_root(root, [roles[Role.ROOT]])
    keys = authority_keys(places, bundle)
    with ExitStack() as stack:
        intake = stack.enter_context(closing(IntakeStore(places.store)))
        authority = assemble_authority(places, stack, keys=lambda: keys, intake=intake, draw=draw)
        authority.certify_recipients(recipients, now_s)
        authority.adopt(founding.purposes, now_s)
        authority.consent_at_enrolment(founding.granted)
    files.write(places.root, bundle, _PUBLIC)
    return Founded(places.root, root, recipients.keys)


def _check(founding: Founding) -> None:
    by_name = {purpose.name: purpose for purpose in founding.purposes}
    if not by_name or len(by_name) != len(founding.purposes):
        raise ConfigError("the policies have no purpose, or two of one name", hint="give each purpose one name")
    misplaced = sorted(name for name, p in by_name.items() if founding.place_of(p.recipient)[0] not in p.regions)
    if misplaced:
        raise ConfigError(
            f"the recipient's region is not one of {', '.join(misplaced)}",
            hint="choose regions that the purposes list: with --region, and --recipient for those elsewhere",
        )
    unknown = sorted(founding.elsewhere.keys() - {purpose.recipient for purpose in founding.purposes})
    if unknown:
        raise ConfigError(f"no purpose has the recipient {unknown[0]}", hint="see 'edge-sdk policy check'")
    asked = {name for name, purpose in by_name.items() if purpose.basis is Basis.CONSENT}
    if any(asks_for_transfer(purpose) for purpose in by_name.values()):
        asked.add(CROSS_BORDER)
    if not asked.issuperset(founding.granted):
        raise ConfigError(
            "a purpose named to be granted is not in the policies, or does not rest on consent",
            hint=f"purposes that rest on consent: {', '.join(sorted(asked)) or 'none'}",
        )


def _certify_recipients(places: Places, founding: Founding, *, now_s: int, draw: Draw) -> Recipients:
    seeds: dict[bytes, tuple[int, RecipientSeed]] = {}
    keys = []
    for operator in sorted({purpose.recipient for purpose in founding.purposes}):
        region, mechanism = founding.place_of(operator)
        seed = RecipientSeed(draw(SECRET_BYTES))
        key = RecipientKey(
            alg=founding.alg,
            key=hpke_key_pair(seed, founding.alg)[1],
            operator=operator,
            region=region,
            mechanism=str(mechanism),
            nbf_s=now_s,
            exp_s=now_s + RECIPIENT_KEY_VALID_S,
        )
        seeds[key.kid] = (founding.alg, seed)
        keys.append(key)
    write_recipients(places.opener, seeds)
    expires_s = now_s + RECIPIENTS_VALID_S
    return Recipients(version=1, iat_s=now_s, nbf_s=now_s, exp_s=expires_s, keys=tuple(keys))
