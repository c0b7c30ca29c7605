"""
A device as the collector meets it: real keys, real enrolment, real batches; no gateway around them.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_sdk.collector import Founded, Founding, init_collector
from edge_sdk.collector.intake import Answer, Request
from edge_sdk.core import keys, messages, seal
from edge_sdk.core.batch import Batch, Gap, encode_batch
from edge_sdk.core.claims import ALG_A256GCM, ALG_HPKE_X25519, ALG_HPKE_X_WING, Mechanism, Role
from edge_sdk.core.consent import decide
from edge_sdk.core.cose import Signer, key_id, public_key_of
from edge_sdk.core.documents import (
    HpkePublic,
    RecipientKey,
    Root,
    Statement,
    WipeOrder,
    accept_root,
    accept_statement,
    accept_wipe,
    audience_of,
    keeps_versions,
)
from edge_sdk.core.policy import Policy, Purpose, purpose_digest
from edge_sdk.core.pseudonym import period_of
from edge_sdk.core.receipt import Firmware, Method, Outcome, PurposeUse, StoreErased, WipeReceipt, judge
from edge_sdk.core.table import Row
from edge_sdk.policy_file import load_policy
from tests.inverter import ENERGY, head, power

NOW_S = 1_790_000_000
DAY_S = 86_400

POLICY_TEXT = head("plant", power("ac_power"), ENERGY) + """
[purposes.monitoring]
basis = "contract"
dpv = "dpv:RequestedServiceProvision"
recipient = "operator-eu"
regions = ["EU"]
importance = 10
keep_at_most = "30d"
clauses = ["plant.1"]

[purposes.monitoring.views.inverter.fields]
serial = "keep"
ac_power = { round = 0.1 }
energy = "keep"

[purposes.improvement]
basis = "consent"
dpv = "dpv:ServiceOptimisation"
recipient = "research-eu"
regions = ["EU"]
importance = 1
keep_at_most = "30d"
clauses = ["plant.2"]

[purposes.improvement.views.inverter]
every = "1d"

