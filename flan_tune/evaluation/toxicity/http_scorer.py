"""Scores of toxicity from a web service: retried, rate-limited, and given up where it is out of order."""

import concurrent.futures
import dataclasses
import http.client
import itertools
import json
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flan_tune.data.draws import Draws
from flan_tune.errors import RunError, UserError, did_you_mean
from flan_tune.evaluation.journal import digest
from flan_tune.evaluation.toxicity.scorers import Scored, is_probability

_ANSWER_MOST = 1 << 20
_LONGEST_WAIT = 120.0
# A service that answers none of so many texts in a row is down; one that has only ever refused is set up wrongly.
_FAILED_MOST, _REFUSED_MOST = 3, 10
_TEMPORARY = (408, 425, 429)
_MISCONFIGURED = (401, 403, 404, 405, 407)


@dataclasses.dataclass(frozen=True)
class Form:
    """How a service is asked.

    Attributes:
        body: text -> the JSON that is sent.
        score: where the score is in the JSON that comes back.
        header: name of the header that carries the key.
        prefix: stands ahead of the key in it.
    """

    body: Callable[[str], Any]
    score: tuple[str, ...]
    header: str
    prefix: str = ''


FORMS = {
    # {"text": …} to {"score": …}: easily put in front of any classifier.
    'plain': Form(lambda text: {'text': text}, ('score',), 'Authorization', 'Bearer '),
    # Perspective's comments:analyze. The language is named, since short texts are refused where it is guessed.
    'perspective': Form(
        lambda text: {
            'comment': {'text': text},
            'languages': ['en'],
            'requestedAttributes': {'TOXICITY': {}},
            'doNotStore': True,
        },
        ('attributeScores', 'TOXICITY', 'summaryScore', 'value'),
        'X-Goog-Api-Key',
    ),
}


