"""The router at the edges of its limits: clients that are slow, greedy or gone, and what they may cost the others."""
import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import sys
import threading
import time

import pytest
from fabric import ROOT, SANITIZED, Stopwatch, wait_for
from rawhttp import parse, run_all, talk

sys.path.insert(0, str(ROOT / 'tests' / 'hostile'))
from origin import Origin, chunk  # noqa: E402

MODEL = 'origin:latest'
HOST = b'Host: localhost\r\n'
HEALTH = b'GET /healthz HTTP/1.1\r\n' + HOST + b'\r\n'


def generate(prompt='x', version=b'HTTP/1.1', headers=b'', stream=False, path=b'/api/generate', **more):
    body = json.dumps({'model': MODEL, 'prompt': prompt, 'stream': stream, **more}).encode()
    return b'POST %s %s\r\n%s%sContent-Length: %d\r\n\r\n%s' % (path, version, HOST, headers, len(body), body)


def whole(body, *headers, status=b'200 OK'):
    return b'HTTP/1.1 %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s' % (status, b''.join(headers), len(body), body)


@pytest.fixture
def origins():
    started = []

    def start():
        started.append(Origin().start())
        return started[-1]
    yield start
    for o in started:
        o.stop()


@pytest.fixture
def front(origins, fabrics):
    """front(text, n=1, places=8): n strict origins behind a router configured with the text; every request must be accounted for."""
    made = []

    def make(text='', n=1, places=8, ready=True):
        os_ = [origins() for _ in range(n)]
        f = fabrics(conf=text + '\n' + ''.join(
            f'instance "i{i}" {{ url = "http://127.0.0.1:{o.port}" slots = {places} }}\n' for i, o in enumerate(os_)), ready=ready)
        f.origins, f.pid = os_, f.status()['routers'][0]['pid']
        made.append(f)
        return f
    yield make
    for f in made:
        f.wait_balance(10)
        assert f.status()['routers'][0]['pid'] == f.pid, f.tsad.text()[-3000:]
        assert not any(o.unclean for o in f.origins), [o.unclean for o in f.origins]


def one(port, raw, want=1, **kw):
    return asyncio.run(talk(port, raw if isinstance(raw, list) else [raw], want, **kw))


