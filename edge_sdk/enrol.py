"""
How a device becomes one that the authority knows: a new generation, introduced once.

The secrets of the generation are drawn here, sent to the authority alone (sealed to the enrolment key of the pinned
root), and written down before they are sent, so that a power cut leads to the same request again and the authority
repeats its answer. There is no device-wide key: the next owner's generation shares nothing with this one.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from edge_sdk import files
from edge_sdk.clock import Clock, Now
from edge_sdk.config import Config
from edge_sdk.consent_state import ConsentState
from edge_sdk.core import claims
from edge_sdk.core.cose import public_key_of
from edge_sdk.core.documents import HpkePublic, Root, pinned_root
from edge_sdk.core.keys import (
    NONCE_BYTES,
    SECRET_BYTES,
    GenerationHpkeSeed,
    GenerationSigningSeed,
    LaneKey,
    LedgerKey,
    RoutingSecret,
    StateKey,
    StreamSecret,
    authorization,
    epoch_of,
    route,
)
from edge_sdk.core.messages import EnrolRequest, seal_enrol
from edge_sdk.core.seal import hpke_key_pair
from edge_sdk.errors import ConfigError, ConsentRefused, LifecycleRefused, Refused, UplinkError
from edge_sdk.hearing import hear_time
from edge_sdk.keystore import FileKeyStore
from edge_sdk.lanes import check_room
from edge_sdk.opening import attachment, draw, finish_wipe
from edge_sdk.suites import suite_of
from edge_sdk.transport import Request, Transport
from edge_sdk.vault import Generation, Keyring, Lane, Vault, read_lane, write_lane

_ROOT_LIMIT = 1 << 16


def read_root(path: Path) -> tuple[bytes, Root]:
    """
    Return the pinned root in *path*.

    Raises:
        EdgeError: when it is not there or none.
    """
    bundle = files.read(path, _ROOT_LIMIT)
    return bundle, pinned_root(bundle)


def is_enrolled(config: Config) -> bool:
    """
    Tell whether the site of *config* was ever given a statement.
    """
    return files.exists(config.folder / "state.bin")


async def enrol(config: Config, code: str, transport: Transport) -> int:
    """
    Introduce the site of *config* with the claim *code*; return the version of the statement it was given.

    After a power cut: not enrolled, or enrolled with secrets that a second call introduces again.

    Raises:
        Refused: the authority did not take the code.
        UplinkError: it could not be reached.
        EdgeError: what it answered fails a check.
    """
    bundle, root = read_root(config.root)
    files.make_folder(config.folder)
    lock = files.FolderLock(config.folder)
    try:
        with contextlib.suppress(LifecycleRefused):  # an erase that was cut off; its receipt must not be written over
            finish_wipe(config.folder, FileKeyStore(config.folder), attachment(config))
        check_room(config.folder)
        vault, lane = _generation(config, bundle)
        request = _request(vault, lane, root, code)
        response = await transport.send(Request("POST", "/v1/enrol", {"Content-Type": "application/cose"}, request))
        if response.status in (400, 401, 403, 404, 409, 410):
            raise Refused("the authority does not take this claim code", hint="ask the operator for a new one")
        if response.status != 200:
            raise UplinkError(f"the authority answered {response.status}", hint="try again later")
        consent = ConsentState(lane, vault, alg=suite_of(config), write=lambda held: write_lane(config.folder, held))
        now = await _accept(consent, response.body, Clock(consent.signed_ms()), transport)
        assert consent.statement is not None
        await _fetch_recipients(consent, lane, now, transport)
        return consent.statement.version
    finally:
        lock.close()


async def _accept(consent: ConsentState, sealed: bytes, clock: Clock, transport: Transport) -> Now:
    """
    Accept the first downlink and return when; a device whose clock seems wrong asks for signed time and looks again.
    """
    now = clock.now()
    try:
        consent.accept_downlink(sealed, now, epochs=_around(epoch_of(now.wall_s)))
    except ConsentRefused:
        if not await hear_time(clock, consent.root, transport, draw=draw):
            raise
        now = clock.now()
        consent.accept_downlink(sealed, now, epochs=_around(epoch_of(now.wall_s)))
    return now


async def _fetch_recipients(consent: ConsentState, lane: Lane, now: Now, transport: Transport) -> None:
    """
    Fetch the recipients document, so that collecting can begin at the first start; the uplink fetches it otherwise.
    """
    path = "/v1/recipients"
    headers = {"Authorization": authorization(route(lane.routing, epoch_of(now.wall_s)), "GET", path, b"")}
    response = await transport.send(Request("GET", path, headers))
    if response.status == 200:
        consent.accept_recipients(response.body, now)


def _around(epoch: int) -> range:
    # The authority answers by its own clock, and no tag was asked with yet: around midnight the two may differ.
    return range(epoch - 1, epoch + 2)


def _generation(config: Config, root_bundle: bytes) -> tuple[Vault, Lane]:
    """
    Return the vault of a generation that is not introduced yet, made new where there is none.
    """
    store = FileKeyStore(config.folder)
    if files.exists(config.folder / "vault.bin"):
        vault, lane = Vault.open(config.folder, store, draw=draw), read_lane(config.folder)
        if vault.read_state():
            raise ConfigError("this site is enrolled already", hint="wipe it first, or use another folder")
        lane.address, lane.root = config.address, root_bundle  # of this try: the one before may have named others
        write_lane(config.folder, lane)
        return vault, lane
    generation = Generation(
        id=draw(claims.ID_BYTES),
        signing=GenerationSigningSeed(draw(SECRET_BYTES)),
        hpke=GenerationHpkeSeed(draw(SECRET_BYTES)),
        hpke_alg=suite_of(config),
        streams=StreamSecret(draw(SECRET_BYTES)),
    )
    ring = Keyring(generation, StateKey(draw(SECRET_BYTES)), LedgerKey(draw(SECRET_BYTES)))
    lane = Lane(RoutingSecret(draw(SECRET_BYTES)), config.address, root_bundle, LaneKey(draw(SECRET_BYTES)))
    return Vault.create(config.folder, store, ring, lane, draw=draw), lane


def _request(vault: Vault, lane: Lane, root: Root, code: str) -> bytes:
    generation = vault.ring.generation
    _, hpke_public = hpke_key_pair(generation.hpke, generation.hpke_alg)
    request = EnrolRequest(
        code=code,
        generation=generation.id,
        signing_key=public_key_of(generation.signing.reveal()),
        hpke=HpkePublic(generation.hpke_alg, hpke_public),
        routing=lane.routing,
        stream=generation.streams,
        root_version=root.version,
    )
    return seal_enrol(
        request,
        seed=generation.signing,
        recipient=root.enrolment,
        content_alg=claims.ALG_A256GCM,
        cek=draw(SECRET_BYTES),
        iv=draw(NONCE_BYTES),
    )
