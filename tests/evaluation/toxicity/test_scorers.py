"""Scorers of toxicity: recorded, local, and over HTTP against a server that misbehaves."""

import contextlib
import http.server
import json
import math
import threading
import time

import pytest

from flan_tune.errors import RunError, UserError
from flan_tune.evaluation.journal import Journal, digest
from flan_tune.evaluation.toxicity import scorers
from flan_tune.evaluation.toxicity.http_scorer import FORMS, HttpScorer
from flan_tune.evaluation.toxicity.scorers import (
    RecordedScorer,
    Scored,
    open_scorer,
    register_scorer,
    score_texts,
)

TEXTS = [f'text {i}' for i in range(6)]


def value(text: str) -> float:
    return int(text.split()[-1]) / 10


class Fake:
    """A scorer in memory that keeps what it is asked; `stops_at` a text it raises."""

    kept = True

    def __init__(self, name='fake', stops_at=None, refuses=()):
        self.name, self.stops_at, self.refuses, self.asked = name, stops_at, refuses, []

    def score(self, texts):
        for index, text in enumerate(texts):
            if text == self.stops_at:
                raise RunError('down')
            self.asked.append(text)
            refused = text in self.refuses
            yield index, Scored(None, 'refused') if refused else Scored(value(text))


# What is kept


def test_a_text_is_asked_for_once_and_never_again(tmp_path):
    store = tmp_path / 'scores.jsonl'
    first = Fake(stops_at='text 3')
    with pytest.raises(RunError, match='down'):
        score_texts(first, [*TEXTS, *TEXTS], store)
    assert first.asked == TEXTS[:3]
    with store.open('a') as file:
        file.write('{"digest": "ab')  # And a line that was cut off.
    second, seen = Fake(), []
    scored = score_texts(second, [*TEXTS, *TEXTS], store, progress=lambda *at: seen.append(at))
    assert second.asked == TEXTS[3:] and seen == [(4, 6), (5, 6), (6, 6)]
    assert {text: one.score for text, one in scored.items()} == {t: value(t) for t in TEXTS}
    third = Fake()
    assert score_texts(third, TEXTS, store) == scored and not third.asked
    assert len(Journal(store).rows()) == 6


def test_scores_are_written_while_others_come(tmp_path, monkeypatch):
    monkeypatch.setattr(scorers, '_SECONDS_HELD', -1)
    store, sizes = Journal(tmp_path / 's.jsonl'), []
    score_texts(Fake(), TEXTS, store.path, progress=lambda *_: sizes.append(len(store.rows())))
    assert sizes == [1, 2, 3, 4, 5, 6] and len(store.rows()) == 6


def test_blank_texts_are_not_asked_for_and_have_no_score(tmp_path):
    fake = Fake()
    scored = score_texts(fake, ['', ' \n', 'text 1'], tmp_path / 's.jsonl')
    assert fake.asked == ['text 1']
    assert scored[''] == scored[' \n'] == Scored(None, 'blank')


def test_refusals_are_kept_once_the_scorer_has_answered(tmp_path):
    store = tmp_path / 's.jsonl'
    scored = score_texts(Fake(refuses=TEXTS), TEXTS, store)
    assert all(one == Scored(None, 'refused') for one in scored.values())
    assert not store.exists()
    score_texts(Fake(refuses=TEXTS[:2]), TEXTS, store)
    again = Fake()
    assert score_texts(again, TEXTS, store)['text 1'].score is None and not again.asked


def test_scores_of_two_scorers_are_not_mixed(tmp_path):
    score_texts(Fake('one'), TEXTS, tmp_path / 's.jsonl')
    with pytest.raises(UserError, match="scores of 'one', not of 'two'"):
        score_texts(Fake('two'), TEXTS, tmp_path / 's.jsonl')


# By name


def test_scorers_by_name(tmp_path):
    path = tmp_path / 's.jsonl'
    path.write_text('{"text": "a", "score": 0.5}\n')
    assert open_scorer('recorded', path=path).name == 'recorded:s.jsonl'
    with pytest.raises(UserError, match="no scorer 'recorde'.*Did you mean recorded"):
        open_scorer('recorde')
    with pytest.raises(UserError, match="scorer 'recorded'.*path"):
        open_scorer('recorded')
    with pytest.raises(UserError, match="scorer 'http'.*speed"):
        open_scorer('http', url='http://127.0.0.1/', speed=3)
    register_scorer('fake', Fake)
    register_scorer('fake', Fake)
    assert open_scorer('fake', name='x').name == 'x'
    with pytest.raises(UserError, match='already'):
        register_scorer('fake', RecordedScorer)


