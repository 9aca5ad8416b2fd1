"""The raters' page: over HTTP, and in a browser where there is one."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from flan_tune.errors import UserError
from flan_tune.evaluation import journal
from flan_tune.evaluation.raters.pairs import Pair, Ratings, order_for
from flan_tune.reporting.pairs_page import PairsServer, Session

HOSTILE = '<script>document.title="owned"</script><img src=x onerror=alert(1)>&amp;\n"\'{{ 7*7 }}'
PAIRS = tuple(Pair(f'p{i}', f'request {i}', f'alpha {i}', f'beta {i}') for i in range(6))


@contextlib.contextmanager
def serving(path, pairs=PAIRS, **options):
    with PairsServer(Session(pairs, Ratings(path, pairs), **options)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def request(server, method, path, body=None, **headers):
    connection = http.client.HTTPConnection('127.0.0.1', server.server_port, timeout=10)
    headers = {'X-Token': server.token} | {k.replace('_', '-'): v for k, v in headers.items()}
    connection.request(method, path, body if body is None else json.dumps(body), headers)
    response = connection.getresponse()
    data = response.read()
    connection.close()
    as_json = response.headers['Content-Type'] == 'application/json'
    return response.status, json.loads(data) if as_json else data.decode(), response.headers


def get(server, path):
    status, document, _ = request(server, 'GET', path)
    assert status == 200, document
    return document


def rate(server, rater, at, choice):
    body = {'rater': rater, 'at': at, 'choice': choice}
    status, document, _ = request(server, 'POST', '/rating', body)
    assert status == 200, document
    return document


def test_a_rater_goes_through_all_pairs_stops_and_goes_on(tmp_path):
    path = tmp_path / 'ratings.jsonl'
    order = order_for(PAIRS, 3, 'ann')
    with serving(path, seed=3) as server:
        view = get(server, '/pair?rater=ann')
        for at in range(4):
            shown = order[at]
            assert view == {
                'at': at, 'total': 6, 'rated': at, 'choice': None, 'inputs': shown.pair.inputs,
                'left': shown.pair.text(shown.left), 'right': shown.pair.text(shown.right),
            }  # fmt: skip
            view = rate(server, 'ann', at, ('left', 'right', 'tie', 'left')[at])
    with serving(path, seed=3) as server:  # Another process, as it were.
        assert get(server, '/pair?rater=ann')['at'] == 4
        assert get(server, '/pair?rater=bo')['at'] == 0
        assert get(server, '/pair?rater=ann&at=1')['choice'] == 'right'
        assert rate(server, 'ann', 1, 'tie')['at'] == 4
        rate(server, 'ann', 4, 'right')
        assert rate(server, 'ann', 5, 'right') == {'at': 6, 'total': 6, 'rated': 6}
    ratings = Ratings(path, PAIRS).of('ann')
    chosen = [ratings[shown.pair.id].choice for shown in order]
    sides = ['left', 'tie', 'tie', 'left', 'right', 'right']
    assert chosen == [
        'tie' if side == 'tie' else shown.left if side == 'left' else shown.right
        for side, shown in zip(sides, order, strict=True)
    ]


def test_the_page_is_blind_and_alone(tmp_path):
    pairs = [Pair('secret_id', 'q', HOSTILE, 'plain')]
    with serving(tmp_path / 'r.jsonl', pairs, rater='"><b>ann') as server:
        status, page, headers = request(server, 'GET', '/')
        view = get(server, '/pair?rater=ann')
    assert status == 200
    assert not re.search(r'(src|href)\s*=|https?:|@import|url\(', page)
    assert 'value="&#34;&gt;&lt;b&gt;ann"' in page and HOSTILE not in page
    policy = headers['Content-Security-Policy']
    assert "default-src 'none'" in policy and 'unsafe' not in policy
    assert sorted(view) == ['at', 'choice', 'inputs', 'left', 'rated', 'right', 'total']
    assert {view['left'], view['right']} == {HOSTILE, 'plain'}
    assert 'secret_id' not in json.dumps(view) + page


@pytest.mark.parametrize(
    ('method', 'path', 'body', 'headers', 'status'),
    [
        ('GET', '/nothing', None, {}, 404),
        ('GET', '/../ratings.jsonl', None, {}, 404),
        ('GET', '/pair', None, {}, 400),
        ('GET', '/pair?rater=%20', None, {}, 400),
        ('GET', '/pair?rater=judge:x', None, {}, 400),
        ('GET', '/pair?rater=a%0Ab', None, {}, 400),
        ('GET', '/pair?rater=ann&at=7', None, {}, 400),
        ('GET', '/pair?rater=ann&at=-1', None, {}, 400),
        ('GET', '/pair?rater=ann', None, {'X_Token': 'old'}, 409),
        ('GET', '/', None, {'Host': 'evil.example'}, 403),
        ('POST', '/rating', {'rater': 'ann', 'at': 0, 'choice': 'left'}, {'X_Token': 'x'}, 409),
        ('POST', '/rating', {'rater': 'ann', 'at': 0, 'choice': 'a'}, {}, 400),
        ('POST', '/rating', {'rater': 'ann', 'at': 6, 'choice': 'left'}, {}, 400),
        ('POST', '/rating', {'rater': 'ann', 'at': '0', 'choice': 'left'}, {}, 400),
        ('POST', '/rating', {'rater': 'ann', 'at': 0, 'choice': ['left']}, {}, 400),
        ('POST', '/rating', {'rater': ['ann'], 'at': 0, 'choice': 'left'}, {}, 400),
        ('POST', '/rating', ['ann'], {}, 400),
        ('POST', '/rating', 'x' * 20000, {}, 413),
        ('POST', '/pair', {}, {}, 404),
    ],
)
def test_requests_that_are_refused_leave_no_rating(tmp_path, method, path, body, headers, status):
    with serving(tmp_path / 'r.jsonl') as server:
        got, document, _ = request(server, method, path, body, **headers)
        assert got == status and document['error']
        assert get(server, '/pair?rater=ann')['rated'] == 0
    assert not (tmp_path / 'r.jsonl').exists()


def test_a_rating_that_cannot_be_kept_is_not_taken(tmp_path, monkeypatch):
    def full(file, data):
        raise OSError(28, 'No space left on device')

    with serving(tmp_path / 'r.jsonl') as server:
        with monkeypatch.context() as patch:
            patch.setattr(journal, '_write', full)
            body = {'rater': 'ann', 'at': 0, 'choice': 'left'}
            status, document, _ = request(server, 'POST', '/rating', body)
        assert status == 500 and 'No space left' in document['error']
        assert get(server, '/pair?rater=ann')['at'] == 0
        assert rate(server, 'ann', 0, 'left')['at'] == 1


def test_raters_at_work_at_once_lose_nothing(tmp_path):
    path = tmp_path / 'r.jsonl'
    with serving(path) as server:

        def work(rater):
            for at in range(6):
                rate(server, rater, at, 'left')

        threads = [threading.Thread(target=work, args=(f'r{i}',)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    ratings = Ratings(path, PAIRS)
    assert [len(ratings.of(f'r{i}')) for i in range(4)] == [6] * 4


def test_a_port_that_is_taken(tmp_path):
    with serving(tmp_path / 'r.jsonl') as server:
        with pytest.raises(UserError, match=f'--port={server.server_port}: '):
            PairsServer(server.session, server.server_port)
        with pytest.raises(UserError, match='--port=70000'):
            PairsServer(server.session, 70000)


CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')
# Chromium's pipe is at descriptors 3 and 4.
_LAUNCH = (
    'import os, sys; os.dup2(int(sys.argv[1]), 13); os.dup2(int(sys.argv[2]), 14);'
    'os.dup2(13, 3); os.dup2(14, 4); os.execvp(sys.argv[3], sys.argv[3:])'
)


class Browser:
    """Headless Chromium over its debugging pipe: messages are JSON, each with a zero byte behind it."""

    def __init__(self, profile: pathlib.Path):
        command_out, self._commands = os.pipe()
        self._answers, answer_in = os.pipe()
        arguments = [str(command_out), str(answer_in), CHROMIUM, '--headless=new', '--no-sandbox']
        arguments += ['--remote-debugging-pipe', '--disable-gpu', '--disable-dev-shm-usage']
        arguments += ['--no-first-run', '--disable-background-networking', '--no-proxy-server']
        self.process = subprocess.Popen(
            [sys.executable, '-c', _LAUNCH, *arguments, f'--user-data-dir={profile}'],
            pass_fds=(command_out, answer_in),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(command_out)
        os.close(answer_in)
        self._buffer, self._number, self._session, self.events = b'', 0, None, []

    def open(self):
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        attached = self.call('Target.attachToTarget', targetId=target, flatten=True)
        self._session = attached['sessionId']
        for domain in ('Page', 'Runtime', 'Network'):
            self.call(f'{domain}.enable')

    def call(self, method, **parameters):
        self._number += 1
        message = {'id': self._number, 'method': method, 'params': parameters}
        if self._session:
            message['sessionId'] = self._session
        os.write(self._commands, json.dumps(message).encode() + b'\0')
        while True:
            answer = self._read()
            if answer.get('id') == self._number:
                assert 'error' not in answer, answer
                return answer['result']
            self.events.append(answer)

    def _read(self, seconds=60):
        # Not select(), which takes no file descriptor above 1,023.
        waiting = select.poll()
        waiting.register(self._answers, select.POLLIN)
        while b'\0' not in self._buffer:
            data = os.read(self._answers, 1 << 16) if waiting.poll(1000 * seconds) else b''
            if not data:
                raise TimeoutError('the browser does not answer')
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b'\0')
        return json.loads(message)

    def value(self, expression):
        answer = self.call('Runtime.evaluate', expression=expression, returnByValue=True)
        assert 'exceptionDetails' not in answer, answer
        return answer['result'].get('value')

    def wait(self, expression, seconds=30):
        deadline = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < deadline, expression
            time.sleep(0.03)

    def press(self, key, text=None, **more):
        code = {'Enter': 13, 'Backspace': 8, 'ArrowLeft': 37, 'ArrowRight': 39}.get(
            key, ord(key[0])
        )
        text = (
            {'text': text or ('\r' if key == 'Enter' else key)}
            if len(key) == 1 or key == 'Enter'
            else {}
        )
        more |= {'key': key, 'windowsVirtualKeyCode': code}
        self.call('Input.dispatchKeyEvent', type='keyDown', **more, **text)
        self.call('Input.dispatchKeyEvent', type='keyUp', **more)

    def close(self):
        os.close(self._commands)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._answers)


@pytest.fixture
def browser(tmp_path):
    if not CHROMIUM:
        pytest.skip('no Chromium')
    browser = Browser(tmp_path / 'profile')
    try:
        try:
            browser.open()
        except (TimeoutError, OSError) as error:
            pytest.skip(f'Chromium does not start here: {error}')
        yield browser
    finally:
        browser.close()


def test_rating_in_a_browser_with_the_keyboard(tmp_path, browser):
    pairs = (Pair('p0', 'ask <b>0</b>', HOSTILE, ' \n'), *PAIRS[1:4])
    path = tmp_path / 'ratings.jsonl'
    order = order_for(pairs, 0, 'ann b')

    def text(name):
        return browser.value(f'document.getElementById("{name}").textContent')

    def arrive(at, rated):
        """Waits for a pair and until it may be rated."""
        browser.wait(f'view && view.at === {at} && view.rated === {rated} && !busy')
        browser.wait('performance.now() - since >= LEAST')
        if at < len(order):
            shown = order[at]
            for side in ('left', 'right'):
                said = shown.pair.text(getattr(shown, side))
                assert text(side) == (said if said.strip() else '(empty)')
            assert text('inputs') == shown.pair.inputs

    with serving(path, pairs) as server:
        browser.call('Page.navigate', url=server.url)
        browser.wait('document.activeElement && document.activeElement.id === "rater"')
        for key in 'ann b':  # Letters that are keys later on are letters here.
            browser.press(key)
        browser.press('Enter')
        arrive(0, 0)
        browser.press('ArrowLeft', modifiers=1)  # With Alt it is the browser's own.
        browser.press('x')
        browser.press('ArrowLeft', autoRepeat=True)
        strike = 'document.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft"}));'
        browser.value(f'since = performance.now(); {strike}')  # Not seen long enough.
        browser.wait('performance.now() - since >= LEAST && !busy && view.rated === 0')
        browser.value(strike + strike)  # Struck twice: one pair.
        arrive(1, 1)
        browser.press('b')
        arrive(0, 1)
        assert browser.value('document.querySelectorAll("section.chosen").length') == 1
        assert (
            browser.value('document.querySelector("[aria-pressed=true]").dataset.choice') == 'left'
        )
        browser.press('3')
        arrive(1, 1)
        browser.press('t')
        arrive(2, 2)
        browser.value('document.querySelector("[data-choice=left]").click()')
        arrive(3, 3)
        browser.call('Page.reload')  # And on where it was.
        browser.wait('document.readyState === "complete" && document.activeElement.id === "rater"')
        for key in 'ann b':
            browser.press(key)
        browser.press('Enter')
        arrive(3, 3)
        browser.press('ArrowRight')
        arrive(4, 4)
        assert browser.value('!document.getElementById("end").hidden')
        browser.press('Backspace')
        arrive(3, 4)
        picture = os.environ.get('FLAN_TUNE_SCREENSHOT')
        if picture:
            import base64

            data = browser.call('Page.captureScreenshot')['data']
            pathlib.Path(picture).write_bytes(base64.b64decode(data))
        # Nothing in an output has run, and nothing came from elsewhere.
        assert browser.value('document.title') == 'Which response is better?'
        assert browser.value('document.querySelectorAll("main img, main script").length') == 0
        requests = [e for e in browser.events if e.get('method') == 'Network.requestWillBeSent']
        urls = {e['params']['request']['url'] for e in requests}
        assert urls and all(url.startswith(server.url) for url in urls), urls
        wrong = ('Runtime.exceptionThrown', 'Log.entryAdded')
        assert not [e for e in browser.events if e.get('method') in wrong]
    ratings = Ratings(path, pairs).of('ann b')
    assert [ratings[shown.pair.id].choice for shown in order] == [
        order[0].right, 'tie', order[2].left, order[3].right
    ]  # fmt: skip
    assert len(path.read_text().splitlines()) == 5  # Four pairs, one of them rated twice.


def test_a_server_that_is_gone_is_told_in_the_browser(tmp_path, browser):
    with serving(tmp_path / 'r.jsonl', rater='ann') as server:
        browser.call('Page.navigate', url=server.url)
        browser.wait('document.activeElement && document.activeElement.id === "rater"')
        browser.press('Enter')
        browser.wait('view && !busy && performance.now() - since >= LEAST')
    browser.press('ArrowLeft')
    browser.wait('!document.getElementById("error").hidden')
    assert 'does not answer' in browser.value('document.getElementById("error").textContent')
    assert browser.value('view.at') == 0
