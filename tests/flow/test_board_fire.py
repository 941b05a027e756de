"""The live board under fire: its bytes change under the feet of supervisor, workers, routers and tsactl while they serve.

Users see answers, or "nothing can serve this now" with Retry-After; nobody crashes; nothing is connected to, and nobody is signalled,
because the board says so; and when it is over, all is as before.  TSA_FIRE_S=600 makes ten minutes of it."""
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import boardfiles
from boardfiles import OWNER, ROUTER, VITAL, Board, at, size
from fabric import BUILD, PATIENCE, ROOT, alive, call, chat, wait_for

FIRE_S = float(os.environ.get('TSA_FIRE_S', 18))


class Users:
    """Short requests and streams until stopped: how each ended, as status or as what broke."""

    def __init__(self, port, n=6):
        self.port, self.over, self.ends = port, threading.Event(), []
        self.threads = [threading.Thread(target=self.run, args=(i % 3 == 0,)) for i in range(n)]
        for t in self.threads:
            t.start()

    def one(self, stream):
        text = 'sim:tokens=12 sim:delay=5ms' if stream else 'sim:tokens=1 sim:delay=1ms'
        try:
            st, body, head = call(self.port, 'POST', '/api/chat',
                                  {'model': 'sim-chat:latest', 'messages': [{'role': 'user', 'content': text}], 'stream': stream}, timeout=60)
            if st == 200 and not json.loads(body.strip().split('\n')[-1]).get('done'):
                return f'200 without an end: {body[-200:]}'
            return 200 if st == 200 else st if 'retry-after' in head else f'{st} {body[:200]}'
        except Exception as e:  # noqa: BLE001 - every way to fail is a finding
            return f'{type(e).__name__}: {e}'

    def run(self, stream):
        while not self.over.is_set():
            self.ends.append(self.one(stream))

    def stop(self):
        self.over.set()
        for t in self.threads:
            t.join()
        return self.ends


class Watch:
    """Whom the processes of a fabric connect to: their sockets, as the kernel lists them, again and again."""

    def __init__(self, pids, own_port):
        self.pids, self.own, self.over, self.seen = pids, own_port, threading.Event(), {}
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def inodes(self):
        out = set()
        for p in self.pids:
            for fd in os.listdir(f'/proc/{p}/fd'):
                try:
                    to = os.readlink(f'/proc/{p}/fd/{fd}')
                except OSError:
                    continue
                if to.startswith('socket:['):
                    out.add(to[8:-1])
        return out

    def look(self):
        mine = self.inodes()
        for table in ('tcp', 'tcp6', 'udp', 'udp6'):
            for line in open(f'/proc/net/{table}').read().split('\n')[1:]:
                w = line.split()
                if len(w) < 10 or w[9] not in mine or w[2].strip('0:') == '' or int(w[1].split(':')[1], 16) == self.own:
                    continue
                self.seen[(table, w[2])] = self.seen.get((table, w[2]), 0) + 1

    def run(self):
        while not self.over.wait(0.02):
            try:
                self.look()
            except OSError:
                pass

    def stop(self):
        self.over.set()
        self.thread.join()
        return self.seen


def address(port):
    return ('tcp', f'0100007F:{port:04X}')


def vandalise(f, how, seconds, seed):
    """The vandal at work, and tsactl looking at what it does."""
    log = f.tmp / f'vandal-{how}.log'
    p = subprocess.Popen([sys.executable, boardfiles.__file__, str(f.tsad.pid), how, str(seconds), str(seed)], stdout=log.open('w'),
                         stderr=subprocess.STDOUT)
    try:
        looks = tsactl_looks(f, p)
    finally:
        p.kill()
        p.wait()
    assert p.returncode == 0, log.read_text()
    out = json.loads(log.read_text())
    print(f'{how}: {out["blows"]} blows, {looks} looks by tsactl')
    return out['blows']


def tsactl_looks(f, vandal):
    """As long as he is at work: no crash, and JSON whenever it says that it has an answer."""
    looks = 0
    while vandal.poll() is None:
        for words in (['-j', 'status'], ['status'], ['instance', 'i0']):
            r = subprocess.run([BUILD / 'tsactl', '--state', f.state, *words], capture_output=True, timeout=20 * PATIENCE)
            assert r.returncode >= 0 and b'Sanitizer' not in r.stderr and b'runtime error' not in r.stderr, (words, r)
            if words[0] == '-j':
                answer = json.loads(r.stdout)
                assert r.returncode == 0 or answer['error'], (words, r)
            looks += 1
    return looks


def whole_again(f, before):
    def fact():
        s = f.status()
        return len(s['instances']) == 2 and all(i['state'] == 'ready' for i in s['instances'])
    wait_for(fact, 20, 'all instances are ready again')
    assert f.pids() == before, 'nobody died of it'
    for _ in range(20):
        assert chat(f.port, 'sim:tokens=1')[0] == 200
    log = f.tsad.text()
    for word in ('Sanitizer', 'runtime error', 'cannot happen', 'must not happen', 'bug:'):
        assert word not in log, log[log.index(word) - 500:][:2000]


