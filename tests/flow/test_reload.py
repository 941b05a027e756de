"""Reloads: a hundred bad ones, one in the middle of writing, and a thousand good ones under load."""
import http.client
import json
import os
import subprocess
import threading
import time

import pytest
from fabric import BUILD, LONG, ROOT, SANITIZED, alive, free_port, wait_for
from test_kill import Load
from test_upgrade import LongStreams


def conf_of(ports, **per):
    return ''.join(f'instance "i{i}" {{ url = "http://127.0.0.1:{p}" slots = {per.get(f"i{i}", 8)} }}\n' for i, p in enumerate(ports))


def rss_kib(pid):
    return int(next(x for x in open(f'/proc/{pid}/status') if x.startswith('VmRSS')).split()[1])


def fds(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


@pytest.mark.promise(20)
def test_a_hundred_broken_files_change_nothing(sims, fabrics):
    """Every bad file of the corpus, and some that are no text at all: refused with file and line, exit status not 0, nothing changes."""
    s = sims(2)
    good = conf_of(s.ports)
    f = fabrics(conf=good)
    before, router = f.pids(), f.status()['routers'][0]['pid']
    corpus = sorted((ROOT / 'tests/conf').glob('*.conf'))
    bad = [p.read_bytes() for p in corpus if subprocess.run([BUILD / 'tsad', '-n', '-c', p], capture_output=True, timeout=20).returncode == 1]
    bad += [b'', b'\0' * 5000, os.urandom(3000), b'{' * 100000, b'"' * 70000, b'instance "a" {' * 2000, 'instance "ä" { }'.encode('utf-16'), good.encode()[:-3]]
    assert len(bad) >= 85
    with Load(f.port, short=2, streams=2) as load:
        for n, text in enumerate(bad, 1):
            f.conf.write_bytes(text)
            r = f.ctl('reload', check=False)
            assert r.returncode == 1 and 'tsa.conf' in r.stderr, (text[:200], r)
        s = f.status()['supervisor']
        assert s['reloads_bad'] == len(bad) and s['reloads_ok'] == 0 and 'tsa.conf' in s['reload_error']
    assert not load.bad(), load.bad()[:3]
    assert f.pids() == before and f.status()['routers'][0]['pid'] == router
    f.write_conf(good)
    f.ctl('reload')
    assert f.status()['supervisor']['reloads_ok'] == 1 and not f.status()['supervisor']['reload_error']


@pytest.mark.promise(20)
def test_reloads_while_the_file_is_being_written(sims, fabrics):
    """Written in place, in pieces, by somebody who does not care.  Each reload is refused, or does what stood there; nothing else."""
    s = sims(2)
    texts = [conf_of(s.ports, i1=n).replace('instance "i1"', '# ' + 'x' * 3000 + '\ninstance "i1"') for n in (8, 9)]
    f = fabrics(conf=texts[0])
    head = f'listen = {{"127.0.0.1:{f.port}"}}\nstate_dir = "{f.state}"\n'
    over, outcomes = threading.Event(), set()

    def write():
        while not over.is_set():
            for t in texts:
                with f.conf.open('wb', buffering=0) as out:
                    text = (head + t).encode()
                    for at in range(0, len(text), 97):
                        out.write(text[at:at + 97])
                        time.sleep(0.0005)
    w = threading.Thread(target=write)
    with Load(f.port, short=2, streams=2) as load:
        w.start()
        try:
            for _ in range(1000 if LONG else 120):
                outcomes.add(f.ctl('reload', check=False).returncode)
        finally:
            over.set()
            w.join()
    assert outcomes == {0, 1}, 'some were whole, some were not'
    assert not load.bad(), load.bad()[:3]
    f.write_conf(texts[0])
    f.ctl('reload')
    wait_for(lambda: {i['name']: i['state'] for i in f.status()['instances']} == {'i0': 'ready', 'i1': 'ready'}, 20, 'the whole file is in force')


class Idle:
    """Keep-alive connections that have had one answer, and shall have another one on the same connection at the end."""

    def __init__(self, port, n):
        self.conns = [http.client.HTTPConnection('127.0.0.1', port, timeout=30) for _ in range(n)]
        self.whole()
        self.names = [c.sock.getsockname() for c in self.conns]

    def whole(self):
        for c in self.conns:
            c.request('GET', '/healthz')
            assert c.getresponse().read() == b'ok\n'
        return True

    def same(self):
        return self.whole() and [c.sock.getsockname() for c in self.conns] == self.names

    def close(self):
        for c in self.conns:
            c.close()


@pytest.mark.promise(21)
def test_a_thousand_reloads_under_load(sims, fabrics):
    """Places, deadlines, an instance and a listener come and go: 0 failed, 0 cut, idle connections kept, memory and descriptors flat."""
    s = sims(3, '--parallel', '64')
    rounds = 1000 if LONG else 150
    other = free_port()

    def conf(n):
        ports = s.ports if n % 50 >= 25 else s.ports[:2]
        listen = f'"127.0.0.1:{f.port}"' + (f', "127.0.0.1:{other}"' if n % 10 == 0 else '')
        return (f'listen = {{{listen}}}\nstate_dir = "{f.state}"\ndeadlines {{ idle = 1h drain = {20 + n % 7}s }}\n'
                + conf_of(ports, i0=16 + n % 2, i1=16 + n % 3))
    f = fabrics(conf='deadlines { idle = 1h }\n' + conf_of(s.ports[:2], i0=16, i1=16))
    router = f.status()['routers'][0]['pid']
    idle = Idle(f.port, 20)
    figures = []
    with Load(f.port, short=2, streams=3) as load:
        streams = LongStreams(f.port, 8, 60 * rounds // 10, '10ms' if not LONG else '20ms')
        for n in range(rounds):
            f.conf.write_text(conf(n))
            f.ctl('reload')
            if n % 50 == 49:
                wait_for(lambda: len(f.status()['instances']) == 3 and all(i['state'] == 'ready' for i in f.status()['instances']), 20, 'three are ready')
                figures.append([(fds(p), rss_kib(p)) for p in (f.tsad.pid, router)])
        assert f.status()['supervisor']['reloads_ok'] == rounds
        assert idle.same()
        assert streams.whole(), [x for x in streams.said if not x.get('done')][:3]
    idle.close()
    assert not load.bad(), load.bad()[:3]
    assert f.status()['routers'][0]['pid'] == router and alive(router)
    print(f'{rounds} reloads, {len(load.done)} requests beside them; (descriptors, KiB) of supervisor and router: {figures}')
    for first, last in zip(figures[0], figures[-1]):
        assert last[0] <= first[0] + 8, figures  # of the router: connections come and go
        assert SANITIZED or last[1] <= first[1] + 512, figures
