"""One scripted life of a fabric - start, ready, requests in three dialects, failover, reload, drain, stop - in which one call of one program fails.

play(plan, tmp, sim) returns a Verdict: what was found wrong, or nothing.  What may happen: a request fails with an error in its dialect, a
process says why and exits and is started again.  What may not: an end by a signal, a hang, a stream that ends as if it were whole, a service
that does not come back, a descriptor or a process too many at the end."""
import collections
import contextlib
import ctypes
import dataclasses
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sys
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tests/flow'))
from fabric import BUILD, PATIENCE, SANITIZED, Fabric, Process, call, free_port, get, wait_for  # noqa: E402

SHIM = BUILD / 'sweep/shim.so'
MODEL = 'sim-chat:latest'
PROGRAMS = {'tsad': 'tsad', 'router': 'tsa-router', 'worker': 'tsa-worker', 'host': 'tsa-worker'}
FIRST_WORD = {'router': '0', 'worker': 'own', 'host': '--host'}
# What no log of a healthy service says.
NEVER = re.compile(r'was ended by signal|BUG|Sanitizer|runtime error:|cannot happen while|must not happen|cannot be killed|Assertion|malformed|'
                   r'heart stands still|stack smashing|corrupted|double free')
KILLED = re.compile(r'(did not say HELLO in time|was not ready in time|did not answer a ping|did not stop in time).* and is killed')
DONE = {'/api/chat': '"done":true', '/v1/chat/completions': '[DONE]', '/v1/messages': 'message_stop'}


@dataclasses.dataclass
class Plan:
    target: str
    cls: str
    at: int = 0  # 0: nothing fails
    site: str = ''
    span: int = 1
    errno: int = 0

    def words(self, out):
        return (f'program={PROGRAMS[self.target]} class={self.cls} at={self.at} for={self.span} errno={self.errno} out={out}' +
                (f' site={self.site}' if self.site else ''))

    def name(self):
        return f'{self.target}.{self.cls}.{self.site or "every"}.{self.at}' + (f'.e{self.errno}' if self.errno else '') + \
            (f'.for{self.span}' if self.span > 1 else '')


@dataclasses.dataclass
class Verdict:
    plan: Plan
    found: list
    hit: list  # lines of the shim: what failed, and from where it was called
    seconds: float
    fds: dict = dataclasses.field(default_factory=dict)
    notes: collections.Counter = dataclasses.field(default_factory=collections.Counter)


def subreaper():
    """Whoever loses its parent becomes ours, so that nobody is overlooked."""
    ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)


def children():
    out = set()
    for t in os.listdir('/proc/self/task'):
        with contextlib.suppress(OSError):
            out.update(map(int, open(f'/proc/self/task/{t}/children').read().split()))
    return out


def read_out(path):
    with contextlib.suppress(FileNotFoundError):
        with open(path, 'rb') as f:
            parts = []
            while True:
                b = f.read(1 << 20)
                cut = b.find(b'\0')
                parts.append(b if cut < 0 else b[:cut])
                if cut >= 0 or len(b) < 1 << 20:
                    return b''.join(parts).decode(errors='replace').splitlines()
    return []


