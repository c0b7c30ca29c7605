"""
Many devices without gateways around them: real enrolment, real statements, real batches, for loading a collector.

A device here has what the intake and the opener see of one: tags, a certified stream key, sealed envelopes. What a
gateway does before that (minimise, queue, retry) is not its business.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.household import POLICY
from edge_sdk.collector import Founded, Founding, init_collector, open_authority
from edge_sdk.collector.authority import Authority
from edge_sdk.collector.intake import BATCHES_PATH
from edge_sdk.core import keys, messages
from edge_sdk.core.batch import Batch, encode_batch
from edge_sdk.core.claims import ALG_A256GCM, ALG_HPKE_X_WING, Mechanism
from edge_sdk.core.consent import CollectGrant, decide
from edge_sdk.core.cose import Signer, public_key_of
from edge_sdk.core.documents import HpkePublic, Statement, accept_statement, audience_of
from edge_sdk.core.policy import Purpose, purpose_digest
from edge_sdk.core.pseudonym import period_of
from edge_sdk.core.receipt import Kind, judge
from edge_sdk.core.seal import hpke_key_pair, seal_batch
from edge_sdk.policy_file import load_policy

ROWS: Final = 60  # of one batch: an hour at one reading a minute
_SUITE: Final = ALG_HPKE_X_WING


@dataclass(frozen=True, slots=True)
class Upload:
    """
    One sealed batch, its id, and the value that every one of its rows has as power.
    """

    id: bytes
    body: bytes
    power: int


class Device:
    """
    One enrolled generation of one device.
    """

    def __init__(self, founded: Founded, authority: Authority, now_s: int) -> None:
        self._root = founded.root
        self._routing = keys.RoutingSecret(secrets.token_bytes(keys.SECRET_BYTES))
        self._generation = secrets.token_bytes(16)
        self._stream_secret = keys.StreamSecret(secrets.token_bytes(keys.SECRET_BYTES))
        self._stream = secrets.token_bytes(16)
        self._next = 0
        self.purpose = load_policy(POLICY, where="fleet.toml").purposes["monitoring"]
        self._recipient = next(key for key in founded.recipients if key.operator == self.purpose.recipient)
        statement = self._enrol(authority, now_s)
        self._grant = _grant(self.purpose, statement, now_s)
        held = next(grant for grant in statement.grants if grant.purpose == self.purpose.name)
        period = period_of(now_s * 1000, self.purpose.period_ms)
        self._signer = Signer(keys.stream_seed(self._stream_secret, self.purpose.name, held.id, period))

    def sealed(self, power: int, now_s: int, *, rows: int = ROWS) -> Upload:
        """
        Return a batch of *rows* rows in which all powers are *power* (tenths of a watt).
        """
        by_name = {"power": power, "voltage": 2300, "temperature": 250, "serial": "408000123456"}
        names = [item.field.name for item in self.purpose.views[0].fields]
        taken = [
            (now_s * 1000 + row * 60_000, *({**by_name, "energy": self._next + row}[name] for name in names))
            for row in range(rows)
        ]
        payload = encode_batch(
            Batch(
                stream_id=self._stream,
                first=self._next,
                last=self._next + rows - 1,
                digest=purpose_digest(self.purpose),
                stream_key=self._signer.public_key,
                gaps=(),
                tables={0: taken},
            ),
            self.purpose.views,
        )
        self._next += rows
        batch_id = secrets.token_bytes(16)
        body = seal_batch(
            payload,
            grant=self._grant,
            recipient=self._recipient,
            stream_id=self._stream,
            signer=self._signer,
            batch_id=batch_id,
            content_alg=ALG_A256GCM,
            cek=secrets.token_bytes(keys.SECRET_BYTES),
            iv=secrets.token_bytes(keys.NONCE_BYTES),
        )
        return Upload(batch_id, body, power)

    def authorization(self, body: bytes, now_s: int) -> str:
        """
        Return the header for *body* on the path of batches.
        """
        return keys.authorization(keys.route(self._routing, keys.epoch_of(now_s)), "POST", BATCHES_PATH, body)

    def is_acknowledged(self, upload: Upload, status: int, answer: bytes) -> bool:
        """
        Tell whether *answer* is a receipt for *upload* that a device would forget it for.
        """
        digest = hashlib.sha256(upload.body).digest()
        outcome = judge(status, answer, root=self._root, batch_id=upload.id, body_sha256=digest)
        return outcome.kind is Kind.ACKED

    def _enrol(self, authority: Authority, now_s: int) -> Statement:
        signing = keys.GenerationSigningSeed(secrets.token_bytes(keys.SECRET_BYTES))
        hpke = keys.GenerationHpkeSeed(secrets.token_bytes(keys.SECRET_BYTES))
        public = public_key_of(signing.reveal())
        request = messages.EnrolRequest(
            code=authority.issue_code(now_s),
            generation=self._generation,
            signing_key=public,
            hpke=HpkePublic(_SUITE, hpke_key_pair(hpke, _SUITE)[1]),
            routing=self._routing,
            stream=self._stream_secret,
            root_version=self._root.version,
        )
        body = messages.seal_enrol(
            request,
            seed=signing,
            recipient=self._root.enrolment,
            content_alg=ALG_A256GCM,
            cek=secrets.token_bytes(keys.SECRET_BYTES),
            iv=secrets.token_bytes(keys.NONCE_BYTES),
        )
        heard = messages.open_downlink(authority.enrol(body, now_s), seed=hpke, alg=_SUITE)
        return accept_statement(
            heard.statement,
            root=self._root,
            audience=audience_of(public),
            generation=self._generation,
            newest=None,
            now_s=now_s,
        )


def make_fleet(folder: Path, count: int, now_s: int) -> list[Device]:
    """
    Found a collector in the new folder *folder* and return *count* devices that are enrolled with it.
    """
    founding = Founding(
        policies=[load_policy(POLICY, where="fleet.toml")],
        region="EU",
        mechanism=Mechanism.NONE,
        granted=(),
        test=True,
        alg=_SUITE,
    )
    founded = init_collector(folder, founding, now_s=now_s, draw=secrets.token_bytes)
    with open_authority(folder) as authority:
        return [Device(founded, authority, now_s) for _ in range(count)]


def _grant(purpose: Purpose, statement: Statement, now_s: int) -> CollectGrant:
    decision = decide(
        purpose=purpose.name,
        basis=purpose.basis,
        digest=purpose_digest(purpose),
        statement=statement,
        fresh=True,
        denied=(),
        now_s=now_s,
    )
    if decision.collect is None:
        raise RuntimeError(f"the collector grants nothing: {decision.because}")
    return decision.collect
