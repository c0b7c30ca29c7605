"""
``edge-sdk demo``: the whole line on measured power of real plants, then proof of what left and what did not.

A collector on SQLite and a gateway run as processes of their own and talk HTTP over loopback, through a relay that
keeps every byte. At the end the rows are opened, compared by value with what was minimised, and every raw identifier
is searched for on disk, in the databases, in the logs and on the wire. Then consent is withdrawn, on the device and by
the operator, and the account is cancelled. Exit 1 when any of what is shown does not hold.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_sdk import files
from edge_sdk.cli import (
    before_after,
    demo_acts,
    demo_canary,
    demo_endings,
    demo_endings_report,
    demo_plant,
    demo_report,
    demo_rows,
)
from edge_sdk.cli.collector import found
from edge_sdk.cli.demo_folders import Folders, fresh, write_readings
from edge_sdk.cli.demo_relay import Relay
from edge_sdk.cli.demo_stage import Child, FolderWatch, finished, hasten, port_of
from edge_sdk.cli.demo_upload import upload_of
from edge_sdk.cli.given import described
from edge_sdk.cli.progress import progress
from edge_sdk.cli.wire import exchanges
from edge_sdk.clock import mono_ms, wall_s
from edge_sdk.collector.folder import OpenerReport, enrol_code, open_rows, opener_report
from edge_sdk.core.claims import Mechanism
from edge_sdk.core.policy import Basis, Policy
from edge_sdk.core.table import Row
from edge_sdk.policy_file import find_policy
from edge_sdk.sources.replay import Recorded

EXIT_FAILED = 1
_DRAIN_S = 40
_SUITE = "hpke-9-ke"
_POST = b"POST /v1/batches HTTP/1.1\r\n"
_DONE = re.compile(r"replay: (\d+) of (\d+)")


@dataclass(frozen=True, slots=True)
class Played:
    """
    What a run left behind; ``minimised`` is what this process computed beside it.
    """

    gateway_exit: int
    logs: dict[str, str]
    sent: list[bytes]
    received: list[bytes]
    peak_bytes: int
    fullest: list[bytes]
    minimised: dict[demo_rows.Place, list[Row]]


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add the command.
    """
    saying = "run the whole line on measured power and check it"
    demo = commands.add_parser("demo", help=saying, description=described(__doc__))
    demo.add_argument("--folder", default=".demo", help="made anew each time (default: .demo)")
    demo.add_argument("--policy", default="apsystems_ema", help="a policy file or profile (default: apsystems_ema)")
    demo.add_argument("--short", action="store_true", help="half a day and three hours instead of six days")
    demo.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """
    Run the demo.

    Raises:
        ConfigError: the measured data is not installed, the folder is not the demo's, the policy is wrong.
        UplinkError: a process did not start.
    """
    began_ms = mono_ms()
    measured = demo_plant.find_measured()
    policy = find_policy(arguments.policy)
    folders = fresh(Path(arguments.folder))
    span = demo_plant.SHORT if arguments.short else demo_plant.WHOLE
    readings = demo_plant.household(measured, span, now_ms=wall_s() * 1000)
    parts = demo_acts.split(readings)
    demo_report.show_origin(readings, policy)
    write_readings(folders.readings, parts.main)
    with Relay() as relay:
        minimiser = demo_rows.Minimiser(policy)
        played = play(folders, arguments.policy, policy, parts.main, minimiser, relay)
        _keep(folders, played)
        faults = judge(folders, policy, parts.main, played)
        faults += before_after.show(upload_of(parts.main), exchanges(relay))
        faults += _end(folders, policy, parts, minimiser, relay)
    took_s = (mono_ms() - began_ms) / 1000
    if faults:
        print("\n".join(["edge-sdk demo: FAILED", *(f"  {fault}" for fault in faults)]), file=sys.stderr)
        return EXIT_FAILED
    print(f"all of it holds; {took_s:.1f} s. Rows again: edge-sdk collector rows {folders.collector}")
    return 0


def _end(
    folders: Folders, policy: Policy, parts: demo_acts.Parts, minimiser: demo_rows.Minimiser, relay: Relay
) -> list[str]:
    """
    Play the acts of ending, print each when it is over, and return what does not hold.
    """
    faults, logs = [], dict[str, str]()
    for act in demo_acts.play(folders, policy, parts, minimiser, relay, logs):
        demo_endings_report.show(act, folders)
        faults += demo_endings.judge(act)
    _keep_logs(folders, logs)
    return faults


