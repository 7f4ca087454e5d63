"""The web page of a live view, from the first request to Ctrl-C."""

import contextlib
import io
from collections.abc import Callable
from urllib.parse import urlsplit

from mjx_mimic.common.errors import UserError
from mjx_mimic.display.browser_page import FRAMES_PER_SECOND, BrowserView, open_server
from mjx_mimic.display.playable import Playable
from mjx_mimic.display.session import Session, run


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
