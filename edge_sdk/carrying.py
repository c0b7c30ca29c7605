"""
The guard around a transport that somebody else wrote: a mistake in it shows, and stops neither the line nor a wipe.

Whatever a transport raises beside what its protocol allows, and whatever it returns that is no response, becomes a
:class:`TransportFault` that says what and where, never a value. Retrying is the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping

from edge_sdk.errors import TransportFault, UplinkError
from edge_sdk.events import Event, tell
from edge_sdk.transport import Request, Response, Transport


async def carry(transport: Transport, request: Request) -> Response:
    """
    Return what *transport* answers to *request*; a mistake in it stops nobody and is not hidden.

    Raises:
        UplinkError, OSError: there was no answer.
        TransportFault: it raised anything else, or returned no response; says what and where, never a value.
    """
    try:
        response = await transport.send(request)
    except (UplinkError, OSError):
        raise
    except Exception as error:
        name, line = _place(error)
        tell(Event.TRANSPORT_FAULT, line=line)
        raise TransportFault(
            f"the transport raised {type(error).__name__} in line {line} of {name}", hint="mend the transport"
        ) from error
    if not _is_response(response):
        tell(Event.TRANSPORT_FAULT, line=0)
        raise TransportFault(
            f"the transport returned {type(response).__name__} that is no response", hint="mend the transport"
        )
    return response


async def let_go(transport: Transport) -> None:
    """
    Close what *transport* has open; a mistake in its close() is told and stops nobody.
    """
    try:
        await transport.close()
    except Exception as error:  # noqa: BLE001 - whoever wrote it may raise anything
        tell(Event.TRANSPORT_FAULT, line=_place(error)[1])


def _is_response(answer: object) -> bool:
    if not isinstance(answer, Response):
        return False
    parts: tuple[tuple[object, type], ...] = (
        (answer.status, int), (answer.headers, Mapping), (answer.body, bytes),
    )  # fmt: skip
    return all(isinstance(part, wanted) for part, wanted in parts)


def _place(error: Exception) -> tuple[str, int]:
    """
    Return file name and line of where *error* was raised.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "?", 0
    return trace.tb_frame.f_code.co_filename.rpartition("/")[2], trace.tb_lineno
