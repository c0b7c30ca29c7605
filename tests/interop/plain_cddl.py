"""
SPEC.md's CDDL in the part of the language that zcbor reads: the same rules, written out.

zcbor 0.9 knows no parameters of rules, no ``.regexp``, sizes of ``bstr`` but not of ``bytes``, no occurrence without a
lower bound, and takes the name before a colon for a key where a rule has that name. So parameters are put in, names of
array entries are numbered, and regular expressions are left out: the one place where this says less than SPEC.md.
"""

from __future__ import annotations

import re
from typing import Final

_HEAD: Final = re.compile(r"^([a-z][a-z0-9-]*)(?:<([^>]*)>)?\s*=\s", re.M)
_OCCURS: Final = re.compile(r"\s*(?:(?:\d+\*\d*|[?*+])\s*)?")
_CLOSED_BY: Final = {"[": "]", "{": "}", "(": ")", "<": ">"}


def plain(cddl: str) -> str:
    """
    Return *cddl* without what zcbor does not read.
    """
    text = re.sub(r'("[^"\n]*")|;.*', lambda found: found[1] or "", cddl)
    text = _parameters_put_in(text)
    text = re.sub(r'(?<![\w"-])[a-z][a-z-]*:\s*', "", text)  # names of entries: all keys of this CDDL are numbers
    text = re.sub(r"(?<![\w*])\*(\d+)", r"0*\1", text)
    text = re.sub(r' \.regexp "[^"]*"', "", text)
    text = re.sub(r"(?<![\w-])bytes(?![\w-])", "bstr", text)
    return _numbered(_cbor_in_parentheses(text))


def _parameters_put_in(text: str) -> str:
    heads = list(_HEAD.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    rules = {
        head[1]: ([name.strip() for name in (head[2] or "").split(",") if name], text[head.end() : end].strip())
        for head, end in zip(heads, ends, strict=True)
    }
    generic = {name: rule for name, rule in rules.items() if rule[0]}
    used = re.compile(r"(?<![\w-])(" + "|".join(map(re.escape, generic)) + r")<")
    lines = []
    for name, (parameters, body) in rules.items():
        while found := used.search(body):
            end = _end_of(body, found.end() - 1)
            body = body[: found.start()] + _filled(generic[found[1]], body[found.end() : end - 1]) + body[end:]
        if not parameters:
            lines.append(f"{name} = {body}\n")
    return "".join(lines)


def _filled(rule: tuple[list[str], str], arguments: str) -> str:
    parameters, body = rule
    given = dict(zip(parameters, _at_commas(arguments), strict=True))
    names = "|".join(map(re.escape, parameters))
    return re.sub(rf"(?<![\w-])({names})(?![\w:-])", lambda found: given[found[1]], body)


def _at_commas(text: str) -> list[str]:
    parts, start, at = [], 0, 0
    while at < len(text):
        if text[at] in _CLOSED_BY:
            at = _end_of(text, at)
        elif text[at] == '"':
            at = text.index('"', at + 1) + 1
        else:
            if text[at] == ",":
                parts.append(text[start:at].strip())
                start = at + 1
            at += 1
    return [*parts, text[start:].strip()]


def _end_of(text: str, start: int) -> int:
    opening, closing, depth = text[start], _CLOSED_BY[text[start]], 0
    for at in range(start, len(text)):
        depth += (text[at] == opening) - (text[at] == closing)
        if not depth:
            return at + 1
    raise ValueError(f"{opening} is not closed")


def _cbor_in_parentheses(text: str) -> str:
    while found := re.search(r"\.cbor\s+(?=[\[{])", text):
        end = _end_of(text, found.end())
        text = f"{text[: found.start()]}.cbor ({text[found.end() : end]}){text[end:]}"
    return text


def _numbered(text: str) -> str:
    # Each entry gets a name of its own; zcbor keeps what it reads by name and refuses two of one name.
    out: list[str] = []
    open_groups: list[bool] = []
    at = number = 0
    while at < len(text):
        if text[at] == '"':
            end = text.index('"', at + 1) + 1
            out.append(text[at:end])
            at = end
            continue
        sign = text[at]
        begins = sign == "," and bool(open_groups) and open_groups[-1]
        if sign in "[{(":
            begins = sign != "(" or not re.search(r"(\.size|\.cbor|#6\.\d+)\s*$", "".join(out[-12:]))
            open_groups.append(begins)
        elif sign in "]})":
            open_groups.pop()
        out.append(sign)
        at += 1
        if begins:
            occurs = _OCCURS.match(text, at)
            assert occurs is not None
            at = occurs.end()
            out.append(occurs[0])
            if text[at] not in "(])}":
                out.append(f"e{number}: ")
                number += 1
    return "".join(out)
