"""Another version is installed under a running service, takes over, and is taken back."""
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import threading

import pytest
from fabric import BUILD, LONG, ROOT, alive, free_port, wait_for
from test_kill import Load

PROGRAMS = ('tsad', 'tsa-worker', 'tsa-router', 'tsactl')
VERSION = (ROOT / 'VERSION').read_text().strip()
# Of the same length, and no version that anybody releases.  A byte in the middle: the linker lets shorter texts share the last ones, and
# the compiler may have looked at the first.
OTHER = f'{VERSION[:2]}~{VERSION[3:]}'


def install(source, to):
    """As a package manager does: written beside, then renamed, so that what runs keeps its own file."""
    to.mkdir(exist_ok=True)
    for p in PROGRAMS:
        shutil.copy2(source / p, to / f'{p}.new')
        os.replace(to / f'{p}.new', to / p)
    return to


@pytest.fixture(scope='session')
def other_version(tmp_path_factory):
    """The same programs with another version in them; with TSA_LONG=1 truly built so."""
    d = tmp_path_factory.mktemp('other')
    if LONG:
        subprocess.run(['make', '-s', f'B={d}', f'VERSION={OTHER}', *(f'{d}/{p}' for p in PROGRAMS)], cwd=ROOT, check=True)
        return d
    install(BUILD, d)
    for p in PROGRAMS:
        (d / p).write_bytes((BUILD / p).read_bytes().replace(VERSION.encode(), OTHER.encode()))
    return d


class LongStreams:
    """Streams that are open when the deed is done, read to their end."""

    def __init__(self, port, n, tokens, delay='100ms'):
        self.said, self.open = [], 0
        self.threads = [threading.Thread(target=self.run, args=(port, tokens, delay)) for _ in range(n)]
        for t in self.threads:
            t.start()
        wait_for(lambda: self.open == n, 20, 'the streams are open')

    def run(self, port, tokens, delay):
        c = http.client.HTTPConnection('127.0.0.1', port, timeout=120)
        c.request('POST', '/api/chat', json.dumps({'model': 'sim-chat:latest', 'messages': [
            {'role': 'user', 'content': f'sim:tokens={tokens} sim:delay={delay}'}]}))
        r = c.getresponse()
        first = r.readline()
        self.open += 1
        try:
            self.said.append(json.loads((first + r.read()).decode().strip().split('\n')[-1]))
        except Exception as e:  # noqa: BLE001 - every way to break is a verdict
            self.said.append({'broken': repr(e)})

    def whole(self):
        for t in self.threads:
            t.join()
        return all(x.get('done') for x in self.said)


@pytest.fixture
def installed(tmp_path, fabrics, sims):
    """A fabric that runs from a directory of its own; one instance adopted, one started by tsa."""
    s = sims(1, '--parallel', '64')
    programs = install(BUILD, tmp_path / 'programs')
    port = free_port()
    f = fabrics(programs=programs, conf=f'instance "i0" {{ url = "http://127.0.0.1:{s.port}" slots = 32 }}\n'
                f'instance "own" {{ command = {{"{BUILD}/ollama-sim", "serve"}} listen = "127.0.0.1:{port}" models = {{"sim-chat"}} slots = 32 }}\n')
    f.sim = s
    return f


def version(f):
    return json.loads(f.ctl('-j', 'version').stdout)['supervisor']


def settled(f, n=2):
    wait_for(lambda: f.status()['routers'][0]['pid'] and sum(i['state'] == 'ready' for i in f.status()['instances']) == n, 20, 'all is ready')
    return f.status()


@pytest.mark.promise(29)
def test_another_version_takes_over_and_is_taken_back(installed, other_version):
    """0 refused, 0 failed, streams to their end; new router beside the old one, a new board, the same Ollamas with their models."""
    f = installed
    loads = f.sim.stats()['loads']['started']
    with Load(f.port) as load:
        for source, want in ((other_version, OTHER), (BUILD, VERSION)):
            before = settled(f)
            streams = LongStreams(f.port, 6, 40)
            install(source, f.programs)
            old = before['routers'][0]['pid']
            assert want in f.ctl('upgrade').stdout
            wait_for(lambda: f.status()['routers'][0]['pid'] not in (0, old), 10, 'a new router')
            after = settled(f)
            assert version(f) == want and after['supervisor']['pid'] == before['supervisor']['pid'] == f.tsad.pid
            assert alive(old) and alive(after['routers'][0]['pid']), 'side by side'
            for name in ('i0', 'own'):
                was, now = ([i for i in s['instances'] if i['name'] == name][0] for s in (before, after))
                assert was['worker_pid'] != now['worker_pid'] and (name == 'i0' or was['ollama_pid'] == now['ollama_pid'])
            assert streams.whole(), streams.said
            wait_for(lambda: not alive(old), 10, 'the old router has ended')
            load.wait_more(20)
    assert not load.bad(), load.bad()[:5]
    assert f.sim.stats()['loads']['started'] == loads, 'no model was loaded again'
    pids = f.pids()
    assert f.stop() == 0
    assert not [p for p in pids if alive(p)]


