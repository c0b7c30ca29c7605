"""
How a site is put together: from a configuration to a line, a writer and an uplink.

The only room that builds the others, and the only one on the device that draws entropy. It takes the lock of the
state folder first and lets go of it last.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edge_sdk import files
from edge_sdk.binding import Binding
from edge_sdk.bookkeeping import Bookkeeping
from edge_sdk.clock import Clock, Now
from edge_sdk.config import Config
from edge_sdk.consent_state import ConsentState
from edge_sdk.core.documents import WipeOrder
from edge_sdk.core.lifecycle import Event as Step
from edge_sdk.core.lifecycle import Room, State, after, check_open
from edge_sdk.core.policy import Policy
from edge_sdk.errors import BadInput, ConfigError, DatabaseDamaged, StorageError, VaultUnavailable
from edge_sdk.events import Event, tell
from edge_sdk.firmware import Attachment, FirmwareLink
from edge_sdk.incidents import Incidents
from edge_sdk.keypage import KeyPage
from edge_sdk.keystore import FileKeyStore, KeyStore
from edge_sdk.lanes import retire
from edge_sdk.ledger import Happened, Ledger, read_ledger
from edge_sdk.line import Line
from edge_sdk.lost_queue import COUNT as QUEUES_LOST
from edge_sdk.lost_queue import open_queue, remove_queue, tell_lost
from edge_sdk.marks import stored_counts
from edge_sdk.obeying import Obeying
from edge_sdk.policies import Policies
from edge_sdk.policy_file import policy_text
from edge_sdk.recording import Recording
from edge_sdk.release import __version__
from edge_sdk.sealing import Rooms
from edge_sdk.suites import content_alg_of, suite_of
from edge_sdk.telling import Telling
from edge_sdk.uplink import Uplink
from edge_sdk.vault import Lane, Vault, read_lane, write_lane
from edge_sdk.wipe import STORES, Finished, Intent, begin, compose_draft, finish, pending_intent, reserve, state_of
from edge_sdk.writer import Writer

_BOOT_ID: Final = re.compile(rb"[0-9a-f]{32}")


@dataclass(slots=True)
class Site:
    """
    One site, open: its parts, and the lock that keeps others out.
    """

    config: Config
    clock: Clock
    line: Line
    uplink: Uplink
    lane: Lane
    key_store: KeyStore
    firmware: Attachment
    lock: files.FolderLock
    intent: Intent | None = None

    def begin_wipe(self, now: Now, order: WipeOrder | None) -> None:
        """
        Put the intent of an erase on disk, on the writer's thread: from here on it cannot be cancelled.

        A medium that does not take it is no reason to keep what it holds: what can be erased is erased all the same.

        After a power cut: nothing has changed, or the next start erases.
        """
        generation = self.line.rooms.vault.ring.generation
        self.line.books.add(Happened.WIPE_BEGUN, now)
        draft = compose_draft(
            generation=generation.id,
            nonce=None if order is None else order.nonce,
            scope=(),
            at_s=now.wall_s,
            uses={name: (use.kids, use.streams) for name, use in self.line.consent.held.uses.items()},
            ledger=self.line.books.ledger.head,
            software=f"edge-sdk {__version__}",
        )
        self.intent = Intent(draft, generation.signing)
        try:
            begin(self.config.folder, self.lane, self.intent, draw=draw)
        except StorageError:
            tell(Event.STORAGE_ERROR)

    def finish_wipe(self) -> Finished:
        """
        Close every file and erase; the intent was begun.

        After a power cut: the next start goes on.
        """
        self.line.rooms.page.close()
        self.line.rooms.outbox.close()
        assert self.intent is not None
        try:
            return erase(self.config.folder, self.lane, self.intent, self.key_store, self.firmware)
        finally:
            self.lock.close()

    def close(self) -> None:
        """
        Close every file; the line has been finished before.
        """
        self.line.rooms.page.close()
        self.line.rooms.outbox.close()
        self.lock.close()


def open_site(config: Config, firmware: FirmwareLink | None = None) -> tuple[Site, Writer]:
    """
    Return the site of *config*, and its writer, not yet started; *firmware* is denied and cleared when it is wiped.

    Raises:
        ConfigError: when the policy is wrong and there is no earlier one to stay with.
        NotProvisioned: when the site is not enrolled, or was wiped.
        StorageError: when its folder is in use, or from a newer release.
    """
    try:
        return _open_site(config, firmware)
    except DatabaseDamaged:
        remove_queue(config.folder)  # a gateway that nobody visits does not stand still over one bad page
        return _open_site(config, firmware)


def _open_site(config: Config, firmware: FirmwareLink | None) -> tuple[Site, Writer]:
    folder = config.folder
    files.make_folder(folder)
    with contextlib.ExitStack() as opened:
        lock = files.FolderLock(folder)
        opened.callback(lock.close)
        key_store = FileKeyStore(folder)
        attached = attachment(config, firmware)
        finish_wipe(folder, key_store, attached)
        vault = Vault.open(folder, key_store, draw=draw)
        reserve(folder)
        lane = _lane_to(config)
        consent = _consent(config, lane, vault)
        clock = Clock(consent.floor_ms())
        writer = Writer(clock)
        recording = Recording(room=config.limits.memory_rows, wake_after=config.limits.max_rows, wake=writer.wake)
        outbox = open_queue(folder, was_started=bool(consent.held.policies))  # before a policy says that it was
        opened.callback(outbox.close)
        policies = _policies(config, consent, Policies(folder, vault.ring.state))
        page = KeyPage(folder)
        opened.callback(page.close)
        rooms = Rooms(vault, outbox, page, draw, content_alg_of(config), boot_id(), recording.lock)
        line = _line_of(
            config, rooms, consent=consent, recording=recording, policies=policies, lane=lane, firmware=attached,
            method=key_store.method, clock=clock,
        )  # fmt: skip
        line.step(clock.now())
        if tell_lost(rooms, line.binding.streams.values()):
            recording.count(QUEUES_LOST)
        uplink = Uplink(line, routing=lane.routing, clock=clock, chance=chance, draw=draw, first_ms=config.jitter_ms)
        opened.pop_all()  # from here on the site closes them
        return Site(config, clock, line, uplink, lane, key_store, attached, lock), writer


def attachment(config: Config, link: FirmwareLink | None = None) -> Attachment:
    """
    Return the firmware of a site, as its ``site.toml`` and what was handed in say.
    """
    return Attachment(link, wait_ms=config.firmware_wait_ms, is_expected=config.has_firmware)


def finish_wipe(folder: Path, key_store: KeyStore, firmware: Attachment) -> None:
    """
    Finish an erase whose intent is on disk, before anything else of the folder is opened.

    Raises:
        LifecycleRefused: when there was one; the site is wiped now.
        StorageError: when the folder holds no lane set although an erase had begun.
    """
    if not files.exists(folder / "lane.bin"):
        return
    lane = read_lane(folder)
    intent = pending_intent(folder, lane)
    state = state_of(lane, intent)
    if state is State.WIPED:
        retire(folder)
    elif intent is not None:
        if not erase(folder, lane, intent, key_store, firmware).is_stored:
            raise StorageError("the erase that was begun is not finished", hint="free space, or replace the medium")
        state = after(state, Step.ERASED)
    check_open(state, Room.COLLECT)


def erase(folder: Path, lane: Lane, intent: Intent, key_store: KeyStore, firmware: Attachment) -> Finished:
    """
    Erase everything of a site and put its lane set aside; nothing of the folder is open any more.

    After a power cut: the next start goes on, where the intent is on disk.
    """
    firmware.deny()
    done = finish(folder, lane, intent, key_store=key_store, stores=STORES, clear=firmware.clear, draw=draw)
    if done.is_stored:
        with contextlib.suppress(StorageError):  # erased it is, and the receipt is delivered from where it lies
            retire(folder)
    return done


def _consent(config: Config, lane: Lane, vault: Vault) -> ConsentState:
    """
    Return what was accepted on this device, and what its household refused.

    Raises:
        StorageError: it is damaged, or gone from a site that was started: what was refused is not known any more.
    """
    folder = config.folder
    if files.exists(folder / "outbox.db") and not files.exists(folder / "state.bin"):
        raise StorageError("state.bin is gone, and what was refused with it", hint="wipe this site and enrol it anew")
    try:
        return ConsentState(lane, vault, alg=suite_of(config), write=lambda held: write_lane(folder, held))
    except BadInput as error:
        raise VaultUnavailable("lane.bin is damaged: its root does not verify", hint="enrol the site anew") from error


def _lane_to(config: Config) -> Lane:
    """
    Return the lane set, which names the address in force: a wipe receipt goes where the collector is by then.

    After a power cut: the old or the new address.
    """
    lane = read_lane(config.folder)
    if lane.address != config.address:
        lane.address = config.address
        with contextlib.suppress(StorageError):  # the next start writes it, or the wipe itself
            write_lane(config.folder, lane)
    return lane


def _line_of(
    config: Config, rooms: Rooms, *, consent: ConsentState, recording: Recording, policies: list[Policy],
    lane: Lane, firmware: Attachment, method: str, clock: Clock,
) -> Line:  # fmt: skip
    """
    Return the line of a site, with what was stored of it taken up.
    """
    vault, outbox, limits = rooms.vault, rooms.outbox, config.limits
    binding = Binding(policies, rooms, consent=consent, recording=recording, routing=lane.routing, limits=limits)
    damage = stored_counts(outbox.numbers())
    binding.load(clock.now().mono_ms)
    ledger = Ledger(config.folder, vault.ring.ledger, draw=draw, minimal=config.ledger == "minimal")
    books = Bookkeeping(ledger, consent)
    books.start(clock.now(), unclean=binding.was_unclean)
    incidents = Incidents(
        consent, books, policy=binding.policy, host=urlsplit(config.address).hostname or "", damage=damage,
        is_stopped=config.uploads_stopped,
    )  # fmt: skip
    incidents.check(lambda: _read_through(config.folder, vault), clock.now())
    telling = Telling(vault, outbox, consent, ledger, method=method, draw=draw)
    obeying = Obeying(consent, binding, telling=telling, books=books, firmware=firmware)
    return Line(
        rooms, consent=consent, recording=recording, binding=binding, telling=telling, books=books, obeying=obeying,
        incidents=incidents, limits=limits,
    )  # fmt: skip


def _read_through(folder: Path, vault: Vault) -> None:
    """
    Read the ledger to its end.

    Raises:
        BadInput: it was changed. StorageError: it cannot be read.
    """
    for _ in read_ledger(folder, vault.ring.ledger):
        pass


def draw(count: int) -> bytes:
    """
    Return *count* random bytes from the operating system.
    """
    return secrets.token_bytes(count)


def chance() -> float:
    """
    Return a number from [0, 1) that nobody can foresee.
    """
    return secrets.randbits(53) / (1 << 53)


def boot_id() -> bytes:
    """
    Return what names the time since the board was powered on; random where the kernel does not tell.
    """
    told = files.read_system(Path("/proc/sys/kernel/random/boot_id")).strip().replace(b"-", b"")
    return bytes.fromhex(told.decode("ascii")) if _BOOT_ID.fullmatch(told) else draw(16)


def _known_policies(texts: Sequence[str], policies: Policies) -> list[Policy]:
    known = []
    for text in texts:
        try:
            known.append(policies.read(text, where="a policy in force before"))
        except ConfigError:  # another release took it; what waits under its purposes alone is held, nothing else is
            tell(Event.POLICY_DROPPED)
    return known


def _policies(config: Config, consent: ConsentState, policies: Policies) -> list[Policy]:
    """
    Return the policies data may still belong to, the one in force last; a bad new file leaves the old one in force.

    After a power cut: the policy in force is stored or not; the next start reads the file again.
    """
    known = _known_policies(consent.held.policies, policies)
    try:
        text = policy_text(config.policy)
        policy = policies.read(text, where=Path(config.policy).name)
    except ConfigError:
        if not known:
            raise
        tell(Event.POLICY_KEPT)
    else:
        consent.put_policy(text)
        known.append(policy)
    policies.keep(draw)
    return known
