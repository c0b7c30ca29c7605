"""
``edge-sdk init``: make a site, and with ``--local`` a collector on loopback beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import subprocess
import sys
from pathlib import Path

from edge_sdk import files
from edge_sdk.cli.collector import found
from edge_sdk.cli.given import described, read_given
from edge_sdk.clock import wall_s
from edge_sdk.config import Config
from edge_sdk.core.claims import Mechanism
from edge_sdk.core.documents import pinned_root
from edge_sdk.core.policy import Policy
from edge_sdk.enrol import enrol, is_enrolled
from edge_sdk.errors import ConfigError, EdgeError, UplinkError
from edge_sdk.http_transport import transport_to
from edge_sdk.policy_file import find_policy, policy_text
from edge_sdk.suites import SUITES

DEFAULT_PROFILE = "apsystems_ema"
_LOCAL = "EU"
_START_S = 30
_ROOT_LIMIT = 1 << 16

SITE = """\
# One site: one household. Durations and sizes are written with a unit.

[site]
name = "{name}"
policy = "policy.toml"
folder = "state"            # keys and queue; 0700, never copied to another device
day_starts_utc = "00:00"    # where windows of a day begin

[collector]
address = "{address}"
root = "root.cose"          # the pinned root of trust, from the operator
jitter = "{jitter}"             # the first request after a start waits a random part of this

[batch]
max_rows = 500
max_age = "1h"              # a batch closes at this age, night included
flush_every = "60s"         # what a power cut may cost
suite = "{suite}"         # hpke-9-ke: X-Wing, post-quantum; hpke-4-ke: X25519, 1.1 kB less a batch

[outbox]
quota = "64 MB"
"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the command.
    """
    init = commands.add_parser("init", help="make a site and enrol it", description=described(__doc__))
    init.add_argument("folder", nargs="?", default=None, metavar="DIR", help="where to make the site")
    init.add_argument("--local", metavar="DIR", help="make site, test root and collector in DIR, on loopback")
    init.add_argument("--profile", help=f"policy profile to start from (with --local: {DEFAULT_PROFILE})")
    init.add_argument("--policy", help="policy file to copy")
    init.add_argument("--root", help="pinned root file from the operator")
    init.add_argument("--address", help="the collector, https://...")
    init.add_argument("--code", help="claim code from the operator")
    init.add_argument("--suite", choices=list(SUITES), default="hpke-9-ke", help="hpke-4-ke is for metered links")
    init.add_argument("--name", default="site", help="what to call the site on this device")
    init.add_argument("--grant", action="append", default=[], metavar="PURPOSE", help="with --local: consent given")
    init.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """
    Make a site.
    """
    if arguments.local is not None:
        return _run_local(arguments, Path(arguments.local))
    missing = [said for said, given in (
        ("a folder", arguments.folder), ("--root", arguments.root), ("--address", arguments.address),
        ("--code", arguments.code), ("--policy or --profile", arguments.policy or arguments.profile),
    ) if not given]  # fmt: skip
    if missing:
        raise ConfigError(f"init also needs {', '.join(missing)}", hint="to try it out: edge-sdk init --local DIR")
    folder = Path(arguments.folder)
    root = read_given(Path(arguments.root), _ROOT_LIMIT)
    pinned_root(root)
    _write_site(folder, arguments, policy=arguments.policy or arguments.profile, address=arguments.address)
    files.write(folder / "root.cose", root, 0o644)
    version = _enrol(folder, arguments.code)
    print(f"enrolled; statement version {version}; configuration in {folder / 'site.toml'}")
    return 0


def _run_local(arguments: argparse.Namespace, folder: Path) -> int:
    policy = arguments.policy or arguments.profile or DEFAULT_PROFILE
    _refuse_a_second(folder / "site.toml")
    port = _free_port()
    wanted = find_policy(policy)
    founded = found(
        folder / "collector", [wanted], region=_LOCAL, mechanism=Mechanism.NONE,
        granted=arguments.grant, test=True, suite=arguments.suite, elsewhere=local_places(wanted),
    )  # fmt: skip
    _write_site(folder, arguments, policy=policy, address=f"http://127.0.0.1:{port}", jitter="1s")
    files.write(folder / "root.cose", files.read(founded.root_path, _ROOT_LIMIT), 0o644)
    with _Serving(folder / "collector", port):
        from edge_sdk.collector.folder import enrol_code

        _enrol(folder, enrol_code(folder / "collector", now_s=wall_s()))
    print(f"site       {folder / 'site.toml'}   (TEST root: not for real households)")
    print(f"policy     {folder / 'policy.toml'}")
    print(f"collector  edge-sdk collector serve {folder / 'collector'} --port {port}")
    print(f"readings   edge-sdk replay READINGS.jsonl --config {folder / 'site.toml'}")
    print(f"rows       edge-sdk collector rows {folder / 'collector'}")
    return 0


def local_places(policy: Policy) -> dict[str, tuple[str, Mechanism]]:
    """
    Return, for trying out, a region and mechanism for each recipient by which its purposes can reach it.
    """
    regions: dict[str, set[str]] = {}
    reach = None if policy.terms is None else policy.terms.reach
    for purpose in policy.purposes.values():
        regions.setdefault(purpose.recipient, set(purpose.regions)).intersection_update(purpose.regions)
    places = {}
    for operator, shared in regions.items():
        if not shared:
            raise ConfigError(f"the purposes of {operator} share no region", hint="use 'edge-sdk collector init'")
        at_home = shared.intersection((_LOCAL,) if reach is None else reach.home)
        region = min(at_home or shared)
        abroad = reach is not None and region not in reach.home
        places[operator] = (region, reach.transfer[-1] if reach is not None and abroad else Mechanism.NONE)
    return places


def _write_site(
    folder: Path, arguments: argparse.Namespace, *, policy: str, address: str, jitter: str = "30s"
) -> None:
    find_policy(policy)  # refuse a wrong policy before anything is made
    site = folder / "site.toml"
    _refuse_a_second(site)
    files.make_folder(folder)
    files.write(folder / "policy.toml", policy_text(policy).encode("utf-8"), 0o644)
    content = SITE.format(name=arguments.name, address=address, jitter=jitter, suite=arguments.suite)
    files.write(site, content.encode("utf-8"), 0o644)
    try:
        Config.read(site)
    except EdgeError:
        files.remove(site)
        raise


def _refuse_a_second(site: Path) -> None:
    """
    Refuse where a site works already; one whose enrolment failed (a wrong code, no network) is made again.
    """
    if files.exists(site) and is_enrolled(Config.read(site)):
        raise ConfigError(f"{site} is there already, and enrolled", hint="use another folder, or wipe that site first")


def _enrol(folder: Path, code: str) -> int:
    config = Config.read(folder / "site.toml")

    async def introduce() -> int:
        transport = transport_to(config, config.address)
        try:
            return await enrol(config, code, transport)
        finally:
            await transport.close()

    return asyncio.run(introduce())


class _Serving:
    """
    A collector process for as long as a block lasts.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self._command = [sys.executable, "-m", "edge_sdk", "collector", "serve", str(folder), "--port", str(port)]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own command
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise UplinkError("the collector did not start", hint="run: " + " ".join(self._command[3:]))

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.communicate(timeout=_START_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