[purposes.improvement.views.inverter.fields]
serial = { pseudonym = "30d" }
energy = { window = "delta", round = 100 }
"""


def policy(text: str = POLICY_TEXT) -> Policy:
    return load_policy(text, where="plant.toml")


def founding(*, granted: Sequence[str] = (), alg: int = ALG_HPKE_X25519, text: str = POLICY_TEXT) -> Founding:
    return Founding(policies=[policy(text)], region="EU", mechanism=Mechanism.NONE, granted=granted, test=True, alg=alg)


def found(folder: Path, *, granted: Sequence[str] = (), alg: int = ALG_HPKE_X25519) -> Founded:
    return init_collector(folder, founding(granted=granted, alg=alg), now_s=NOW_S, draw=secrets.token_bytes)


@dataclass
class Stream:
    """One stream of a household, with its next row number."""

    id: bytes
    seed: bytes
    key: bytes
    next: int = 0


@dataclass
class Household:
    """One generation of one device."""

    root: Root
    recipients: tuple[RecipientKey, ...]
    hpke_alg: int = ALG_HPKE_X_WING
    generation: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    signing: keys.GenerationSigningSeed = field(
        default_factory=lambda: keys.GenerationSigningSeed(secrets.token_bytes(32))
    )
    hpke: keys.GenerationHpkeSeed = field(default_factory=lambda: keys.GenerationHpkeSeed(secrets.token_bytes(32)))
    routing: keys.RoutingSecret = field(default_factory=lambda: keys.RoutingSecret(secrets.token_bytes(32)))
    stream_secret: keys.StreamSecret = field(default_factory=lambda: keys.StreamSecret(secrets.token_bytes(32)))
    statement: Statement | None = None

    def enrol_body(self, code: str, *, root_version: int | None = None) -> bytes:
        request = messages.EnrolRequest(
            code=code,
            generation=self.generation,
            signing_key=public_key_of(self.signing.reveal()),
            hpke=HpkePublic(self.hpke_alg, seal.hpke_key_pair(self.hpke, self.hpke_alg)[1]),
            routing=self.routing,
            stream=self.stream_secret,
            root_version=self.root.version if root_version is None else root_version,
        )
        return messages.seal_enrol(
            request,
            seed=self.signing,
            recipient=self.root.enrolment,
            content_alg=ALG_A256GCM,
            cek=secrets.token_bytes(32),
            iv=secrets.token_bytes(12),
        )

    def hear(self, downlink: bytes, now_s: int) -> messages.Downlink:
        heard = messages.open_downlink(downlink, seed=self.hpke, alg=self.hpke_alg)
        newest = None if self.statement is None else (self.statement.version, self.statement.sha256)
        self.statement = accept_statement(
            heard.statement,
            root=self.root,
            audience=audience_of(public_key_of(self.signing.reveal())),
            generation=self.generation,
            newest=newest,
            now_s=now_s,
        )
        return heard

    def step(self, bundle: bytes) -> None:
        """Take the next root, as a device does: counters of roles with new keys start anew."""
        successor = accept_root(self.root, bundle)
        if not keeps_versions(self.root, successor, Role.STATEMENT):
            self.statement = None
        self.root = successor

    def order(self, heard: messages.Downlink, now_s: int, executed: Sequence[bytes] = ()) -> WipeOrder:
        assert heard.wipe is not None, "no order waits"
        return accept_wipe(
            heard.wipe,
            root=self.root,
            audience=audience_of(public_key_of(self.signing.reveal())),
            generation=self.generation,
            executed=executed,
            now_s=now_s,
        )

    def control(
        self,
        body: messages.control.Body,
        *,
        at_s: int = NOW_S,
        ledger: tuple[bytes, int] | None = None,
        generation: bytes | None = None,
        message_id: bytes | None = None,
        root: Root | None = None,
    ) -> bytes:
        return messages.seal_control(
            messages.Control(generation or self.generation, at_s, ledger, body),
            seed=self.signing,
            recipient=(root or self.root).enrolment,
            message_id=message_id or secrets.token_bytes(16),
            content_alg=ALG_A256GCM,
            cek=secrets.token_bytes(32),
            iv=secrets.token_bytes(12),
        )

    def receipt(
        self,
        order: WipeOrder | None = None,
        *,
        scope: Sequence[str] | None = None,
        at_s: int = NOW_S,
        method: Method = Method.CE,
        uses: Sequence[PurposeUse] = (),
        generation: bytes | None = None,
    ) -> WipeReceipt:
        named = () if order is None else order.purposes
        return WipeReceipt(
            generation=generation or self.generation,
            nonce=None if order is None else order.nonce,
            scope=tuple(named if scope is None else scope),
            at_s=at_s,
            stores=(
                StoreErased("vault", Method.CE, verified=True, items=9),
                StoreErased("outbox", method, verified=method is not Method.FAILED, items=3),
            ),
            uses=tuple(uses),
            firmware=Firmware.NOT_REACHABLE,
            ledger_head=b"h" * 32,
            ledger_length=7,
            software="edge-sdk test",
        )

    def route(self, now_s: int) -> keys.Route:
        return keys.route(self.routing, keys.epoch_of(now_s))

    def request(self, method: str, path: str, body: bytes, now_s: int) -> Request:
        header = keys.authorization(self.route(now_s), method, path, body)
        return Request(method, path, header, body)

    def stream(self, purpose: Purpose, now_s: int) -> Stream:
        assert self.statement is not None
        grant = next(item for item in reversed(self.statement.grants) if item.purpose == purpose.name)
        period = period_of(now_s * 1000, purpose.period_ms)
        seed = keys.stream_seed(self.stream_secret, purpose.name, grant.id, period)
        return Stream(secrets.token_bytes(16), seed, public_key_of(seed))

    def batch(
        self,
        purpose: Purpose,
        stream: Stream,
        rows: Sequence[Row],
        *,
        now_s: int = NOW_S,
        gaps: Sequence[Gap] = (),
        first: int | None = None,
        change: Callable[[bytes], bytes] = lambda payload: payload,
        batch_id: bytes | None = None,
    ) -> bytes:
        first = stream.next if first is None else first
        stream.next = first + len(rows)
        payload = encode_batch(
            Batch(
                stream_id=stream.id,
                first=first,
                last=first + len(rows) - 1,
                digest=purpose_digest(purpose),
                stream_key=stream.key,
                gaps=tuple(gaps),
                tables={0: list(rows)},
            ),
            purpose.views,
        )
        decision = decide(
            purpose=purpose.name,
            basis=purpose.basis,
            digest=purpose_digest(purpose),
            statement=self.statement,
            fresh=True,
            denied=(),
            now_s=now_s,
        )
        assert decision.collect is not None, decision.because
        return seal.seal_batch(
            change(payload),
            grant=decision.collect,
            recipient=next(key for key in self.recipients if key.operator == purpose.recipient),
            stream_id=stream.id,
            signer=Signer(stream.seed),
            batch_id=batch_id or secrets.token_bytes(16),
            content_alg=ALG_A256GCM,
            cek=secrets.token_bytes(32),
            iv=secrets.token_bytes(12),
        )

    def judged(self, answer: Answer, body: bytes, batch_id: bytes) -> Outcome:
        return judge(
            answer.status,
            answer.body,
            root=self.root,
            batch_id=batch_id,
            body_sha256=hashlib.sha256(body).digest(),
        )


def recipient_kid(founded: Founded, operator: str) -> bytes:
    return next(key_id(key.key) for key in founded.recipients if key.operator == operator)
