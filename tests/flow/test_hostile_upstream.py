"""Hostile answers of a model server: what the client of that request, the next client and the connection pool see of them."""
import asyncio
import concurrent.futures
import gzip
import itertools
import json
import socket
import sys

import pytest
from fabric import ROOT, SANITIZED, Fabric, Stopwatch, wait_for
from rawhttp import Talk, talk

sys.path.insert(0, str(ROOT / 'tests' / 'hostile'))
import upstream_cases as cases  # noqa: E402
from origin import TOKENS, Origin  # noqa: E402
from test_rules import sentences  # noqa: E402

LANES = 12
TEXT = ''.join(TOKENS)


LARGE = 32 << 20  # more than the sockets between two processes hold: a server that stops reading is noticed


def request(model, path='/api/generate', stream=False, size=1):
    body = json.dumps({'model': model, 'prompt': 'x' * size, 'stream': stream}).encode()
    return b'POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s' % (path.encode(), len(body), body)


class Lane:
    """An instance of its own with a model of its own, so that cases can be played side by side."""

    def __init__(self, number):
        self.model = f'm{number}:latest'
        self.origin = Origin(model=self.model).start()
        self.port = None

    def ask(self, **kw):
        return asyncio.run(talk(self.port, [request(self.model, **kw)], 1, quiet=20))

    def clean(self):
        """The next client gets a whole good answer and nothing else."""
        t = self.ask()
        return len(t.answers) == 1 and t.answers[0].status == 200 and not t.rest and json.loads(t.answers[0].body)['response'] == TEXT


class Fleet:
    def __init__(self, tmp):
        self.lanes = [Lane(i) for i in range(LANES)]
        self.fabric = Fabric(tmp, conf='deadlines { first_byte = 10s gap = 10s stall = 2s }\nlimits { buffer = 64KiB }\n' + ''.join(
            f'instance "i{i}" {{ url = "http://127.0.0.1:{x.origin.port}" models = {{"{x.model}"}} slots = 2 }}\n' for i, x in enumerate(self.lanes)))
        for x in self.lanes:
            x.port = self.fabric.port
        self.pid = self.fabric.status()['routers'][0]['pid']

    def check(self):
        assert not any(x.origin.unclean for x in self.lanes), [x.origin.unclean for x in self.lanes]
        assert self.fabric.status()['routers'][0]['pid'] == self.pid
        self.fabric.wait_balance()

    def stop(self):
        self.fabric.stop()
        for x in self.lanes:
            x.origin.stop()


@pytest.fixture(scope='module')
def fleet(tmp_path_factory):
    f = Fleet(tmp_path_factory.mktemp('upstream'))
    yield f
    f.stop()


@pytest.fixture
def lane(fleet):
    """One lane, left as clean as it was found."""
    x = fleet.lanes[0]
    assert x.clean()
    yield x
    x.origin.script.clear()
    wait_for(x.clean, 20, 'the next client is served')
    fleet.check()


def line_of(text):
    try:
        return json.loads(text)
    except ValueError:
        return {'torn': text}


def seen(t: Talk):
    """What the client makes of it: 'ok', 'retried' (a good answer of a second attempt), 'error' or 'broken'."""
    if t.answers and not t.rest:
        a = t.answers[0]
        if a.status >= 500:
            return 'error' if a.error() else 'an error without a word'
        lines = [line_of(x) for x in a.body.decode().split('\n') if x]
        if any('error' in x for x in lines):
            return 'both an error and an end' if any(x.get('done') for x in lines) else 'broken'
        if ''.join(x.get('response', '') for x in lines) == TEXT and '2026-01-01' not in a.body.decode():
            return 'retried'
        return 'ok' if not lines or lines[-1].get('done') else 'a silent stop'
    return 'broken' if t.end != 'open' else 'no end'


MAY = {'ok': {'ok'}, '502': {'error', 'retried'}, 'broken': {'broken', 'error', 'retried'}, 'either': {'ok', 'broken'}}


def play(x, c):
    """What went wrong with this case, or None."""
    if not x.clean():
        return 'the lane was not clean before'
    x.origin.answer_next(c.raw, c.then, early=c.early)
    t = x.ask(stream=c.stream, size=LARGE if c.early else 1)
    got = seen(t)
    if got not in MAY[c.expect]:
        return got, t
    if b'smuggled' in t.rest or any(b'smuggled' in a.body for a in t.answers):
        return 'bytes after the end of the answer', t
    used = x.origin.played[-1]
    perfect = c.reused or c.then == 'keep' and c.expect == 'broken'  # framed well: only its content tells of the failure
    if not perfect:
        wait_for(lambda: used not in x.origin.open, 5, f'{c.id}: the connection is given up')
    if not wait_for(x.clean, 5, f'{c.id}: the next client is served'):
        return 'the next client'
    if not perfect and [r for r in x.origin.requests if r.connection == used][1:] and x.origin.requests[-1].connection == used:
        return 'the connection was used again'
    return None


