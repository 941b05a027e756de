"""Shortage: no room on the disk, no descriptor, no process, no memory.  What runs goes on, and what is missing is made good when it can be had."""
import json
import os
import resource
import signal
import socket
import subprocess
import threading
import time

import pytest
from fabric import BUILD, SANITIZED, Fabric, alive, chat, get, wait_for
from test_kill import Load

SHIM = BUILD / 'sweep/shim.so'


def failing(tmp_path, words):
    """An environment in which tsad, and nobody else, meets the failures that `words` name."""
    env = dict(os.environ, LD_PRELOAD=str(SHIM), SWEEP=f'program=tsad class=sys out={tmp_path}/shim.out {words}')
    if SANITIZED:
        env['ASAN_OPTIONS'] = 'verify_asan_link_order=0:' + env.get('ASAN_OPTIONS', '')
    return env


def cpu_seconds(pid):
    u, s = open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()[11:13]
    return (int(u) + int(s)) / os.sysconf('SC_CLK_TCK')


@pytest.fixture
def tight(tmp_path):
    """A directory on a file system of 1 MiB."""
    d = tmp_path / 'tight'
    d.mkdir()
    if os.geteuid() or subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', d], capture_output=True).returncode:
        pytest.skip('mounting needs root')
    yield d
    subprocess.run(['umount', '-l', d], check=True)


def works_without_state(f, s, freed):
    """The state cannot be written: nobody notices but the log; and when `freed` has made room, it is."""
    worker = f.instance('i0')['worker_pid']
    with Load(f.port) as load:
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: f.instance('i0')['worker_pid'] not in (0, worker), 10, 'a new worker')
        f.ctl('drain', 'i1')
        wait_for(lambda: f'cannot write {f.state}/state' in f.tsad.text(), 5, 'the log says that the state is not written')
        assert f.ctl('reload').returncode == 0
        f.ctl('undrain', 'i1')
        load.wait_more(40)
    assert not load.bad(), load.bad()[:3]
    freed()
    new = f.instance('i0')['worker_pid']
    wait_for(lambda: f' {new} ' in (f.state / 'state').read_text(), 10, 'the state is written when there is room')
    os.kill(f.tsad.pid, signal.SIGKILL)
    f.tsad.p.wait()
    f.env = None
    f.start()
    f.wait_ready(n=2)
    assert f.instance('i0')['worker_pid'] == new, 'and the next supervisor knows it'


@pytest.mark.promise(15)
def test_a_full_disk_is_noticed_by_the_log_alone(sims, tight):
    s = sims(2)
    f = Fabric(tight, adopt=s.ports)
    try:
        fill = tight / 'fill'

        def full():
            with open(fill, 'ab', buffering=0) as b:
                try:
                    while b.write(b'x' * 4096):
                        pass
                except OSError:
                    return
        full()
        works_without_state(f, s, fill.unlink)
    finally:
        f.stop()


@pytest.mark.promise(15)
def test_a_state_file_that_cannot_be_written_is_tried_again(sims, fabrics, tmp_path):
    """As on a full disk, for those who may not mount one: the writes of the state file fail, ten in a row."""
    s = sims(2)
    f = fabrics(adopt=s.ports, env=failing(tmp_path, 'call=write at=9 for=10'))
    works_without_state(f, s, lambda: None)


@pytest.mark.promise(23)
def test_streams_run_on_while_new_connections_find_no_descriptor(sims, fabrics):
    s = sims(1, '--parallel', '4')
    f = fabrics(adopt=s.ports, args=['--slots', '4'])
    router = f.status()['routers'][0]['pid']
    ends = []

    def stream():
        st, body, _ = chat(f.port, 'sim:tokens=150 sim:delay=30ms', stream=True)
        ends.append(st == 200 and json.loads(body.strip().split('\n')[-1]).get('done'))
    threads = [threading.Thread(target=stream) for _ in range(2)]
    for t in threads:
        t.start()
    wait_for(lambda: f.counters()['active'] == 2, 10, 'the streams run')
    resource.prlimit(router, resource.RLIMIT_NOFILE, (64, 64))
    wait_for(lambda: 'at a time and not' in f.tsad.text(), 5, 'the router has seen its limit')
    socks = [socket.create_connection(('127.0.0.1', f.port)) for _ in range(200)]
    before, start = cpu_seconds(router), time.monotonic()
    for t in threads:
        t.join()
    spent = cpu_seconds(router) - before
    assert ends == [True, True]
    assert spent < 0.25 * (time.monotonic() - start), f'it spins: {spent:.2f}s of CPU'
    for x in socks:
        x.close()
    wait_for(lambda: chat(f.port, 'sim:tokens=1')[0] == 200, 10, 'it serves again by itself')
    assert alive(router)


@pytest.mark.promise(28)
def test_a_fork_that_fails_is_tried_again_and_disturbs_nobody(sims, fabrics, tmp_path):
    """The fifth to the seventh start of a process fail as they do at pids.max: a worker comes back late, and nothing else is touched."""
    s = sims(2)
    f = fabrics(adopt=s.ports, env=failing(tmp_path, 'call=posix_spawn at=5 for=3'))
    was = f.status()
    worker = f.instance('i0')['worker_pid']
    with Load(f.port) as load:
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: f.tsad.text().count('Resource temporarily unavailable') >= 2, 15, 'starts fail')
        load.wait_more(20)
        wait_for(lambda: f.instance('i0')['worker_pid'] not in (0, worker), 30, 'the worker is back')
        f.wait_ready(n=2)
        load.wait_more(20)
    assert not load.bad(), load.bad()[:3]
    now = f.status()
    assert now['routers'][0]['pid'] == was['routers'][0]['pid']
    assert now['instances'][1]['worker_pid'] == was['instances'][1]['worker_pid']
    assert 'started again in' in f.tsad.text()


@pytest.mark.promise(28)
def test_control_connections_that_find_no_memory_are_closed_and_later_ones_served(sims, fabrics, tmp_path):
    """The kernel has no memory to watch four new connections of tsactl."""
    s = sims(1)
    f = fabrics(adopt=s.ports, env=failing(tmp_path, 'call=epoll_ctl at=60 for=4'))
    wait_for(lambda: f.ctl('version', check=False).returncode or 'no memory' in f.tsad.text(), 30, 'one is turned away')
    wait_for(lambda: f.ctl('version', check=False).returncode == 0, 10, 'the next one is served')
    assert get(f.port, '/readyz')[0] == 200
