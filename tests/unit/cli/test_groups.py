"""
One command loads one group: the table that says which holds what the groups add, in the order of the help.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil

import pytest

from edge_sdk import cli

PARTS = {"collector_accounts", "collector_incidents", "collector_keys", "collector_receipts"}  # of `edge-sdk collector`


def commands_of(parser: argparse.ArgumentParser) -> list[str]:
    (added,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return list(added.choices)


@pytest.mark.parametrize("group", cli.GROUPS)
def test_a_command_loads_its_group_and_no_other(group: str) -> None:
    for command in cli.GROUPS[group]:
        assert commands_of(cli.parser([command, "--help"])) == list(cli.GROUPS[group])


@pytest.mark.parametrize("words", [[], ["--help"], ["statuss"]])
def test_without_a_command_that_is_known_all_are_there(words: list[str]) -> None:
    assert commands_of(cli.parser(words)) == [command for names in cli.GROUPS.values() for command in names]


def test_no_group_is_left_out() -> None:
    names = [found.name for found in pkgutil.iter_modules(cli.__path__)]
    adding = {name for name in names if hasattr(importlib.import_module(f"edge_sdk.cli.{name}"), "register")}
    assert adding == set(cli.GROUPS) | PARTS