def test_recorded_scores_are_what_others_have_kept(tmp_path):
    store = tmp_path / 'kept.jsonl'
    score_texts(Fake(refuses=['text 2']), TEXTS, store)
    with store.open('a') as file:
        file.write('{"text": "by hand", "score": 1}\n')
    recorded = open_scorer('recorded', path=store)
    scored = score_texts(recorded, ['text 1', 'text 2', 'by hand', 'new'], tmp_path / 'no.jsonl')
    assert [one.score for one in scored.values()] == [0.1, None, 1, None]
    assert (scored['text 2'].why, scored['new'].why) == ('refused', 'not recorded')
    assert not (tmp_path / 'no.jsonl').exists()
    with pytest.raises(UserError, match='a score of none of the 1 texts'):
        score_texts(recorded, ['of another run'])


@pytest.mark.parametrize(
    'line', ['{"score": 0.5}', '{"text": "a"}', '{"text": "a", "score": 1.5}', '{"text": "a", "score": NaN}', '[]']
)  # fmt: skip
def test_recorded_lines_that_cannot_be_used_are_named(tmp_path, line):
    path = tmp_path / 's.jsonl'
    path.write_text(f'{{"text": "x", "score": 0.5}}\n{line}\n')
    with pytest.raises(UserError, match='s.jsonl:2: '):
        RecordedScorer(path)


def test_a_local_classifier(tmp_path, monkeypatch):
    (tmp_path / 'my_classifier.py').write_text(
        'sizes = []\n'
        'def classify(texts):\n'
        '    sizes.append(len(texts))\n'
        '    return [float("nan") if "3" in t else len(t) / 100 for t in texts]\n'
        'def logits(texts): return [7.0 for t in texts]\n'
        'def short(texts): return [0.5]\n'
    )
    monkeypatch.chdir(tmp_path)
    scorer = open_scorer('local', function='my_classifier:classify', batch_size=4)
    assert scorer.name == 'local:my_classifier:classify'
    scored = score_texts(scorer, TEXTS, tmp_path / 's.jsonl')
    assert scored['text 0'].score == 0.06
    assert scored['text 3'] == Scored(None, 'NaN', final=False)
    import my_classifier

    assert my_classifier.sizes == [4, 2]
    score_texts(scorer, TEXTS, tmp_path / 's.jsonl')
    assert my_classifier.sizes == [4, 2, 1]  # NaN is asked for again.
    for function, message in {'logits': 'gave 7.0', 'short': '1 scores for 6 texts'}.items():
        with pytest.raises(UserError, match=message):
            score_texts(open_scorer('local', function=f'my_classifier:{function}'), TEXTS)
    with pytest.raises(UserError, match='Did you mean classify'):
        open_scorer('local', function='my_classifier:classfy')
    with pytest.raises(UserError, match='batch_size'):
        open_scorer('local', function='my_classifier:classify', batch_size=0)


# Over HTTP


class Service(http.server.ThreadingHTTPServer):
    """Answers {"text": "… N"} with N / 10, or as `plan[text]` says: a list of faults, one a request."""

    daemon_threads = True

    def __init__(self, plan=None, always=None, answer=None):
        super().__init__(('127.0.0.1', 0), _Handler)
        self.plan = {text: list(faults) for text, faults in (plan or {}).items()}
        self.always, self.answer = always, answer
        self.requests, self.times = [], []
        self.released = threading.Event()

    @property
    def url(self):
        return f'http://127.0.0.1:{self.server_port}/score?secret=in-the-query'


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.times.append(time.monotonic())
        body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        text = body['text'] if 'text' in body else body['comment']['text']
        self.server.requests.append((text, self.headers, body))
        faults = self.server.plan.get(text)
        fault = faults.pop(0) if faults else self.server.always
        if fault == 'silence':
            self.server.released.wait(5)
            return
        if fault == 'hang up':
            self.close_connection = True
            return
        answer = self.server.answer or (lambda text: {'score': value(text)})
        status, headers, data = 200, {}, json.dumps(answer(text))
        if isinstance(fault, int):
            status, data = fault, f'no: {self.headers.get("Authorization")}'
        elif isinstance(fault, tuple):
            status, headers, data = fault
        elif fault is not None:
            data = fault
        self.send_response(status)
        for name, content in headers.items():
            self.send_header(name, content)
        self.send_header('Content-Length', str(len(data.encode())))
        self.end_headers()
        self.wfile.write(data.encode())

    do_GET = do_POST

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def serving(**options):
    with Service(**options) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={'poll_interval': 0.02})
        thread.start()
        try:
            yield service
        finally:
            service.released.set()
            service.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')