def slow_client(port, raw):
    """A client with small buffers, so that what it does not read stays with the router."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(('127.0.0.1', port))
    s.settimeout(30)
    s.sendall(raw)
    return s


def rss_kib(pid):
    return int(next(x for x in open(f'/proc/{pid}/status') if x.startswith('VmRSS')).split()[1])


# --- request bodies ---------------------------------------------------------------------------------------------------

def test_what_follows_a_body_that_is_too_large_is_no_request(front):
    f = front('limits { body = 1KiB }')
    big = b'POST /api/generate HTTP/1.1\r\n' + HOST + b'Transfer-Encoding: chunked\r\n\r\n' + chunk(b'x' * 2000) + chunk(b'')
    hidden = b'POST /api/generate HTTP/1.1\r\n' + HOST + b'Content-Length: 500\r\n\r\n'
    t = one(f.port, [big + hidden[:30], hidden[30:] + generate('smuggled')], 3, quiet=1)
    assert [a.status for a in t.answers] == [413] and t.end == 'closed', t
    assert not any(b'smuggled' in r.body for r in f.origins[0].requests)


def test_announced_bodies_take_no_memory_from_others(front):
    """Many clients announce the largest body and send none of it."""
    f = front('limits { body = 8MiB }')
    socks = []
    for _ in range(40):
        s = socket.create_connection(('127.0.0.1', f.port))
        s.sendall(b'POST /api/generate HTTP/1.1\r\n' + HOST + b'Content-Length: 8000000\r\n\r\n{')
        socks.append(s)
    wait_for(lambda: f.counters()['requests'] >= 40, 5)
    assert one(f.port, generate('x' * 7000000)).answers[0].status == 200
    for s in socks:
        s.close()


def test_a_body_refused_for_want_of_memory_is_read_out(front):
    """A client that writes its whole body before it reads learns why it is refused: what the kernel held when the router did so, and
    never told it again, is taken off all the same."""
    f = front('limits { body = 4MiB }')
    head = b'POST /api/generate HTTP/1.1\r\n' + HOST + b'Content-Length: 4000000\r\n\r\n'
    with contextlib.ExitStack() as stack:
        s = stack.enter_context(socket.socket())
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        s.connect(('127.0.0.1', f.port))
        sent = 0
        for n in (150000, 47000):  # now there is less room than one read wants
            s.sendall((b'' if sent else head) + b'x' * n)
            sent += n
            wait_for(lambda: f.counters()['bytes_in'] == sent, 5)  # noqa: B023
        for _ in range(270):  # a quarter of a megabyte each, of 64
            other = stack.enter_context(socket.create_connection(('127.0.0.1', f.port)))
            other.sendall(head + b'x')
        wait_for(lambda: f.counters()['refused_429'], 10)
        os.kill(f.pid, signal.SIGSTOP)
        try:
            s.settimeout(1)
            with contextlib.suppress(TimeoutError):
                while sent < 4000000:
                    sent += s.send(b'x' * min(65536, 4000000 - sent))
        finally:
            os.kill(f.pid, signal.SIGCONT)
        assert sent < 4000000, 'the kernel takes all of it, so this shows nothing'
        s.settimeout(30)
        s.sendall(b'x' * (4000000 - sent))
        assert b' 429 ' in s.recv(4096)


@pytest.mark.promise(14)
def test_a_body_that_stands_still_is_cut_whatever_was_announced(front):
    f = front('deadlines { body = 1s body_rate = 1KiB }\nlimits { body = 64MiB }')
    with socket.create_connection(('127.0.0.1', f.port)) as s:
        s.settimeout(30)
        s.sendall(b'POST /api/generate HTTP/1.1\r\n' + HOST + b'Content-Length: 60000000\r\n\r\n' + b'x' * 1000000)
        since = Stopwatch()
        assert b' 408 ' in s.recv(4096) and since.seconds() < 5


def test_a_body_at_the_slowest_rate_is_waited_for(front):
    f = front('deadlines { body = 1s body_rate = 1KiB }')
    raw = generate('x' * 6000)
    pieces = [raw[i:i + 1000] for i in range(0, len(raw), 1000)]
    assert one(f.port, pieces, pause=0.4).answers[0].status == 200


def test_small_limits_leave_room_for_many(front):
    f = front('limits { body = 1KiB }', places=2)
    answers = run_all([lambda: talk(f.port, [generate('x' * 800)], 1) for _ in range(100)], 100)
    assert [t.answers[0].status for t in answers] == [200] * 100


@pytest.mark.promise(14)
def test_a_slow_head_is_counted(front):
    f = front('deadlines { head = 1s }')
    with socket.create_connection(('127.0.0.1', f.port)) as s:
        s.settimeout(30)
        s.sendall(b'GET /healthz HT')
        assert b' 408 ' in s.recv(4096)
    assert f.wait_balance()['refused_4xx'] == 1


# --- pipelines --------------------------------------------------------------------------------------------------------

def test_ten_thousand_requests_in_one_write(front):
    f = front('limits { queue = 20000 }')
    kinds = [(HEALTH, 200), (generate(), 200), (b'GET /nowhere HTTP/1.1\r\n' + HOST + b'\r\n', 404), (generate(model='none'), 404),
             (b'GET /api/tags HTTP/1.1\r\n' + HOST + b'\r\n', 200), (b'PUT /api/chat HTTP/1.1\r\n' + HOST + b'\r\n', 405), (HEALTH, 200),
             (b'POST /api/generate HTTP/1.1\r\n' + HOST + b'Content-Length: 3\r\n\r\n{x}', 400)]
    raw = b''.join(k[0] for k in kinds) * 1250
    t = one(f.port, raw, 10000, quiet=20)
    assert [a.status for a in t.answers] == [k[1] for k in kinds] * 1250


def test_a_pipeline_behind_a_running_request_is_kept(front):
    """More than one read of it comes while the first request is being worked on."""
    f = front()
    f.origins[0].answer_next([whole(b'{"response":"late","done":true}')], 'keep')
    large = generate('y' * 60000)
    t = one(f.port, [generate(), *[large[i:i + 30000] for i in range(0, len(large), 30000)] * 3, HEALTH], 5, pause=0.001)
    assert [a.status for a in t.answers] == [200] * 5, t


@pytest.mark.promise(14)
def test_a_pipeline_that_nobody_reads_is_not_worked_off_into_memory(front):
    f = front('deadlines { stall = 20s }')
    s = slow_client(f.port, b'')
    s.setblocking(False)
    sent, stuck, before = 0, time.monotonic(), rss_kib(f.pid)
    while time.monotonic() - stuck < 1:
        try:
            sent += s.send((HEALTH * 1000)[sent % len(HEALTH):])
            stuck = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    assert sent < 20 << 20 and (SANITIZED or rss_kib(f.pid) - before < 20 * 1024)
    s.setblocking(True)
    s.settimeout(10)
    data, at, n = bytearray(), 0, 0
    while n < sent // len(HEALTH):
        got = s.recv(1 << 20)
        assert got, (n, sent // len(HEALTH))
        data += got
        while (a := parse(data, at)):
            assert a[0].status == 200
            n, at = n + 1, a[1]
        del data[:at]
        at = 0
    s.close()


# --- slow readers -----------------------------------------------------------------------------------------------------

BIG = b'{"response":"' + b'z' * 6000000 + b'","done":true}'


def read_late(s, seconds):
    """Everything, but not before so many seconds have passed: longer than one deadline and shorter than another."""
    time.sleep(seconds)
    data = bytearray()
    while (got := s.recv(1 << 20)):
        data += got
    return bytes(data)


@pytest.mark.parametrize('version, headers', [(b'HTTP/1.0', b''), (b'HTTP/1.1', b'Connection: close\r\n')])
def test_a_last_answer_is_whole_however_slowly_it_is_read(front, version, headers):
    f = front('limits { buffer = 16MiB }')
    f.origins[0].answer_next([whole(BIG)], 'keep')
    s = slow_client(f.port, generate(version=version, headers=headers))
    data = read_late(s, 3)
    assert data.endswith(BIG), len(data)


def test_a_slow_reader_is_not_the_instances_fault(front):
    f = front('deadlines { gap = 1s stall = 10s }\nlimits { buffer = 16KiB }')
    f.origins[0].answer_next([whole(BIG)], 'keep')
    s = slow_client(f.port, generate(headers=b'Connection: close\r\n'))
    data = read_late(s, 3)
    assert data.endswith(BIG), len(data)
    assert f.instance('i0')['failed'] == 0


def read_slowly(s, size, pause, seconds):
    """Bytes read until the end, or until so many seconds are over."""
    n, until = 0, time.monotonic() + seconds
    try:
        while time.monotonic() < until and (got := s.recv(size)):
            n += len(got)
            time.sleep(pause)
    except ConnectionResetError:
        pass
    return n


@pytest.mark.promise(14)
def test_a_reader_slower_than_the_least_rate_loses_its_place(front):
    """It reads a little all the time, and never pauses for as long as `stall`."""
    f = front('deadlines { stall = 2s stall_rate = 4MiB }\nlimits { buffer = 16KiB }', places=1)
    f.origins[0].answer_next([whole(BIG)], 'keep')
    s = slow_client(f.port, generate(headers=b'Connection: close\r\n'))
    reader = threading.Thread(target=read_slowly, args=(s, 8192, 0.1, 30))
    reader.start()
    wait_for(lambda: f.instance('i0')['in_flight'] == 1, 5, 'the answer is under way')
    wait_for(lambda: f.instance('i0')['in_flight'] == 0, 15, 'the place is free')
    reader.join()
    s.close()


def test_a_slow_reader_that_never_pauses_keeps_its_place(front):
    """Faster than `stall_rate`, and so slow that the kernel takes nothing more for longer than `stall`."""
    f = front('deadlines { stall = 2s stall_rate = 1KiB }\nlimits { buffer = 16KiB }')
    f.origins[0].answer_next([whole(BIG)], 'keep')
    s = slow_client(f.port, generate(headers=b'Connection: close\r\n'))
    assert read_slowly(s, 8192, 0.1, 6) < 2000000
    data = read_late(s, 0)
    assert data.endswith(BIG[-1000000:]), len(data)


# --- instances that fail ----------------------------------------------------------------------------------------------

def test_a_failover_sends_and_answers_what_belongs_to_it(front):
    """The first instance's error breaks off; nothing of it may be in the second attempt, neither way."""
    f = front(n=2)
    for o in f.origins:
        o.answer_next([b'HTTP/1.1 500 x\r\nContent-Type: text/stale\r\nContent-Length: 100\r\n\r\n{"error":"stale'], 'close')
        o.answer_next([whole(b'{"error":"fresh"}', status=b'500 x')], 'keep')
        o.answer_next([whole(b'{"error":"fresh"}', status=b'500 x')], 'keep')
    t = one(f.port, generate())
    assert t.answers[0].status == 500 and t.answers[0].body == b'{"error":"fresh"}', t
    for o in f.origins:
        o.script.clear()
        assert {r.header('content-type') for r in o.requests if r.body and not r.header('accept')} == {'application/json'}