class Session:
    def __init__(self, plan, tmp, sim):
        self.plan, self.tmp, self.sim = plan, pathlib.Path(tmp), sim
        self.found, self.notes = [], collections.Counter()
        self.restarts = 0
        self.out = self.tmp / 'shim.out'
        self.bin = self.tmp / 'bin'
        self.before = children()
        self.own_port = free_port()

    def say(self, text):
        if text not in self.found:
            self.found.append(text)

    # --- a build directory in which one program is preloaded ----------------------------------------------------------------------------

    def prepare(self):
        self.bin.mkdir()
        for p in ('tsad', 'tsa-worker', 'tsa-router', 'tsactl'):
            if PROGRAMS[self.plan.target] == p and p != 'tsad':
                (self.bin / p).write_text(
                    '#!/bin/sh\n'
                    f'if [ "$1" = "{FIRST_WORD[self.plan.target]}" ] && mkdir "{self.tmp}/used" 2>/dev/null; then\n'
                    f'\texport SWEEP="{self.plan.words(self.out)}" LD_PRELOAD="{SHIM}"\n'
                    f'fi\nexec "{BUILD}/{p}" "$@"\n')
                (self.bin / p).chmod(0o755)
            else:
                try:
                    os.link(BUILD / p, self.bin / p)
                except OSError:
                    shutil.copy2(BUILD / p, self.bin / p)

    def env(self, preload):
        env = dict(os.environ)
        if SANITIZED:
            env['ASAN_OPTIONS'] = 'verify_asan_link_order=0:allocator_may_return_null=1:detect_stack_use_after_return=0'
        if preload:
            env['SWEEP'] = self.plan.words(self.out)
            env['LD_PRELOAD'] = str(SHIM)
        return env

    def conf(self, places):
        return ('deadlines { probe = 200ms able = 2s answer = 2s load = 3s start = 5s stop = 2s drain = 2s connect = 1s first_byte = 5s gap = 3s '
                'total = 10s queue = 5s idle = 5s park = 50ms }\n'
                f'instance "own" {{ command = {{"{BUILD}/ollama-sim", "serve", "--fast", "--quiet"}} listen = "127.0.0.1:{self.own_port}" '
                f'models = {{"sim-chat"}} slots = 2 }}\ninstance "other" {{ url = "http://127.0.0.1:{self.sim.port}" slots = {places} }}\n')

    # --- the supervisor, which may itself be the one that fails -------------------------------------------------------------------------

    def begin(self):
        preload = self.plan.target == 'tsad'
        f = object.__new__(Fabric)
        f.tmp, f.state, f.port, f.env = self.tmp, self.tmp / 'state', free_port(), self.env(preload)
        f.programs = self.bin
        f.conf = self.tmp / 'tsa.conf'
        f.write_conf(self.conf(2))
        self.f = f
        self.spawn(preload)

    def spawn(self, preload):
        self.f.tsad = Process([self.bin / 'tsad', '-v', '-c', self.f.conf], self.tmp / 'tsad.log', env=self.env(preload))

    def check_tsad(self):
        """Start it again where it has ended; how it ended is judged."""
        rc = self.f.tsad.p.poll()
        if rc is None:
            return
        text = self.f.tsad.text()
        self.notes['tsad exits'] += 1
        if rc < 0:
            self.say(f'tsad ended by signal {-rc}')
        elif rc == 0:
            self.say('tsad exited with 0, and nobody had asked it to')
        elif not re.search(r'(tsad\[\d+\] err: |\[err\] ).{10,}', text):
            self.say(f'tsad exited with {rc} without a word')
        self.restarts += 1
        if self.restarts > 3:
            raise AssertionError('tsad ends again and again')
        self.spawn(False)

    def wait_up(self, seconds, what):
        def up():
            self.check_tsad()
            s = self.f.status()
            return (all(i['state'] == 'ready' for i in s['instances']) and len(s['instances']) == 2 and
                    get(self.f.port, '/readyz', timeout=2)[0] == 200)
        wait_for(up, seconds, what, every=0.03)

    # --- requests -----------------------------------------------------------------------------------------------------------------------

    def body(self, path, text, stream):
        b = {'model': MODEL, 'messages': [{'role': 'user', 'content': text}], 'stream': stream}
        if path == '/v1/messages':
            b['max_tokens'] = 50
        return json.dumps(b)

    def judge_error(self, path, status, text):
        try:
            e = json.loads(text)
            e = e['error'] if path.startswith('/api') else e['error']['message']
            if not isinstance(e, str) or len(e) < 8:
                raise ValueError
        except (ValueError, KeyError, TypeError):
            self.say(f'{path}: status {status} without an error in its dialect: {text[:120]!r}')

    def ask(self, path, stream=False, text='sim:tokens=4', method='POST', body=None, want=(200,), tell=True):
        """One request; True when it was answered as it should be.  A clean failure is a note, anything else a finding."""
        try:
            status, got, _ = call(self.f.port, method, path, body or (self.body(path, text, stream) if method == 'POST' else None), timeout=12)
        except (TimeoutError, socket.timeout):
            self.say(f'{method} {path}: no end within 12 s')
            return False
        except (OSError, http.client.HTTPException) as e:
            self.notes[f'cut: {type(e).__name__}'] += 1
            return False
        if status in want:
            if status == 200 and stream and DONE[path] not in got:
                self.notes['a stream with an error'] += 1
                if 'error' not in got.strip().split('\n')[-1] and 'error' not in got[-300:]:
                    self.say(f'{path}: the stream ended as if it were whole: {got[-120:]!r}')
                return False
            return True
        self.notes[f'status {status}'] += 1
        self.judge_error(path, status, got)
        return False

    def slow_reader(self):
        """An answer that does not fit into the sockets: what the router holds for a client that reads late."""
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(12 * PATIENCE)
        body = self.body('/api/chat', f'sim:tokens=300 sim:echo={"x" * 3000}', True).encode()
        try:
            s.connect(('127.0.0.1', self.f.port))
            s.sendall(b'POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n' % len(body))
            s.sendall(body)
            s.recv(1, socket.MSG_PEEK)
            time.sleep(0.05)  # so that it piles up; the length of the pause proves nothing
            while s.recv(65536):
                pass
        except TimeoutError:
            self.say('a slow reader: no end within 12 s')
        except OSError as e:
            self.notes[f'cut: {type(e).__name__}'] += 1
        finally:
            s.close()

    def leaver(self):
        """A client that goes in the middle of its stream."""
        with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', self.f.port), timeout=5) as s:
            body = self.body('/api/chat', 'sim:tokens=200 sim:delay=2ms', True).encode()
            s.sendall(b'POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' % len(body) + body)
            s.recv(10)

    def pieces(self):
        """A head in two pieces, a long chunked body, and a second request behind it."""
        body = self.body('/api/chat', 'sim:tokens=1 ' + 'y' * 100000, False).encode()
        chunks = b''.join(b'%x\r\n%s\r\n' % (len(body[i:i + 30000]), body[i:i + 30000]) for i in range(0, len(body), 30000)) + b'0\r\n\r\n'
        try:
            with socket.create_connection(('127.0.0.1', self.f.port), timeout=12 * PATIENCE) as s:
                s.sendall(b'POST /api/chat HTTP/1.1\r\nHo')
                time.sleep(0.01)
                s.sendall(b'st: x\r\nTransfer-Encoding: chunked\r\n\r\n' + chunks + b'GET /api/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
                got = b''
                while True:
                    b = s.recv(65536)
                    if not b:
                        break
                    got += b
        except TimeoutError:
            self.say('a request in pieces: no end within 12 s')
        except OSError as e:
            self.notes[f'cut: {type(e).__name__}'] += 1

    def requests(self):
        for path in DONE:
            self.ask(path)
            self.ask(path, stream=True)
        self.ask('/api/tags', method='GET')
        self.ask('/v1/models', method='GET')
        self.ask('/api/ps', method='GET')
        self.ask('/api/show', body=json.dumps({'model': MODEL}))
        self.ask('/api/chat', body='{"model": 1', want=(400,))
        self.pieces()
        self.slow_reader()
        self.leaver()

    def failover(self):
        with contextlib.suppress(OSError, AssertionError):
            call(self.own_port, 'POST', '/sim/fault', {'kind': 'garbage', 'count': 1, 'route': '/api/chat'})
        self.ask('/api/chat')
        self.ask('/api/chat', stream=True)

    # --- what the operator does ---------------------------------------------------------------------------------------------------------

    def ctl(self, *words, seconds=6):
        """A verb of tsactl, until it works: an operator tries again.  What it says when it fails must be a sentence."""
        def works():
            self.check_tsad()
            r = self.f.ctl(*words, check=False, timeout=10)
            if r.returncode == 0:
                return True
            self.notes[f'tsactl {words[0]} fails'] += 1
            if len(r.stderr.strip()) < 15 and len(r.stdout.strip()) < 15:
                self.say(f'tsactl {words[0]}: exit {r.returncode} without a word')
            return False
        wait_for(works, seconds, f'tsactl {words[0]} works', every=0.2)

    # --- descriptors --------------------------------------------------------------------------------------------------------------------

    def target_pid(self):
        if self.plan.target == 'tsad':
            return self.f.tsad.pid
        label = {'router': 'router 0', 'worker': 'worker own', 'host': 'host worker'}[self.plan.target]
        started = re.findall(rf'\] info: {label} started as process (\d+)', self.f.tsad.text())
        return int(started[-1]) if started else 0

    def tcp_inodes(self):
        out = set()
        for line in open('/proc/net/tcp').read().splitlines()[1:]:
            w = line.split()
            if w[3] != '0A':  # what listens counts by itself
                out.add(w[9])
        return out

    def descriptors(self):
        """Kinds of descriptors of the target; its connections, whose number may vary by what is pooled, apart."""
        pid = self.target_pid()
        if not pid:
            return {}
        tcp, kinds = self.tcp_inodes(), collections.Counter()
        try:
            fds = os.listdir(f'/proc/{pid}/fd')
        except OSError:  # it has just ended, or ends
            return {}
        for fd in fds:
            with contextlib.suppress(OSError):
                to = os.readlink(f'/proc/{pid}/fd/{fd}')
                m = re.match(r'socket:\[(\d+)\]', to)
                if to.endswith(('/tsad.log', '/shim.out')):
                    continue
                kinds['tcp' if m and m[1] in tcp else 'memfd' if to.startswith('/memfd') else 'file' if to[0] == '/' else to.split(':')[0]] += 1
        return dict(kinds)

    def settle(self, seconds=4):
        """The same twice in a row, a quarter of a second apart, and no request anywhere: nothing is on its way."""
        last = None
        deadline = time.monotonic() + seconds * PATIENCE
        while time.monotonic() < deadline:
            now = self.descriptors()
            if now and now == last:
                break
            last = now
            time.sleep(0.12)
        return last or {}

    # --- the end ------------------------------------------------------------------------------------------------------------------------

    def stop(self):
        self.check_tsad()
        t = self.f.tsad
        os.kill(t.pid, signal.SIGTERM)
        try:
            rc = t.wait(12)
        except AssertionError:
            self.say('tsad did not stop within 12 s')
            t.p.kill()
            t.p.wait()
            return
        if rc < 0:
            self.say(f'tsad ended by signal {-rc} at its stop')
        elif rc > 0 and not (self.plan.target == 'tsad' and self.restarts == 0):
            self.say(f'tsad exited with {rc} at its stop')
        elif rc > 0:
            self.notes['tsad exits at its stop'] += 1

    def left(self):
        """Processes that outlived the stop."""
        def gone():
            for p in children() - self.before:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(p, os.WNOHANG)
            return not children() - self.before
        try:
            wait_for(gone, 4, 'nobody is left')
        except AssertionError:
            for p in children() - self.before:
                with contextlib.suppress(OSError):
                    what = open(f'/proc/{p}/cmdline').read().replace('\0', ' ')
                    self.say(f'left behind: {re.sub(r"/[^ ]*/", "", what)}')

    def kill_all(self):
        def none():
            for p in children() - self.before:  # each death may bring grandchildren
                with contextlib.suppress(OSError):
                    os.kill(p, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(p, os.WNOHANG)
            return not children() - self.before
        wait_for(none, 20, 'all processes of the session are killed')

    def judge_log(self):
        text = self.f.tsad.text()
        for line in text.splitlines():
            if NEVER.search(line) and 'router 0: stopping' not in line:
                self.say(f'log: {line[:200]}')
            m = KILLED.search(line)
            if m:
                self.say(f'hung: {re.sub(r"[0-9]+", "N", line)[:160]}')
        program = PROGRAMS[self.plan.target]
        exits = re.search(r'tsad\[\d+\] \w+: (router \d+|worker \w+|host worker): exited with status', text)
        if program != 'tsad' and exits and not re.search(r'(tsa-(worker|router|host)\[\d+\] err: |\[err\] ).{10,}', text):
            self.say('it exited without a word')
        if exits:
            self.notes['exits'] += 1


def script(s):
    s.begin()
    s.wait_up(20, 'ready after the start')
    s.requests()
    s.failover()
    s.f.write_conf(s.conf(3))
    s.ctl('reload')
    s.ctl('drain', 'own')
    s.ask('/api/chat')
    s.ctl('undrain', 'own')
    s.wait_up(15, 'ready again after all this')
    wait_for(lambda: s.ask('/api/chat') and s.ask('/v1/messages', stream=True), 10, 'a request succeeds in the end')
    fds = s.settle()
    s.stop()
    s.left()
    return fds


def play(plan, tmp, sim):
    start = time.monotonic()
    s = Session(plan, tmp, sim)
    fds = {}
    try:
        s.prepare()
        fds = script(s)
    except AssertionError as e:
        s.say(str(e).split('\n')[0][:300])
    except Exception:  # noqa: BLE001 - one session that the driver itself breaks must not take the others along
        s.say('the driver broke: ' + ' < '.join(traceback.format_exc().strip().split('\n')[:-5:-1]))
    finally:
        s.kill_all()
    s.judge_log()
    lines = read_out(s.out)
    return Verdict(plan, s.found, lines, time.monotonic() - start, fds, s.notes)
