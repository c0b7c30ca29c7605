"""
One request in, one answer out: which endpoint does what, without a socket.

Runs on one thread, the only one that touches the intake's and the authority's files; ``server`` gives it that
thread and reads the bodies. Endpoints: SPEC 3. An intake that runs apart from the authority has none here and
answers enrolments with 404. Not here: HTTP (``server``), decisions about batches (``intake``), keys of
devices (``authority``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from edge_sdk.collector import intake
from edge_sdk.collector.claim import TooManyTries
from edge_sdk.collector.intake import Answer, Arrival, Limits, Request
from edge_sdk.collector.offices import Signers
from edge_sdk.collector.store import PRUNED_AT_ONCE, IntakeStore
from edge_sdk.core import keys, messages
from edge_sdk.core.envelope import LIMITS
from edge_sdk.core.labels import TYP_ENROL
from edge_sdk.errors import BadInput, Refused

ENROL_PATH: Final = "/v1/enrol"
TIME_PATH: Final = "/v1/time"
RECIPIENTS_PATH: Final = "/v1/recipients"
ROOT_PREFIX: Final = "/v1/root/"
ENROL_BYTES: Final = LIMITS[TYP_ENROL]
TIME_BYTES: Final = 64  # a request takes 21

NOT_FOUND: Final = Answer(404)
NOT_ALLOWED: Final = Answer(405)


class Enrolling(Protocol):
    """
    The part of an authority that devices talk to.
    """

    def enrol(self, body: bytes, now_s: int) -> bytes:
        """
        Return the first downlink for an enrolment request.

        Raises:
            BadInput: it cannot be read.
            Refused: its code is not good; TooManyTries when no code is looked at.
        """
        ...

    def upkeep(self, now_s: int) -> None:
        """
        Prepare what is due.
        """
        ...


class Reception:
    """
    Answers requests out of one store.

    Args:
        store: the intake's file.
        signers: returns what signs receipts and the time.
        limits: what one request may cost.
        authority: who enrols devices, None where it runs elsewhere.
    """

    def __init__(
        self,
        store: IntakeStore,
        *,
        signers: Callable[[], Signers],
        limits: Limits,
        authority: Enrolling | None,
    ) -> None:
        self._store = store
        self._signers = signers
        self._limits = limits
        self._authority = authority
        self._endpoints: dict[tuple[str, str], Callable[[Request, int], Answer]] = {
            ("POST", intake.BATCHES_PATH): self._take,
            ("POST", intake.CONTROL_PATH): self._take,
            ("GET", intake.DOWNLINK_PATH): self._downlink,
            ("GET", RECIPIENTS_PATH): self._document,
            ("POST", TIME_PATH): self._time,
        }
        if authority is not None:
            self._endpoints["POST", ENROL_PATH] = self._enrol

    def prepare(self, head: Request, now_s: int) -> int | Answer:
        """
        Return how many bytes of the body are worth reading, or the answer when none is.

        A stranger without a known tag is answered before anything large is read.

        Args:
            head: the request with an empty body.
            now_s: Unix seconds.
        """
        if self._endpoint(head.method, head.path) is None:
            return self.answer(head, now_s)
        if head.path not in (intake.BATCHES_PATH, intake.CONTROL_PATH):
            return {ENROL_PATH: ENROL_BYTES, TIME_PATH: TIME_BYTES}.get(head.path, 0)
        return intake.UNKNOWN_TAG if self._row(head, now_s) is None else intake.READ_BYTES

    def answer(self, request: Request, now_s: int) -> Answer:
        """
        Return the answer to *request*.

        Raises:
            StorageError: when the store fails; the host answers 503 and the device tries later.

        After a power cut: a 200 for a batch was composed after its bytes were durable.
        """
        endpoint = self._endpoint(request.method, request.path)
        if endpoint is not None:
            return endpoint(request, now_s)
        is_path = any(path == request.path for _, path in self._endpoints)
        return NOT_ALLOWED if is_path or request.path.startswith(ROOT_PREFIX) else NOT_FOUND

    def upkeep(self, now_s: int) -> None:
        """
        Do what is due at the change of epoch: new tables.
        """
        if self._authority is not None:
            self._authority.upkeep(now_s)

    def prune(self, now_s: int) -> bool:
        """
        Remove some of what may be forgotten, and tell whether there may be more of it.
        """
        return self._store.prune(keys.epoch_of(now_s)) >= PRUNED_AT_ONCE

    def _endpoint(self, method: str, path: str) -> Callable[[Request, int], Answer] | None:
        if method == "GET" and path.startswith(ROOT_PREFIX):
            return self._document
        return self._endpoints.get((method, path))

    def _take(self, request: Request, now_s: int) -> Answer:
        row = self._row(request, now_s)
        signer = self._signers().receipt
        arrival = intake.examine(request, row, signer=signer, now_s=now_s, limits=self._limits)
        if not isinstance(arrival, Arrival):
            return arrival
        kept = self._store.keep(arrival)
        return intake.conclude(arrival, kept, signer=signer, now_s=now_s, limits=self._limits)

    def _downlink(self, request: Request, now_s: int) -> Answer:
        row = self._row(request, now_s)
        refused = intake.admit(request, row, now_s=now_s)
        if refused is not None or row is None:
            return refused or intake.UNKNOWN_TAG
        downlink = self._store.downlink(row)
        return NOT_FOUND if downlink is None else Answer(200, downlink)

    def _document(self, request: Request, now_s: int) -> Answer:
        body = self._store.document(request.path.removeprefix("/v1/"))
        return NOT_FOUND if body is None else Answer(200, body)

    def _time(self, request: Request, now_s: int) -> Answer:
        try:
            return Answer(200, messages.sign_time(request.body, now_s, self._signers().time))
        except BadInput:
            return Answer(400)

    def _enrol(self, request: Request, now_s: int) -> Answer:
        if self._authority is None:
            return NOT_FOUND
        try:
            return Answer(200, self._authority.enrol(request.body, now_s))
        except TooManyTries as refused:
            return Answer(429, retry_after_s=refused.wait_s)
        except Refused:
            return Answer(403)
        except BadInput:
            return Answer(400)

    def _row(self, request: Request, now_s: int) -> intake.TagRow | None:
        tag = intake.claimed_tag(request)
        return None if tag is None else self._store.tag_row(tag, intake.epochs_taken(now_s))
