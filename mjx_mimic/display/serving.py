"""The web page of a live view, from the first request to Ctrl-C."""

import contextlib
import io
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import viser
from viser import _messages

from mjx_mimic.common.errors import UserError
from mjx_mimic.display.browser_page import FRAMES_PER_SECOND, BrowserView
from mjx_mimic.display.playable import Playable
from mjx_mimic.display.session import Session, run
from mjx_mimic.display.visitors import Visitors


def serve(
    open_playable: Callable[[], Playable], speed: float, *, host: str, port: int, share: bool = False
) -> None:
    """Serve a web page until it is interrupted.

    Args:
        open_playable: loads what is shown, once the page has its address.
        speed: times real time.
        host: address to serve at.
        port: 0 is any free one.
        share: ask viser's relay for a public address too.

    Raises:
        UserError: there is no such address, the port is in use, or there is no public address to be had.
    """
    server, visitors = open_server(host, port)
    try:
        if share:  # before JAX: viser starts a process for it, and forks
            address = server.request_share_url(verbose=False)
            if address is None:
                raise UserError("option --share: viser's server gave no address; try again, or leave it out")
            visitors.names.add(urlsplit(address).hostname or "")
            print(f"look from anywhere at {address}", flush=True)
        view = BrowserView(Session(open_playable(), speed), server)
        here = "localhost" if host in ("127.0.0.1", "0.0.0.0") else host
        print(f"look at http://{here}:{server.get_port()} ; Ctrl-C ends it", flush=True)
        run(view.session, view.draw, lambda: True, FRAMES_PER_SECOND)
    except KeyboardInterrupt:
        print("ended")
    finally:
        with contextlib.redirect_stdout(io.StringIO()):  # viser's farewell
            server.stop()


def open_server(host: str, port: int) -> tuple[viser.ViserServer, Visitors]:
    """Start to serve an empty page, to its own visitors only; port 0 is any free one.

    Raises:
        UserError: there is no such address here, or the port is in use or not ours to use.
    """
    # viser takes the next free port in silence, and waits for ever at an address that is not here.
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise UserError(
            f"options --host and --port: cannot serve at {host}:{port} ({error.strerror}); choose another"
            " port, or 0 for any free one"
        ) from None
    visitors = Visitors(host)
    with contextlib.redirect_stdout(io.StringIO()), visitors.checked_by_new_servers():  # its banner
        server = viser.ViserServer(host=host, port=port, verbose=False)
    # A public address is the option's to ask for, and not a visitor's.
    for request in (_messages.ShareUrlRequest, _messages.ShareUrlDisconnect):
        server._websock_server.unregister_handler(request)
    if not visitors.checked:
        server.stop()
        raise UserError(f"viser {viser.__version__} cannot be kept to its visitors; install viser 1.1")
    return server, visitors
