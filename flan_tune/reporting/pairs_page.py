"""A local page on which people rate pairs of outputs without knowing whose they are.

The server listens on this machine alone, and the browser is sent texts, positions and sides, never a system's
name, file or letter. Requests of other pages are refused: they lack the page's token and its host name.
"""

import contextlib
import functools
import hmac
import http.server
import importlib.resources
import json
import secrets
import socket
import threading
import urllib.parse
from collections.abc import Sequence
from typing import Any

import jinja2

from flan_tune.errors import RunError, UserError
from flan_tune.evaluation.raters.pairs import JUDGE, Pair, Rating, Ratings, Shown, order_for

ADDRESS = '127.0.0.1'
_NAME_MOST = 80
_BODY_MOST = 1 << 14


class Refused(Exception):
    """A request that is not answered: a status of HTTP and why."""

    def __init__(self, status: int, why: str):
        super().__init__(why)
        self.status = status


class Session:
    """What the page shows and takes, without HTTP. Several raters may be at work at once."""

    def __init__(self, pairs: Sequence[Pair], ratings: Ratings, *, seed: int = 0, rater: str = ''):
        self.rater = rater
        self._pairs, self._ratings, self._seed = list(pairs), ratings, seed
        self._orders: dict[str, list[Shown]] = {}
        self._lock = threading.Lock()

    def view(self, rater: str, at: int | None = None) -> dict[str, Any]:
        """Returns the pair in place `at` of the rater's order (default: the first without a rating).

        `at`, `total`, `rated`, and for a pair `inputs`, `left`, `right` and `choice` ('left', 'right', 'tie'
        or None). Behind the last pair (`at` == `total`) there is none.
        """
        order = self._order(rater)
        rated = self._ratings.of(rater)
        if at is None:
            unrated = (i for i, shown in enumerate(order) if shown.pair.id not in rated)
            at = next(unrated, len(order))
        if not isinstance(at, int) or not 0 <= at <= len(order):
            raise Refused(400, f'there is no pair {at}')
        view = {'at': at, 'total': len(order), 'rated': len(rated)}
        if at == len(order):
            return view
        shown = order[at]
        return view | {
            'inputs': shown.pair.inputs,
            'left': shown.pair.text(shown.left),
            'right': shown.pair.text(shown.right),
            'choice': _side(rated.get(shown.pair.id), shown),
        }

    def rate(self, rater: str, at: Any, choice: Any) -> dict[str, Any]:
        """Appends a rating ('left', 'right' or 'tie') and returns the next view; raises RunError if it cannot."""
        order = self._order(rater)
        if not isinstance(at, int) or not 0 <= at < len(order):
            raise Refused(400, f'there is no pair {at}')
        shown = order[at]
        sides = {'left': shown.left, 'right': shown.right, 'tie': 'tie'}
        if choice not in tuple(sides):
            raise Refused(400, f'{choice!r} is no choice')
        with self._lock:
            self._ratings.add([Rating(shown.pair.id, rater, sides[choice], shown.left)])
        return self.view(rater)

    def _order(self, rater: Any) -> list[Shown]:
        if not isinstance(rater, str) or not rater.strip() or not rater.isprintable():
            raise Refused(400, 'give a name')
        if len(rater) > _NAME_MOST or rater.startswith(JUDGE):
            raise Refused(
                400, f'a name has at most {_NAME_MOST} letters and does not begin with {JUDGE!r}'
            )
        if rater not in self._orders:
            self._orders[rater] = order_for(self._pairs, self._seed, rater)
        return self._orders[rater]


class PairsServer(http.server.ThreadingHTTPServer):
    """Serves a session at `url`; port 0 is any free one.

    Raises:
        UserError: the port is taken or not allowed.
    """

    daemon_threads = True

    def __init__(self, session: Session, port: int = 0):
        self.session = session
        self._open: set[socket.socket] = set()
        self.token = secrets.token_urlsafe(16)
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UserError(f'--port={port}: {error}; 0 takes a free one.') from error

    @property
    def url(self) -> str:
        return f'http://{ADDRESS}:{self.server_port}/'

    def page(self, nonce: str) -> bytes:
        return _template().render(token=self.token, rater=self.session.rater, nonce=nonce).encode()

    def process_request(self, request, client_address):
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self):
        """Closes the connections too that a browser has opened ahead of what it may ask."""
        super().server_close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: PairsServer
    timeout = 60

    def do_GET(self):
        self._answer(self._get)

    def do_POST(self):
        self._answer(self._post)

    def log_message(self, *arguments):
        """A terminal full of requests helps nobody."""

    def _answer(self, work):
        try:
            self._check_host()
            work()
        except Refused as refused:
            self._send_json({'error': str(refused)}, refused.status)
        except RunError as error:
            self._send_json({'error': str(error)}, 500)
        except ConnectionError:
            self.close_connection = True  # The browser is gone.

    def _get(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == '/':
            nonce = secrets.token_urlsafe(16)
            policy = (
                f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
                "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            )
            headers = {'Content-Security-Policy': policy}
            self._send(self.server.page(nonce), 'text/html; charset=utf-8', headers=headers)
        elif url.path == '/pair':
            self._check_token()
            fields = dict(urllib.parse.parse_qsl(url.query))
            at = fields.get('at')
            if at is not None and not (at.isascii() and at.isdigit() and len(at) < 10):
                raise Refused(400, f'there is no pair {at}')
            view = self.server.session.view(fields.get('rater'), None if at is None else int(at))
            self._send_json(view)
        else:
            raise Refused(404, 'there is no such page')

    def _post(self):
        if self.path != '/rating':
            raise Refused(404, 'there is no such page')
        self._check_token()
        length = self.headers.get('Content-Length', '')
        if not (length.isascii() and length.isdigit()) or int(length) > _BODY_MOST:
            raise Refused(413, 'the request has no length, or is too long')
        try:
            fields = json.loads(self.rfile.read(int(length)))
            arguments = [fields[name] for name in ('rater', 'at', 'choice')]
        except (ValueError, TypeError, KeyError) as error:
            raise Refused(400, f'not a rating: {error}') from error
        self._send_json(self.server.session.rate(*arguments))

    def _check_host(self):
        """A page whose name someone points at this machine is not ours."""
        port = self.server.server_port
        if self.headers.get('Host') not in (f'{ADDRESS}:{port}', f'localhost:{port}'):
            raise Refused(403, 'wrong host')

    def _check_token(self):
        given = self.headers.get('X-Token', '')
        if not hmac.compare_digest(given.encode(), self.server.token.encode()):
            raise Refused(409, 'the server was started again; reload the page')

    def _send_json(self, document: dict[str, Any], status: int = 200):
        data = json.dumps(document).encode()
        self._send(data, 'application/json', status)

    def _send(
        self, data: bytes, kind: str, status: int = 200, headers: dict[str, str] | None = None
    ):
        self.send_response(status)
        common = {
            'Content-Type': kind,
            'Content-Length': str(len(data)),
            'Cache-Control': 'no-store',
            'X-Content-Type-Options': 'nosniff',
            'Referrer-Policy': 'no-referrer',
        }
        for name, value in (common | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _side(rating: Rating | None, shown: Shown) -> str | None:
    if rating is None or rating.choice == 'tie':
        return rating and 'tie'
    return 'left' if rating.choice == shown.left else 'right'


@functools.cache
def _template() -> jinja2.Template:
    text = (
        importlib.resources.files('flan_tune.reporting').joinpath('pairs.html').read_text('utf-8')
    )
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(text)