@pytest.mark.promise(13)
def test_cases(fleet):
    with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
        lanes = [pool.submit(lambda i=i, x=x: [(c.id, play(x, c)) for c in cases.CASES[i::LANES]]) for i, x in enumerate(fleet.lanes)]
        wrong = [w for lane in lanes for w in lane.result() if w[1]]
    assert not wrong, wrong
    fleet.check()


# One at least for every sentence of http/response.c.
KINDS = ('empty-line-first', 'http20', 'status-letters', 'status-zero', 'continue-with-length', 'status-no-blank', 'two-lengths', 'length-and-coding', 'nul-in-value', 'obs-fold', 'http09', 'switching', 'continue-flood', 'endless-header', 'half-a-head',
         'nothing-reset', 'tls-alert', 'chunk-first-is-bad')


def fail_every_time(x, c):
    """The instance answers all attempts so; what its client gets at last, and how long that took."""
    wait_for(x.clean, 20, 'the pause after the last failures is over')
    for _ in range(8):
        x.origin.answer_next(c.raw, c.then)
    since = Stopwatch()
    t = x.ask(stream=c.stream)
    x.origin.script.clear()
    return c.id, [a.status for a in t.answers], t.answers and t.answers[0].error(), since.seconds()


@pytest.mark.promise(13)
def test_who_fails_every_time_is_a_502_in_the_clients_words(fleet):
    by = {c.id: c for c in cases.CASES}
    with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
        rounds = [KINDS[i:i + LANES] for i in range(0, len(KINDS), LANES)]
        out = [o for kinds in rounds for o in pool.map(fail_every_time, fleet.lanes, [by[k] for k in kinds])]
    # A stream that broke before its first byte is a cut or an error line; everything else says which instance failed, and why.
    for name, status, text, took in out:
        assert took < 10, (name, took)
        assert name == 'chunk-first-is-bad' or (status == [502] and 'failed this request before it answered' in text), (name, status, text)
    said = ' '.join(text for _, _, text, _ in out)
    assert not [s for s in sentences('http/response.c') if s not in said]
    for x in fleet.lanes:
        wait_for(x.clean, 20, 'the pause after the failures is over')
    fleet.check()


def rss_kib(pid):
    return int(next(x for x in open(f'/proc/{pid}/status') if x.startswith('VmRSS')).split()[1])


@pytest.mark.promise(13, 14)
def test_an_endless_answer_to_a_client_that_stops_reading(fleet, lane):
    """It is cut by the stall limit, its place is free again, and it has cost a buffer."""
    before = rss_kib(fleet.pid)
    lane.origin.answer_next(itertools.chain([cases.STREAM], itertools.repeat(cases.chunk(cases.LINE * 500), 100000)), 'hold')
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(('127.0.0.1', lane.port))
        s.sendall(request(lane.model, stream=True))
        wait_for(lambda: lane.origin.played[-1] not in lane.origin.open if lane.origin.played else False, 20, 'the upstream connection is closed')
        assert SANITIZED or rss_kib(fleet.pid) - before < 16 * 1024
    assert lane.clean()


def test_an_endless_answer_to_a_client_that_leaves(lane):
    lane.origin.answer_next(itertools.chain([cases.STREAM], itertools.repeat(cases.chunk(cases.LINE * 500), 100000)), 'hold')
    with socket.create_connection(('127.0.0.1', lane.port)) as s:
        s.sendall(request(lane.model, stream=True))
        assert s.recv(4096)
    wait_for(lambda: lane.origin.played[-1] not in lane.origin.open, 20, 'the upstream connection is closed')


def test_a_compressed_answer_is_passed_on_as_it_is(lane):
    packed = gzip.compress(cases.ONE)
    lane.origin.answer_next([cases.single(cases.length(len(packed)), b'Content-Encoding: gzip\r\n', body=packed)], 'keep')
    a = lane.ask().answers[0]
    assert a.status == 200 and a.headers['content-encoding'] == 'gzip' and a.body == packed


def test_names_and_words_of_an_instance_stay_their_own(lane):
    """An answer's own X-TSA-* lines and connection lines do not become the router's."""
    lines = b'Keep-Alive: timeout=5\r\nServer: evil\r\nUpgrade: h2c\r\nTE: trailers\r\nx-tsa-instance: evil\r\nX-TSA-Evil: x\r\nX-Own: y\r\n'
    lane.origin.answer_next([cases.single(cases.length(), lines)], 'keep')
    a = lane.ask().answers[0]
    assert a.headers['x-tsa-instance'] == 'i0' and 'x-tsa-evil' not in a.headers and a.headers['x-own'] == 'y'
    assert not {'keep-alive', 'server', 'upgrade', 'te', 'proxy-connection', 'trailer'} & set(a.headers), a.headers
