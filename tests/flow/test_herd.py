"""Thousands at once: clients that come back together after a crash, and readers that stop reading."""
import asyncio
import itertools
import os
import signal
import sys
import time

import pytest
from fabric import LONG, ROOT, SANITIZED, Stopwatch, wait_for
from rawhttp import talk
from test_edges import HEALTH, front, generate, one, origins, rss_kib, slow_client  # noqa: F401 - fixtures

sys.path.insert(0, str(ROOT / 'tests' / 'hostile'))
import upstream_cases as cases  # noqa: E402

CLIENTS = 5000 if LONG else 1000
READERS = 1000 if LONG else 200


async def held(port, n, crash, request):
    """n connections with an answer each; crash() ends them all; every client comes back at once with a request.  What each got."""
    conns = []
    for at in range(0, n, 200):
        part = await asyncio.gather(*(asyncio.open_connection('127.0.0.1', port) for _ in range(min(200, n - at))))
        for _, w in part:
            w.write(HEALTH)
        for r, _ in part:
            assert b'200 OK' in await r.readuntil(b'\r\n\r\n')
        conns += part
    crash()

    async def back(r, w):
        try:
            while await r.read(65536):
                pass
        except ConnectionError:
            pass
        w.close()
        start = time.monotonic()
        t = await talk(port, [request], 1, quiet=60)
        return t.answers[0] if t.answers else None, time.monotonic() - start
    return await asyncio.gather(*(back(r, w) for r, w in conns), return_exceptions=True)


@pytest.mark.promise(32)
def test_all_clients_come_back_at_once_after_a_crash(fabrics, origins):  # noqa: F811
    """Nobody is refused; each has its answer or a 429 or 503 that says when to come again; the queue and the memory keep their bounds."""
    os_ = [origins() for _ in range(2)]
    f = fabrics(conf='limits { queue = 100 connections = 10000 }\n' + ''.join(
        f'instance "i{i}" {{ url = "http://127.0.0.1:{o.port}" slots = 4 }}\n' for i, o in enumerate(os_)))
    first = f.status()['routers'][0]['pid']
    got = asyncio.run(held(f.port, CLIENTS, lambda: os.kill(first, signal.SIGKILL), generate()))
    strange = [x for x in got if isinstance(x, BaseException) or x[0] is None]
    assert not strange, (len(strange), strange[:3])
    by = {s: [a for a, _ in got if a.status == s] for s in {a.status for a, _ in got}}
    assert set(by) <= {200, 429, 503} and len(by[200]) >= 100, {s: len(x) for s, x in by.items()}
    again = [int(a.headers['retry-after']) for s in (429, 503) for a in by.get(s, ())]
    assert all(1 <= x <= 180 for x in again)
    assert len(again) < 50 or len(set(again)) > 1, 'they would all come again in the same second'
    pid = f.status()['routers'][0]['pid']
    assert pid not in (0, first) and (SANITIZED or rss_kib(pid) < 128 * 1024)
    assert one(f.port, generate()).answers[0].status == 200
    print(f'{CLIENTS} clients: ' + ', '.join(f'{s}: {len(x)}' for s, x in sorted(by.items())) + f'; the last after {max(t for _, t in got):.1f} s; '
          f'{rss_kib(pid)} KiB')


@pytest.mark.promise(32)
def test_a_burst_beyond_the_queue_is_told_when_to_come_again(front):  # noqa: F811
    """As many as there are places and waiting room are served, the others get 429 at once, not all for the same moment."""
    f = front('limits { queue = 20 }\nrouting { wait { tenant = 100% normal { share = 100% } } }', places=1)
    f.origins[0].answer_next([b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n'], 'hold')
    holder = slow_client(f.port, generate())
    wait_for(lambda: f.origins[0].played, 5, 'the place is taken')

    async def burst():
        async def ask():
            start = time.monotonic()
            t = await talk(f.port, [generate()], 1, quiet=30)
            if t.answers[0].status == 429:
                refused.append((time.monotonic() - start, int(t.answers[0].headers['retry-after'])))
                if len(refused) == 280:
                    holder.close()
            return t.answers[0].status
        return await asyncio.gather(*(ask() for _ in range(300)))
    refused, watch = [], Stopwatch()
    got = asyncio.run(burst())
    slow = watch.stretch()
    assert sorted(got) == [200] * 20 + [429] * 280, {s: got.count(s) for s in set(got)}
    assert max(t for t, _ in refused) < 2 * slow and len({x for _, x in refused}) > 1, 'at once, and spread'
    assert f.counters()['refused_429'] == 280


@pytest.mark.promise(14)
def test_many_readers_stop_reading(front):  # noqa: F811
    """Each costs at most twice its buffer; others are served meanwhile; at the deadline all are cut, and upstream is closed."""
    f = front(f'deadlines {{ stall = {30 if LONG else 5}s gap = 60s }}\nlimits {{ buffer = 64KiB connections = 4000 }}', n=2, places=READERS + 8)
    before = rss_kib(f.pid)
    endless = b''.join([cases.chunk(cases.LINE * 200)])
    for _ in range(READERS):
        for o in f.origins[:1]:
            o.answer_next(itertools.chain([cases.STREAM], itertools.repeat(endless)), 'hold')
    f.ctl('drain', 'i1')
    wait_for(lambda: f.instance('i1')['wanted'] != 'run' or f.instance('i1')['state'] != 'ready', 5)
    readers = [slow_client(f.port, generate(stream=True)) for _ in range(READERS)]
    wait_for(lambda: f.instance('i0')['in_flight'] == READERS, 30, 'all streams run')
    f.ctl('undrain', 'i1')
    peak, waits = 0, []
    while f.instance('i0')['in_flight'] > READERS // 2:
        peak = max(peak, rss_kib(f.pid))
        since = Stopwatch()
        assert one(f.port, HEALTH).answers[0].status == 200
        waits.append(since.seconds())
    each = (peak - before) / READERS
    print(f'{READERS} stalled readers: {each:.0f} KiB of resident memory each; others wait {max(waits) * 1000:.0f} ms at most')
    assert SANITIZED or each < 2 * 64 + 32, each  # the buffer, and what was read at a time beyond it
    assert max(waits) < 2, max(waits)
    wait_for(lambda: f.instance('i0')['in_flight'] == 0, 60, 'all are cut')
    wait_for(lambda: not [p for p in f.origins[0].played if p in f.origins[0].open], 20, 'upstream is closed')
    for s in readers:
        s.close()
    f.origins[0].script.clear()
    assert one(f.port, generate()).answers[0].status == 200