@pytest.mark.promise(29)
def test_the_same_version_takes_over_and_replaces_nobody(installed):
    f = installed
    before = settled(f)
    with Load(f.port) as load:
        for _ in range(3):
            wait_for(lambda: f.ctl('upgrade', check=False).returncode == 0, 10, 'the last one has finished its start')
            after = settled(f)
            assert after['supervisor']['pid'] == f.tsad.pid
            assert [r['pid'] for r in after['routers']] == [r['pid'] for r in before['routers']]
            assert [i['worker_pid'] for i in after['instances']] == [i['worker_pid'] for i in before['instances']]
            load.wait_more(10)
    assert not load.bad(), load.bad()[:5]
    # They are its children still, in spite of the new program: a death is noticed, and leaves no zombie.
    os.kill(after['routers'][0]['pid'], 9)
    wait_for(lambda: f.status()['routers'][0]['pid'] not in (0, after['routers'][0]['pid']), 10, 'a new router')
    wait_for(lambda: not os.path.exists(f'/proc/{after["routers"][0]["pid"]}'), 5, 'the old one was waited for')


@pytest.mark.promise(29)
@pytest.mark.parametrize('program, says', [('#!/bin/sh\nexit 3\n', 'status 3'), ('no program at all', 'nothing has changed'), (None, 'nothing has changed')])
def test_a_program_that_does_not_work_takes_over_nothing(installed, program, says):
    f = installed
    before = f.pids()
    tsad = f.programs / 'tsad'
    tsad.unlink()
    if program:
        tsad.write_text(program)
        tsad.chmod(0o755)
    r = f.ctl('upgrade', check=False)
    assert r.returncode == 1 and says in r.stderr, r
    assert f.pids() == before


@pytest.mark.promise(29)
def test_a_stop_in_the_middle_of_an_upgrade_leaves_nothing(installed, other_version):
    """The old router is drained as the new one is, within the same bound, and its streams are told."""
    f = installed
    old = settled(f)['routers'][0]['pid']
    streams = LongStreams(f.port, 2, 40)
    install(other_version, f.programs)
    f.ctl('upgrade')
    wait_for(lambda: f.status()['routers'][0]['pid'] not in (0, old), 10, 'a new router')
    pids = [old, *f.pids()]
    assert f.stop() == 0
    assert streams.whole(), streams.said
    assert not [p for p in pids if alive(p)]


@pytest.mark.promise(29)
def test_an_old_router_that_hangs_is_ended(installed, other_version):
    f = installed
    f.conf.write_text(f.conf.read_text() + 'deadlines { drain = 2s }\n')
    f.ctl('reload')
    old = settled(f)['routers'][0]['pid']
    streams = LongStreams(f.port, 1, 1000)
    install(other_version, f.programs)
    f.ctl('upgrade')
    wait_for(lambda: f.status()['routers'][0]['pid'] not in (0, old), 10, 'a new router')
    os.kill(old, signal.SIGSTOP)
    wait_for(lambda: not alive(old), 10, 'it is killed')
    assert f'the old router, process {old}, did not stop in time and is killed' in f.tsad.text()
    assert not streams.whole()
    settled(f)


def blocked(pid):
    mask = int(re.search(r'SigBlk:\s*(\w+)', open(f'/proc/{pid}/status').read())[1], 16)
    return {signal.Signals(n + 1).name for n in range(64) if mask >> n & 1}


@pytest.mark.promise(29)
@pytest.mark.parametrize('sig', ['HUP', 'TERM'])
def test_a_signal_while_the_program_changes_is_not_lost(installed, sig):
    """It comes after the old program's last look and before the new one's first, and neither ends the process nor is forgotten."""
    f = installed
    settled(f)
    pids = f.pids()
    tsad = f.programs / 'tsad'
    tsad.rename(f.programs / 'tsad.real')
    tsad.write_text('#!/bin/sh\nfor last; do :; done\n'
                    f'if [ "$last" = -n ]; then cp /proc/self/status {f.tmp}/check; else kill -{sig} $$; fi\nexec "$0.real" "$@"\n')
    tsad.chmod(0o755)
    f.ctl('upgrade')
    if sig == 'TERM':
        assert f.tsad.wait(20) == 0
        assert not [p for p in pids if alive(p)]
    else:
        wait_for(lambda: re.search('works on.* works on.* reloaded: ', f.tsad.text(), re.S), 10, 'the new program reloads')
        settled(f)
        assert blocked(f.tsad.pid) == {'SIGHUP', 'SIGINT', 'SIGTERM', 'SIGCHLD'}
        assert not [p for p in f.pids()[1:] if blocked(p) & {'SIGHUP', 'SIGINT', 'SIGTERM'}]
    assert re.search(r'SigBlk:\s*0+\n', (f.tmp / 'check').read_text()), 'what checks the configuration can be ended'
