"""
A site and its agent for firmware that hands over readings of inverters, and the rows that come of them.

Owns: a policy with the names that the examples use, the header generated from it, and a run of one program from the
first grant to opened rows at the collector.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from edge_sdk import Gateway
from tests.agent.house import House, agent, warmed
from tests.cli.command import run as edge_sdk
from tests.inverter import ENERGY, head, power
from tests.shim.building import SHIM, run
from tests.site import LocalSite, local_site, reached

EXAMPLES: Final = SHIM / "examples"
POLICY: Final = head("inverters", 'online = { class = "telemetry", type = "bool" }', power("ac_power"), ENERGY) + """
[purposes.monitoring]
basis = "contract"
dpv = "dpv:RequestedServiceProvision"
recipient = "operator-eu"
regions = ["EU"]
importance = 10
keep_at_most = "30d"
[purposes.monitoring.views.inverter.fields]
serial = "keep"
online = "keep"
ac_power = { round = 0.1 }
energy = "keep"
"""


def site_in(folder: Path) -> LocalSite:
    """
    Return a site that collects, although its collector is not up.
    """
    return warmed(local_site(folder, granted=(), policy=POLICY))


def agent_of(folder: Path, site: LocalSite) -> AbstractContextManager[House]:
    """
    Lend the agent of a site.
    """
    return agent(folder, site)


def header(site: LocalSite) -> Path:
    """
    Return the folder with the header that ``edge-sdk shim header`` made of the site's policy.
    """
    made = edge_sdk("shim", "header", str(site.config.policy))
    assert made.code == 0, made.err
    folder = site.folder / "generated"
    folder.mkdir(exist_ok=True)
    (folder / "edge_ids.h").write_text(made.out)
    return folder


def compile_example(name: str, ids: Path, target: Path, *, compiler: Sequence[str] = ("gcc",)) -> Path:
    """
    Build an example for this machine or, with another compiler, for another one.
    """
    program = target / Path(name).stem
    if name.endswith(".cc"):
        run(*compiler, "-std=c99", "-Os", "-c", SHIM / "edge_shim.c", "-o", target / "edge_shim.o")
        run("g++", "-std=c++98", f"-I{SHIM}", f"-I{ids}", EXAMPLES / name, target / "edge_shim.o", "-o", program)
    else:
        sources = (EXAMPLES / name, SHIM / "edge_shim.c")
        run(*compiler, "-std=gnu99", "-Os", f"-I{SHIM}", f"-I{ids}", *sources, "-o", program, "-lpthread")
    return program


def delivered(site: LocalSite) -> list[tuple[str, ...]]:
    """
    Send what the site has and return the rows that were opened: (online, power, energy, serial) in words, sorted.
    """
    with reached(site.collector) as transport, Gateway.open(site.config, transport=transport) as gateway:
        assert gateway.drain() == 0
    return sorted(words(row.fields) for row in site.rows())


def words(fields: dict[str, Any]) -> tuple[str, ...]:
    """
    Return a row in words, its fields by name.
    """
    return tuple(str(fields[name]) for name in ("serial", "ac_power", "energy", "online") if name in fields)