@pytest.mark.promise(9)
def test_every_byte_and_random_runs_of_the_live_board_change_while_it_serves(sims, fabrics):
    s = sims(2)
    f = fabrics(adopt=s.ports, slots=8)
    before = f.pids()
    seed = int(time.time())
    print(f'seed {seed}')
    watch, users, ends = Watch(before, f.port), Users(f.port), {}
    try:
        for how in ('gentle', 'sweep', 'storm'):
            n = len(users.ends)
            vandalise(f, how, FIRE_S / 3, seed)
            ends[how] = users.ends[n:]
        whole_again(f, before)
    finally:
        users.stop()
        seen = watch.stop()
    for how, e in ends.items():
        print(how, {k: e.count(k) for k in sorted(set(e), key=str)})
    assert not [e for e in users.ends if e not in (200, 429, 503)]
    assert len([e for e in ends['gentle'] if e == 200]) > 0.9 * len(ends['gentle']) > 10
    assert seen and set(seen) <= {address(p) for p in s.ports}, seen
    assert f.stop() == 0


@pytest.mark.promise(9)
def test_addresses_and_processes_on_the_board_are_for_people_only(sims, fabrics):
    """A vandal who knows layout and sums: every address leads to his trap, every process is somebody else's."""
    s = sims(2)
    f = fabrics(adopt=s.ports, slots=8)
    before = f.pids()
    with socket.socket() as trap:
        trap.bind(('127.0.0.1', 0))
        trap.listen()
        trap.settimeout(0)
        url = f'http://127.0.0.1:{trap.getsockname()[1]}'.encode()
        bystander = subprocess.Popen(['sleep', '300'])
        board = Board(f.tsad.pid)

        def owner(payload):
            payload[at('shm_owner', 'url'):at('shm_owner', 'url') + 128] = url.ljust(128, b'\0')
            payload[at('shm_owner', 'child_pid'):at('shm_owner', 'child_pid') + 8] = bystander.pid.to_bytes(8, 'little')

        def vital(payload):
            for member in ('ollama_pid', 'runner_pids'):
                payload[at('shm_vital', member):at('shm_vital', member) + 8] = bystander.pid.to_bytes(8, 'little')
        users, until, forged = Users(f.port), time.monotonic() + 4, 0
        try:
            while time.monotonic() < until:
                for i in range(2):
                    board.line_forge((OWNER, 0), at('shm_owner_file', 'slot') + i * size('shm_owner_line'), size('shm_owner'), owner)
                    board.line_forge((VITAL, i), at('shm_vital_file', 'vital'), size('shm_vital'), vital)
                    forged += url.decode() in f.ctl('-j', 'status').stdout
            assert forged > 2, 'the forgery is believed by those who show it to people'
            os.kill(before[-1], signal.SIGKILL)  # a worker: its successor reads what stands there
            wait_for(lambda: f.status()['instances'] and all(i['state'] == 'ready' for i in f.status()['instances']), 20, 'ready')
        finally:
            ends = users.stop()
            lives = alive(bystander.pid)
            bystander.kill()
            bystander.wait()
            board.close()
        assert lives, 'it was signalled because the board named it'
        assert set(ends) == {200}, set(ends)
        try:
            trap.accept()
            raise AssertionError('somebody followed an address on the board')
        except BlockingIOError:
            pass


@pytest.mark.promise(9)
def test_a_damaged_stamp_brings_a_new_board_and_nobody_notices(sims, fabrics):
    s = sims(2)
    f = fabrics(adopt=s.ports, slots=8)
    before, users = f.pids(), Users(f.port)
    try:
        for key in ((ROUTER, 0), (OWNER, 0), (VITAL, 1), (VITAL, 0)):
            n = f.tsad.text().count('damaged and replaced')
            board = Board(f.tsad.pid)
            board[key][at('shm_stamp', 'layout')] ^= 1
            board.close()
            wait_for(lambda: f.tsad.text().count('damaged and replaced') == n + 1, 5, 'a new board')
            wait_for(lambda: [i['state'] for i in f.status()['instances']] == ['ready', 'ready'], 5, 'all see it')
            served = f.counters()['answered']
            wait_for(lambda: f.counters()['answered'] > served + 20, 10, 'the router counts on it')
    finally:
        ends = users.stop()
    assert f.pids() == before
    assert set(ends) == {200}, set(ends)
    f.wait_balance()  # the counts went along


@pytest.mark.promise(8)
def test_workers_that_die_in_mid_line_are_not_noticed(sims, fabrics):
    """The deed a thousand times is tests/race/board.c; here the whole fabric lives through it."""
    s = sims(2)
    f = fabrics(adopt=s.ports, slots=8)
    users, board = Users(f.port), Board(f.tsad.pid)
    try:
        for n in range(10):
            i = n % 2
            pid = f.instance(f'i{i}')['worker_pid']
            os.kill(pid, signal.SIGSTOP)
            for line, struct in (('vital', 'shm_vital'), ('models', 'shm_models')):
                offset = at('shm_vital_file', line)
                board.word_set((VITAL, i), offset, board.word((VITAL, i), offset) | 1)
                half = size(struct) // 16 * 8
                board[(VITAL, i)][offset + 8:offset + 8 + half] = os.urandom(half)
            assert f.instance(f'i{i}')['worker']['heartbeat'] == 'unsettled'
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: f.instance(f'i{i}')['worker_pid'] not in (0, pid) and f.instance(f'i{i}')['state'] == 'ready', 20, 'the next worker')
    finally:
        ends = users.stop()
        board.close()
    assert set(ends) == {200} and len(ends) > 50, set(ends)


@pytest.mark.promise(8)
def test_writers_killed_in_mid_line_a_thousand_times():
    r = subprocess.run([BUILD / 'race/board', '1000'], capture_output=True, text=True, cwd=ROOT, timeout=300 * PATIENCE)
    assert r.returncode == 0, r.stdout + r.stderr