def test_a_long_error_is_not_the_instances_fault(front):
    """Or a client that makes an instance tell its own words back would close the fleet for everybody."""
    f = front()
    for size in (100, 20000, 200000):
        f.origins[0].answer_next([whole(b'{"error":"%s"}' % (b'q' * size), status=b'400 x')], 'keep')
        t = one(f.port, generate())
        assert t.answers[0].status == 400 and 'qqq' in t.answers[0].error() and not t.rest, t
        assert one(f.port, generate()).answers[0].status == 200
    assert f.instance('i0')['failed'] == 0


def test_a_refusal_is_passed_on_when_no_other_instance_takes_requests(front):
    f = front(n=2)
    f.ctl('drain', 'i1')
    wait_for(lambda: f.instance('i1')['state'] != 'ready' or f.instance('i1')['wanted'] != 'run', 5)
    f.origins[0].answer_next([whole(b'{"error":"busy"}', status=b'503 x')], 'keep')
    since = Stopwatch()
    t = one(f.port, generate(), quiet=20)
    assert t.answers[0].status == 503 and 'busy' in t.answers[0].error() and since.seconds() < 3
    f.ctl('undrain', 'i1')


def test_who_waits_for_another_instance_holds_up_nobody(front):
    """A request that failed on one instance waits for the other, which is busy; those behind it may use the first."""
    f = front(n=2, places=1)
    gate = threading.Thread(target=lambda: one(f.port, generate(), quiet=20))
    for o in f.origins:
        o.answer_next([b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n'], 'hold')
    gate.start()
    wait_for(lambda: sum(len(o.played) for o in f.origins) == 1, 5)
    busy, free = sorted(f.origins, key=lambda o: -len(o.played))
    free.script.clear()
    free.answer_next([whole(b'{"error":"try elsewhere"}', status=b'503 x')], 'keep')
    waiting = threading.Thread(target=lambda: one(f.port, generate(), quiet=20))
    waiting.start()
    wait_for(lambda: free.played, 5)
    wait_for(lambda: f.counters()['waiting'] == 1, 5)
    assert one(f.port, generate(), quiet=3).answers[0].status == 200
    busy.close_all()
    gate.join()
    waiting.join()


def test_a_stream_without_its_end_is_no_silent_stop_for_http_1_0(front):
    f = front()
    line = b'{"response":"one","done":false}\n'
    f.origins[0].answer_next([b'HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n' + chunk(line) + chunk(b'')], 'keep')
    t = one(f.port, generate(version=b'HTTP/1.0', stream=True))
    assert b'"error"' in t.rest.split(b'\n')[-2], t


def test_an_early_answer_of_a_server_that_hangs_up_is_passed_on(front):
    f = front()
    f.origins[0].answer_next([whole(b'{"error":"too much"}', b'Connection: close\r\n', status=b'422 x')], 'close', early=True)
    t = one(f.port, generate('x' * (16 << 20)))
    assert t.answers[0].status == 422 and t.answers[0].error() == 'too much', t


@pytest.mark.parametrize('tags', [b'{"models":[{"name":null},{"name":7},null,[],{}]}', b'{"models":{"name":1}}', b'null', b'[', b'', b'"x"',
                                  b'{"models":[' + b'[' * 5000 + b']}', b'{"models":[{"name":"a","expires_at":null},{"name":"a","expires_at":3}]}'])
def test_odd_lists_of_an_instance(front, tags):
    f = front(n=2)
    for path, raw in (('/api/tags', b'/api/tags'), ('/api/ps', b'/api/ps'), ('/v1/models', b'/v1/models')):
        wait_for(lambda: not f.origins[0].script, 5)
        f.origins[0].answer_always(path, whole(tags.replace(b'models', b'data') if 'v1' in path else tags))
        t = one(f.port, b'GET ' + raw + b' HTTP/1.1\r\n' + HOST + b'\r\n')
        assert t.answers[0].status == 200 and isinstance(json.loads(t.answers[0].body), dict), t


def test_a_list_that_drips_is_left_out(front):
    f = front(n=2)
    f.origins[0].answer_always('/api/tags', b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n', drip=b' ')
    since = Stopwatch()
    t = one(f.port, b'GET /api/tags HTTP/1.1\r\n' + HOST + b'\r\n', quiet=20)
    assert t.answers[0].status == 200 and t.answers[0].headers['x-tsa-partial'] == 'i0' and since.seconds() < 10


def test_the_words_of_two_failing_stores_are_their_own(front):
    """What each store says, and not a byte of what lay in that memory before."""
    f = front('management = allow', n=2)
    one(f.port, [generate('secret ' * 60)] * 3, 3)
    for o in f.origins:
        o.answer_always('/api/delete', whole(b'no', status=b'500 x'))
    body = b'{"model":"origin:latest"}'
    t = one(f.port, b'DELETE /api/delete HTTP/1.1\r\n' + HOST + b'Content-Length: %d\r\n\r\n' % len(body) + body)
    assert t.answers[0].status == 502 and t.answers[0].error() == 'i0: no; i1: no', t


# --- want of descriptors ----------------------------------------------------------------------------------------------

def cpu_seconds(pid):
    u, s = open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()[11:13]
    return (int(u) + int(s)) / os.sysconf('SC_CLK_TCK')


@pytest.mark.promise(23)
def test_without_descriptors_the_router_waits_and_recovers(front):
    f = front()
    resource.prlimit(f.pid, resource.RLIMIT_NOFILE, (64, 64))
    wait_for(lambda: 'at a time and not' in f.tsad.text(), 5, 'the router has seen its limit')
    socks = [socket.create_connection(('127.0.0.1', f.port)) for _ in range(300)]
    before = cpu_seconds(f.pid)
    time.sleep(2)
    assert cpu_seconds(f.pid) - before < 0.2, 'it spins'
    for s in socks[:20]:  # those that were let in are served
        s.sendall(generate())
        s.settimeout(30)
        assert b' 200 OK' in s.recv(4096)
    for s in socks:
        s.close()
    wait_for(lambda: one(f.port, generate()).answers[0].status == 200, 10)
    assert f.instance('i0')['failed'] == 0


def test_an_idle_router_sleeps_after_the_queue_was_used(front):
    f = front(places=1)
    f.origins[0].answer_next([b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'], 'hold')
    holder, waiter = (socket.create_connection(('127.0.0.1', f.port)) for _ in range(2))
    holder.sendall(generate())
    wait_for(lambda: f.origins[0].played, 5)
    waiter.sendall(generate())
    wait_for(lambda: f.counters()['waiting'] == 1, 5)
    waiter.close()
    wait_for(lambda: f.counters()['waiting'] == 0, 5)
    holder.close()

    def switches():
        return int(next(x for x in open(f'/proc/{f.pid}/status') if x.startswith('voluntary')).split()[1])
    n, start = switches(), time.monotonic()
    time.sleep(1)
    assert switches() - n < 60 * (time.monotonic() - start)


def test_idle_and_slow_connections_make_room(front):
    f = front('limits { connections = 64 }')
    socks = [socket.create_connection(('127.0.0.1', f.port)) for _ in range(200)]
    for s in socks[::2]:
        s.sendall(b'GET /healthz HTT')
    for _ in range(20):
        assert one(f.port, generate(), quiet=5).answers[0].status == 200
    for s in socks:
        s.close()


# --- progress streams -------------------------------------------------------------------------------------------------

def test_a_pull_with_odd_lines(front):
    f = front('management = allow', n=2)
    lines = [b'\n\n', b'{"status":"pulling manifest"}\n', b'[]\n', b'x' * 10000 + b'\n', b'{"status":null}\n', b'null\n', b'{"digest":7}\n',
             b'{"status":"pulling","digest":"sha256:a","total":9223372036854775807,"completed":-1}\n', b'{"status":"success"}\n']
    for o in f.origins:
        o.answer_always('/api/pull', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' + b''.join(map(chunk, lines)) + chunk(b''))
    body = b'{"model":"origin:latest"}'
    t = one(f.port, b'POST /api/pull HTTP/1.1\r\n' + HOST + b'Content-Length: %d\r\n\r\n' % len(body) + body)
    told = [json.loads(x) for x in t.answers[0].body.decode().strip().split('\n')]
    assert told[0] == {'status': 'pulling manifest'} and told[-1] == {'status': 'success'} and not any('error' in x for x in told), told