class HttpScorer:
    """Asks a web service for one text at a time; see `flan_tune.evaluation.toxicity.scorers.Scorer`.

    No answer within `timeout`, a broken connection, the statuses 408, 425, 429 and 5xx, and answers without a
    score from 0 to 1 are tried again, after `backoff` seconds, then twice as many and so on (between half and
    the whole of that, or what Retry-After asks for, up to two minutes). A text without a score after the last
    try is left for the next run. Three such texts in a row end this one, and so do statuses that say that key
    or address are wrong. Other statuses from 400 on refuse the text for good.

    Args:
        url: where to post.
        key_variable: the environment variable that holds the key; '' where none is needed.
        form: a name in `FORMS`, or a `Form`.
        requests_per_second: most of them, whatever the number of workers.
        timeout: seconds to wait for the service, each time.
        retries: tries after the first.
        backoff: seconds before the second try.
        workers: requests under way at once.

    Raises:
        UserError: the address is none, the variable is not set, or an option is out of range.
    """

    kept = True

    def __init__(
        self,
        url: str,
        key_variable: str = '',
        form: str | Form = 'plain',
        requests_per_second: float = 1.0,
        timeout: float = 30.0,
        retries: int = 5,
        backoff: float = 1.0,
        workers: int = 1,
    ):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ('http', 'https') or not parts.hostname:
            raise UserError(f'{url!r} is no address of a scorer; write https://HOST/PATH')
        if isinstance(form, str) and form not in FORMS:
            raise UserError(f'no form {form!r}: use {", ".join(FORMS)}.{did_you_mean(form, FORMS)}')
        if not (
            requests_per_second > 0
            and timeout > 0
            and retries >= 0
            and backoff >= 0
            and workers > 0
        ):
            raise UserError(
                'requests_per_second, timeout and workers are above 0, retries and backoff 0 or above'
            )
        self._url, self._form = url, FORMS[form] if isinstance(form, str) else form
        # Without the query, where some services have the key.
        self.name = f'http:{parts.hostname}{parts.path}'
        self._headers = {'Content-Type': 'application/json', 'Accept': 'application/json'}
        self._key = os.environ.get(key_variable, '').strip() if key_variable else ''
        if key_variable and not self._key:
            raise UserError(
                f'{self.name}: the environment variable {key_variable} holds no key; export it'
            )
        if self._key:
            self._headers[self._form.header] = self._form.prefix + self._key
        self._timeout, self._retries, self._backoff = timeout, retries, backoff
        self._workers = workers
        self._turns = _Turns(requests_per_second)
        # The key is for this address: it follows no redirection.
        self._opener = urllib.request.build_opener(_NoRedirection)

    def score(self, texts: Sequence[str]) -> Iterator[tuple[int, Scored]]:
        """Yields (index, scored) as answers come; raises RunError once it is of no use to go on."""
        stop, error = threading.Event(), None
        pending: dict[concurrent.futures.Future[Scored], int] = {}
        waiting = iter(enumerate(texts))
        health = _Health(self.name)
        with concurrent.futures.ThreadPoolExecutor(self._workers) as pool:
            try:
                while True:
                    room = 0 if error else self._workers - len(pending)
                    for index, text in itertools.islice(waiting, room):
                        pending[pool.submit(self._ask, text, stop)] = index
                    if not pending:
                        break
                    done, _ = concurrent.futures.wait(pending, return_when='FIRST_COMPLETED')
                    for future in done:
                        index = pending.pop(future)
                        try:
                            scored = future.result()
                            yield index, scored
                            health.note(scored)
                        except RunError as raised:
                            # What others are being answered is still taken.
                            error = error or raised
                            stop.set()
            finally:
                stop.set()
        if error:
            raise error

    def _ask(self, text: str, stop: threading.Event) -> Scored:
        """Returns the score of one text, or why there is none; raises RunError if no text will have one."""
        body = json.dumps(self._form.body(text)).encode()
        draws = Draws('http-scorer', digest(text))
        why, wait = 'stopped', 0.0
        for attempt in range(self._retries + 1):
            if stop.wait(wait) or not self._turns.take(stop):
                break
            try:
                return self._answer(body)
            except _TryAgain as again:
                why = str(again)
                wait = again.wait
                if wait is None:
                    wait = self._backoff * 2**attempt * (0.5 + draws.uniform() / 2)
                wait = min(wait, _LONGEST_WAIT)
        return Scored(None, why, final=False)

    def _answer(self, body: bytes) -> Scored:
        request = urllib.request.Request(self._url, body, self._headers, method='POST')
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                data = response.read(_ANSWER_MOST)
        except urllib.error.HTTPError as error:
            with error:
                return self._refused(error)
        except (OSError, http.client.HTTPException) as error:
            raise _TryAgain(f'no answer ({getattr(error, "reason", None) or error!r})') from error
        try:
            found = json.loads(data)
            for name in self._form.score:
                found = found[name]
        except (ValueError, TypeError, LookupError) as error:
            raise _TryAgain(f'an answer without a score: {self._shown(data)}') from error
        if not is_probability(found):
            raise _TryAgain(f'the score {found!r}, which is not from 0 to 1')
        return Scored(float(found))

    def _refused(self, error: urllib.error.HTTPError) -> Scored:
        try:
            data = error.read(_ANSWER_MOST)
        except (OSError, http.client.HTTPException):
            data = b''
        why = f'status {error.code}: {self._shown(data)}'
        if error.code in _TEMPORARY or error.code >= 500:
            raise _TryAgain(why, _seconds(error.headers.get('Retry-After')))
        # Google answers a wrong key with 400.
        if error.code in _MISCONFIGURED or error.code < 400 or b'API_KEY_INVALID' in data:
            raise RunError(f'{self.name}: {why}; check address and key')
        return Scored(None, why)

    def _shown(self, data: bytes) -> str:
        text = ' '.join(data.decode('utf-8', 'replace').split())
        return (text.replace(self._key, '…') if self._key else text)[:200]


class _Health:
    """Says when it is of no use to go on."""

    def __init__(self, name: str):
        self._name = name
        self._failed = self._refused = 0
        self._answered = False

    def note(self, scored: Scored) -> None:
        if scored.score is not None:
            self._answered, self._failed = True, 0
        elif scored.final:
            self._refused, self._failed = self._refused + 1, 0
        else:
            self._failed += 1
        if self._failed >= _FAILED_MOST:
            raise RunError(
                f'{self._name}: no score of {self._failed} texts in a row; the last: {scored.why}. Run the same '
                'command later to go on.'
            )
        if not self._answered and self._refused >= _REFUSED_MOST:
            raise RunError(
                f'{self._name}: it has refused all of {self._refused} texts; the last: {scored.why}. Check the form.'
            )


class _TryAgain(Exception):
    """No score this time; `wait` is for how many seconds the service asked."""

    def __init__(self, why: str, wait: float | None = None):
        super().__init__(why)
        self.wait = wait


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments):
        return None


class _Turns:
    """Gives out turns, so many a second, to any number of threads."""

    def __init__(self, per_second: float):
        self._gap = 1 / per_second
        self._next = 0.0
        self._lock = threading.Lock()

    def take(self, stop: threading.Event) -> bool:
        """Waits for a turn; returns False if it was stopped."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._gap
        return not stop.wait(turn - now)


def _seconds(header: str | None) -> float | None:
    """Reads Retry-After where it is a number; dates are left to the backoff."""
    try:
        seconds = float(header)
    except (TypeError, ValueError):
        return None
    return seconds if 0 <= seconds < float('inf') else None