def play(
    folders: Folders, policy_name: str, policy: Policy, readings: Sequence[Recorded], minimiser: demo_rows.Minimiser,
    relay: Relay,
) -> Played:  # fmt: skip
    """
    Found a collector, enrol a site at it and replay *readings* through it, each in its own process.
    """
    purposes = policy.purposes.values()
    consented = [purpose.name for purpose in purposes if purpose.basis is Basis.CONSENT]
    region = min(set.intersection(*(set(purpose.regions) for purpose in purposes)), default="")
    found(
        folders.collector, [policy], region=region, mechanism=Mechanism.NONE, granted=consented, test=True, suite=_SUITE
    )  # fmt: skip
    site, root = str(folders.site), str(folders.collector / "root.cose")
    with Child(["collector", "serve", str(folders.collector), "--port", "0"]) as collector:
        relay.target = port_of(collector)
        code = enrol_code(folders.collector, now_s=wall_s())
        address = ["--address", f"http://127.0.0.1:{relay.port}", "--root", root, "--code", code]
        enrolled = finished(Child(["init", site, "--policy", policy_name, "--name", "demo", *address]))
        hasten(folders.config)
        with progress("gateway", files.size(folders.readings)) as tell:
            gateway = Child(_replay(folders), lambda line: _pass_on(line, tell))
            with gateway, FolderWatch(folders.state) as watch:
                minimised = minimiser.take(readings)
                gateway_exit = gateway.wait()
    relay.target = None
    logs = {"collector": collector.log, "init": enrolled, "gateway": gateway.log}
    return Played(gateway_exit, logs, relay.sent, relay.received, watch.peak_bytes, watch.fullest, minimised)


def judge(folders: Folders, policy: Policy, readings: Sequence[Recorded], played: Played) -> list[str]:
    """
    Open the rows, print what was found, and return what does not hold, in sentences.
    """
    received = demo_canary.contents(folders.collector)  # before anything is opened
    intake_bytes = sum(map(files.size, files.tree(folders.collector / "intake")))
    opened = list(open_rows(folders.collector))
    compared = demo_rows.compare(demo_rows.views_of(policy), played.minimised, demo_rows.as_minimised(opened))
    demo_report.show_fields(readings, policy)
    demo_report.show_rows(policy, readings, compared, opened)
    at_the_end = files.tree(folders.state)
    amounts = {
        "readings as JSON": files.size(folders.readings),
        "sent on the wire, HTTP heads included": sum(map(len, played.sent)),
        "received on the wire": sum(map(len, played.received)),
        "state folder at its fullest": played.peak_bytes,
        "state folder at the end": sum(map(files.size, at_the_end)),
        "intake's database": intake_bytes,
    }
    demo_report.show_bytes(amounts, len(readings))
    faults = _faults_of_line(compared, played, opener_report(folders.collector))
    return faults + _search(folders, policy, played, received)


def _search(folders: Folders, policy: Policy, played: Played, received: list[bytes]) -> list[str]:
    control = demo_canary.written_out(files.read(folders.readings, 1 << 28))
    places = {
        "state folder, fullest": demo_canary.search(played.fullest),
        "site, at the end": demo_canary.search(demo_canary.contents(folders.site)),
        "collector, unopened": demo_canary.search(received),
        "collector, opened": demo_canary.search(demo_canary.contents(folders.collector, but=folders.opener)),
        "logs": demo_canary.search(log.encode() for log in played.logs.values()),
        "wire": demo_canary.search([*played.sent, *played.received]),
    }
    opened = demo_canary.search(demo_canary.contents(folders.opener))
    demo_report.show_search(policy, {"firmware": control, **places}, opened)
    blind = [f"{field}: the search does not even see it in what the firmware wrote" for field in _absent(control)]
    return demo_canary.leaks(policy, places, opened) + blind


def _absent(control: Counter[str]) -> list[str]:
    return [canary.field for canary in demo_canary.CANARIES if not control[canary.field]]


def _faults_of_line(compared: Sequence[demo_rows.Compared], played: Played, report: OpenerReport) -> list[str]:
    faults = [str(found) for found in compared if found.missing or found.besides]
    if played.gateway_exit:
        last = played.logs["gateway"].strip().rpartition("\n")[2]
        faults.append(f"the gateway ended with {played.gateway_exit}: {last}")
    if not any(_POST in stream for stream in played.sent):
        faults.append("no batch was seen on the wire: the capture missed it")
    if not any(found.opened for found in compared):
        faults.append("no row was opened")
    told = {"gaps": report.gaps, "forks": report.forks, "bodies that do not open": report.set_aside}
    return [*faults, *(f"the opener has {len(found)} {what}" for what, found in told.items() if found)]


def _keep(folders: Folders, played: Played) -> None:
    """
    Leave the capture and the logs for whoever wants to look for themselves.
    """
    for name in ("wire", "logs"):
        files.make_folder(folders.top / name)
    for at, (sent, received) in enumerate(zip(played.sent, played.received, strict=True)):
        files.write(folders.top / "wire" / f"{at}-sent", sent)
        files.write(folders.top / "wire" / f"{at}-received", received)
    _keep_logs(folders, played.logs)


def _keep_logs(folders: Folders, logs: Mapping[str, str]) -> None:
    for name, log in logs.items():
        files.write(folders.top / "logs" / f"{name.replace(' ', '-').replace('/', '_')}.log", log.encode("utf-8"))


def _replay(folders: Folders) -> list[str]:
    return ["replay", str(folders.readings), "--config", str(folders.config), "--cut", "--timeout", str(_DRAIN_S)]


def _pass_on(line: str, tell: Callable[[int], None]) -> None:
    if done := _DONE.match(line):
        tell(int(done[1]))