def scorer_of(service, **options) -> HttpScorer:
    fast = {'requests_per_second': 1000, 'backoff': 0.01, 'timeout': 5, 'retries': 3}
    return open_scorer('http', url=service.url, **fast | options)


def asked(service) -> list[str]:
    return [text for text, _, _ in service.requests]


@pytest.mark.parametrize(
    'fault',
    [
        'silence', 'hang up', 429, 500, 503, 'not json', '[]', '{"score": "high"}', '{"score": NaN}',
        '{"score": 2}', '{"score": true}', '{"score": null}', '', '\ud83d'.encode('utf-8', 'replace').decode(),
    ],
)  # fmt: skip
def test_what_passes_is_tried_again(tmp_path, fault):
    with serving(plan={'text 1': [fault, fault]}) as service:
        timeout = 0.3 if fault == 'silence' else 5
        scored = score_texts(scorer_of(service, timeout=timeout), TEXTS[:3], tmp_path / 's.jsonl')
    assert [one.score for one in scored.values()] == [0, 0.1, 0.2]
    assert asked(service).count('text 1') == 3 and len(service.requests) == 5


def test_a_service_that_goes_down_stops_the_run_and_it_goes_on_later(tmp_path):
    store = tmp_path / 's.jsonl'
    down = {text: [503] * 2 for text in TEXTS[2:]}
    with serving(plan=down) as service:
        scorer = scorer_of(service, retries=1)
        with pytest.raises(RunError, match='no score of 3 texts in a row; the last: status 503'):
            score_texts(scorer, TEXTS, store)
        assert [row['score'] for row in Journal(store).rows()] == [0, 0.1]
        before = len(service.requests)
        service.plan = {}
        scored = score_texts(scorer, TEXTS, store)
        assert asked(service)[before:] == TEXTS[2:]
    assert [one.score for one in scored.values()] == [value(text) for text in TEXTS]


def test_one_text_that_never_gets_a_score_does_not_stop_the_others(tmp_path):
    store = tmp_path / 's.jsonl'
    with serving(plan={'text 1': [500] * 99, 'text 3': ['silence'] * 99}) as service:
        scored = score_texts(scorer_of(service, retries=1, timeout=0.5), TEXTS, store)
        assert [one.score for one in scored.values()] == [0, None, 0.2, None, 0.4, 0.5]
        assert 'status 500' in scored['text 1'].why and 'no answer' in scored['text 3'].why
        service.plan = {}
        assert score_texts(scorer_of(service), TEXTS, store)['text 1'].score == 0.1


def test_a_refused_text_is_not_asked_for_again(tmp_path):
    store = tmp_path / 's.jsonl'
    with serving(plan={'text 2': [400] * 9}) as service:
        for _ in range(2):
            scored = score_texts(scorer_of(service), TEXTS, store)
            assert scored['text 2'].score is None and 'status 400' in scored['text 2'].why
    assert asked(service) == TEXTS


def test_a_service_that_refuses_all_is_set_up_wrongly_and_nothing_is_kept(tmp_path):
    many = [f'text {i}' for i in range(40)]
    with serving(always=400) as service:
        with pytest.raises(RunError, match='refused all of 10 texts.*status 400'):
            score_texts(scorer_of(service), many, tmp_path / 's.jsonl')
        assert len(service.requests) < 15
    assert not (tmp_path / 's.jsonl').exists()


