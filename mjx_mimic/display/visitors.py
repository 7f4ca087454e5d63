"""Who may use the web page of a live view: whoever opened it at its own address, and no other web page.

Any page that is open in a browser may connect to a WebSocket on the same machine. The browser tells the
server which page asks (the header Origin), and viser does not look at it.
"""

import contextlib
import http
import ipaddress
import socket
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import websockets.asyncio.server
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response


class Visitors:
    """Refuses requests that come to another name than the server's, or from another page than its own."""

    def __init__(self, host: str) -> None:
        """Name the host that the server listens at; every numeric address is this machine's too."""
        self.names = {"localhost", host.lower(), socket.gethostname().lower()}
        self.checked = False
        """Whether a server asks here."""

    @contextlib.contextmanager
    def checked_by_new_servers(self) -> Iterator[None]:
        """Have the server that viser opens in this context ask here, before it answers a request."""
        serve = websockets.asyncio.server.serve

        def checking_serve(*arguments: Any, process_request: Callable, **options: Any) -> Any:
            self.checked = True

            def process(connection: ServerConnection, request: Request) -> Any:
                return self._refused(connection, request) or process_request(connection, request)

            return serve(*arguments, process_request=process, **options)

        with mock.patch.object(websockets.asyncio.server, "serve", checking_serve):
            yield

    def _refused(self, connection: ServerConnection, request: Request) -> Response | None:
        hosts, origins = (request.headers.get_all(name) for name in ("Host", "Origin"))
        text = self.refusal(hosts, origins, bool(request.headers.get_all("Upgrade")))
        return None if text is None else connection.respond(http.HTTPStatus.FORBIDDEN, text + "\n")

    def refusal(self, hosts: list[str], origins: list[str], upgrade: bool) -> str | None:
        """Say why a request is refused; None if it is not.

        Args:
            hosts: its headers Host: the address that the visitor has opened.
            origins: its headers Origin: the page that asks; browsers always send one with a WebSocket.
            upgrade: whether it asks for a WebSocket.
        """
        # A page elsewhere may let its own name point to this machine; by its Origin it is then at home here.
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return "This is not the address of the page; open it by number, or give its name as --host."
        if upgrade and [_address(origin) for origin in origins] != [hosts[0].lower()]:
            return "Only the page itself may connect."
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self.names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _address(origin: str) -> str:
    """Return host and port of an origin such as `http://localhost:8080`."""
    return origin.partition("://")[2].lower()