@pytest.mark.parametrize(
    'fault',
    [
        401,
        403,
        404,
        (302, {'Location': '/elsewhere'}, ''),
        (400, {}, '{"reason": "API_KEY_INVALID"}'),
    ],
)
def test_a_wrong_key_or_address_stops_at_once_and_the_key_is_not_shown(fault, monkeypatch):
    monkeypatch.setenv('MY_KEY', 'hush-hush')
    with serving(always=fault) as service:
        with pytest.raises(RunError, match='check address and key') as raised:
            score_texts(scorer_of(service, key_variable='MY_KEY'), TEXTS)
        assert len(service.requests) == 1
        assert service.requests[0][1]['Authorization'] == 'Bearer hush-hush'
    assert 'hush' not in str(raised.value) and 'secret' not in str(raised.value)


def test_a_key_that_is_not_set():
    with pytest.raises(UserError, match='variable NO_KEY_HERE holds no key'):
        HttpScorer('https://example.org/x', key_variable='NO_KEY_HERE')


def test_the_form_of_perspective(monkeypatch):
    monkeypatch.setenv('MY_KEY', 'k')

    def answer(text):
        return {
            'attributeScores': {
                'TOXICITY': {'summaryScore': {'value': 0.25, 'type': 'PROBABILITY'}}
            }
        }

    with serving(answer=answer) as service:
        scored = score_texts(scorer_of(service, form='perspective', key_variable='MY_KEY'), ['hi'])
        _, headers, body = service.requests[0]
    assert scored['hi'].score == 0.25
    assert body['comment'] == {'text': 'hi'} and body['doNotStore'] is True
    assert list(body['requestedAttributes']) == ['TOXICITY']
    assert headers['X-Goog-Api-Key'] == 'k' and 'Authorization' not in headers


def test_the_rate_is_kept_by_all_workers_together():
    texts = [f'text {i % 10}{i}' for i in range(9)]
    with serving(answer=lambda text: {'score': 0.5}) as service:
        began = time.monotonic()
        score_texts(scorer_of(service, requests_per_second=25, workers=4), texts)
    assert max(service.times) - began >= 8 / 25


def test_workers_ask_at_once_and_lose_nothing(tmp_path):
    texts = [f'text {i}' for i in range(10)]

    def answer(text):
        time.sleep(0.2)
        return {'score': value(text)}

    with serving(answer=answer) as service:
        began = time.monotonic()
        scored = score_texts(scorer_of(service, workers=5, timeout=5), texts, tmp_path / 's.jsonl')
        took = time.monotonic() - began
    assert [scored[text].score for text in texts] == [value(text) for text in texts]
    assert took < 1.7  # One after the other they take 2 s.
    assert {row['digest'] for row in Journal(tmp_path / 's.jsonl').rows()} == set(
        map(digest, texts)
    )


def test_what_others_are_being_answered_is_kept_when_one_stops_the_run(tmp_path):
    def answer(text):
        time.sleep(0.3)
        return {'score': value(text)}

    stopped = pytest.raises(RunError, match='status 401')
    with serving(plan={'text 0': [401]}, answer=answer) as service, stopped:
        score_texts(scorer_of(service, workers=3), TEXTS, tmp_path / 's.jsonl')
    answered = set(asked(service)) - {'text 0'}
    assert {'text 1', 'text 2'} <= answered < set(TEXTS[1:])
    kept = {row['digest'] for row in Journal(tmp_path / 's.jsonl').rows()}
    assert kept == set(map(digest, answered))


def test_retry_after_is_waited_for():
    with serving(plan={'text 1': [(429, {'Retry-After': '0.4'}, '')]}) as service:
        score_texts(scorer_of(service), ['text 1'])
        first, second = service.times
    assert second - first >= 0.4


def test_waiting_ends_when_nobody_listens_any_more():
    with serving(plan={'text 1': [(503, {'Retry-After': '60'}, '')]}) as service:
        scores = scorer_of(service, workers=2, retries=1).score(['text 2', 'text 1', 'text 3'])
        next(scores)
        while 'text 1' not in asked(service):
            time.sleep(0.01)
        began = time.monotonic()
        scores.close()
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'url': 'file:///etc/passwd'}, 'no address'),
        ({'url': 'example.org'}, 'no address'),
        ({'form': 'perspektive'}, 'Did you mean perspective'),
        ({'timeout': 0}, 'above 0'),
        ({'retries': -1}, '0 or above'),
        ({'requests_per_second': math.nan}, 'above 0'),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(UserError, match=message):
        open_scorer('http', **{'url': 'https://example.org/', **options})
    assert set(FORMS) == {'plain', 'perspective'}
