"""The real programs in a temporary directory: start them, wait for facts with a deadline, end them by pid."""
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get('TSA_BUILD', ROOT / 'build')).resolve()
os.environ['TSA_BUILD'] = str(BUILD)  # what a test starts in another directory finds it, too
SANITIZED = 'address' in BUILD.name  # its quarantine keeps what was freed: resident memory then says nothing
REPORTS = BUILD / 'reports'  # what sanitizers say of any process, leaks at its exit too
if SANITIZED:
    REPORTS.mkdir(exist_ok=True)
    for name in ('ASAN_OPTIONS', 'UBSAN_OPTIONS'):  # tsad passes them on to its children
        os.environ[name] = f'log_path="{REPORTS}/report":detect_leaks=1:print_stacktrace=1:print_suppressions=0'
LONG = os.environ.get('TSA_LONG') == '1'  # the long forms of tests
LOAD = float(os.environ.get('TSA_LOAD', '1'))  # how many times the load that two cores bear
PATIENCE = float(os.environ.get('TSA_PATIENCE', '1'))  # sanitizers and emulators are slower


def free_port(n=1):
    """The first of n consecutive free ports, outside the kernel's ephemeral range.  One that was given is given again when all have been."""
    first, end = 20000, 32000
    start = first + os.getpid() * 7919 % (end - first)  # processes that begin together stay far apart
    for _ in range(2):
        for base in [*range(start, end - n + 1, n), *range(first, start - n + 1, n)]:
            span = range(base, base + n)
            if free_port.given.isdisjoint(span) and ports_free(span):
                free_port.given.update(span)
                return base
        free_port.given.clear()
    raise RuntimeError('no free port')


def ports_free(span):
    with contextlib.ExitStack() as stack:
        for p in span:
            s = stack.enter_context(socket.socket())
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(('127.0.0.1', p))
            except OSError:
                return False
    return True


free_port.given = set()


def kept_waiting():
    """Seconds since the boot in which ready tasks had to wait: for a processor, for a disk, or for another machine that had our processor."""
    out = 0.0
    for what in ('cpu', 'io'):
        with contextlib.suppress(OSError):
            some = open(f'/proc/pressure/{what}').readline()
            out += int(some.rsplit('total=', 1)[1]) / 1e6
    stolen = int(open('/proc/stat').readline().split()[8])
    return out + stolen / os.sysconf('SC_CLK_TCK') / os.cpu_count()


class Stopwatch:
    """How long something takes on a machine that has time for it: on a busy one every promise of the kind "within a second" would be one about
    the neighbours.  Seconds in which ready tasks were kept waiting do not count, but never fewer than a fifth of the real ones do: a
    hang ends, and what is slow by itself is slow here, too.  On a quiet machine these are the seconds of the clock on the wall."""

    MOST = max(5.0, 2 * PATIENCE)

    def __init__(self):
        self.begun, self.kept = time.monotonic(), kept_waiting()

    def wall(self):
        return time.monotonic() - self.begun

    def seconds(self):
        wall = self.wall()
        return max((wall - (kept_waiting() - self.kept)) / PATIENCE, wall / self.MOST)

    def over(self, seconds):
        """Cheap as long as there is time by any clock."""
        return self.wall() > seconds * PATIENCE and self.seconds() > seconds

    def stretch(self):
        """How many times longer than on a machine with time everything took so far."""
        return max(1.0, self.wall() / self.seconds())


def wait_for(fact, seconds=10.0, what='', every=0.02):
    """Wait until fact() is true; its value.  The deadline is part of the claim, by the stopwatch."""
    watch, last = Stopwatch(), None
    while True:
        try:
            last = fact()
            if last:
                return last
        except (OSError, ValueError, KeyError, IndexError, http.client.HTTPException, subprocess.CalledProcessError) as e:
            last = e
        if watch.over(seconds):
            raise AssertionError(f'not within {seconds}s ({watch.wall():.1f}s in truth): {what or fact} (last: {last!r})')
        time.sleep(every)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def start_time(pid):
    """In clock ticks since the boot; with the pid it names a process for good.  None: it has gone."""
    try:
        return int(open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()[19])
    except OSError:
        return None


def descendants(pid):
    """All processes under it, as far as they are its children or theirs at this moment."""
    found = set()
    with contextlib.suppress(OSError):
        for t in os.listdir(f'/proc/{pid}/task'):
            found.update(map(int, open(f'/proc/{pid}/task/{t}/children').read().split()))
    return found.union(*map(descendants, found))


class Process:
    def __init__(self, argv, log, env=None, stderr=None, **kw):
        self.argv = [str(a) for a in argv]
        self.log = log
        self.p = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=open(log, 'ab'), stderr=stderr or subprocess.STDOUT,
                                  env=env, **kw)
        self.pid = self.p.pid

    def text(self):
        return pathlib.Path(self.log).read_text(errors='replace')

    def kill(self, sig=signal.SIGKILL):
        if self.p.poll() is None:
            os.kill(self.pid, sig)

    def wait(self, seconds):
        """Its exit status, which comes within so many seconds."""
        wait_for(lambda: self.p.poll() is not None, seconds, f'{self.argv[0]} ends')
        return self.p.returncode

    def end(self, seconds=20):
        """SIGTERM, and SIGKILL when that does not do; the exit status."""
        self.kill(signal.SIGCONT)  # first: it would undo the stop that a leak checker makes at the end
        self.kill(signal.SIGTERM)
        try:
            return self.wait(seconds)
        except AssertionError as e:
            self.kill()
            self.p.wait()
            raise AssertionError(f'{e}, in spite of SIGTERM:\n{self.text()[-3000:]}') from None


# The models that the simulator has without being asked, but a load of one does not take a third of a second of every test.
MODELS = ('--model', 'sim-chat,size=2GB,load=20ms,prefill=2000,decode=50,tools,ctx=8192',
          '--model', 'sim-embed,kind=embed,size=100MB,load=20ms,prefill=20000,ctx=512,params=33M,quant=F16')


class Sim(Process):
    """Simulated instances, each on its own port from one process."""

    def __init__(self, tmp, ports=1, args=()):
        self.port = free_port(ports)
        self.ports = list(range(self.port, self.port + ports))
        models = () if {'--model', '--profile'} & set(args) else MODELS
        super().__init__([BUILD / 'ollama-sim', '--listen', f'127.0.0.1:{self.port}', '--ports', ports, *models, *args],
                         tmp / f'sim-{self.port}.log')
        for p in self.ports:
            wait_for(lambda p=p: get(p, '/api/version')[0] == 200, 10, f'simulator on {p}')

    def fault(self, port=None, **kw):
        status, body, _ = call(port or self.port, 'POST', '/sim/fault', kw)
        assert status == 200, body

    def stats(self, port=None):
        return json.loads(get(port or self.port, '/sim/stats')[1])


def call(port, method, path, body=None, timeout=30, headers=None):
    """One request on its own connection: (status, text, headers)."""
    c = http.client.HTTPConnection('127.0.0.1', port, timeout=timeout * PATIENCE)
    try:
        data = None if body is None else body if isinstance(body, (bytes, str)) else json.dumps(body)
        c.request(method, path, data, headers or {})
        r = c.getresponse()
        return r.status, r.read().decode(errors='replace'), dict((k.lower(), v) for k, v in r.getheaders())
    finally:
        c.close()


def get(port, path, **kw):
    return call(port, 'GET', path, **kw)


def chat(port, text='hello', model='sim-chat:latest', stream=False, timeout=30, **kw):
    return call(port, 'POST', '/api/chat', {'model': model, 'messages': [{'role': 'user', 'content': text}], 'stream': stream, **kw},
                timeout=timeout)


class Fabric:
    """A private tsad: adopt=[ports] and/or conf text; everything under tmp."""

    def __init__(self, tmp, adopt=(), args=(), conf=None, slots=None, env=None, ready=True, programs=BUILD, prefix=(), stderr=None):
        self.tmp = pathlib.Path(tmp)
        self.prefix, self.stderr = list(prefix), stderr
        self.programs = pathlib.Path(programs)
        self.state = self.tmp / 'state'
        self.port = free_port()
        self.env = env
        self.args = []
        if conf is not None:
            self.conf = self.tmp / 'tsa.conf'
            self.write_conf(conf)
            self.args += ['-c', self.conf]
        else:
            self.args += ['--listen', f'127.0.0.1:{self.port}', '--state', self.state]
            for i, p in enumerate(adopt):
                self.args += ['--adopt', f'i{i}=http://127.0.0.1:{p}']
            if slots:
                self.args += ['--slots', slots]
        self.args += list(args)
        self.start()
        if ready:
            self.wait_ready(n=len(adopt) or None)

    def write_conf(self, text):
        self.conf.write_text(f'listen = {{"127.0.0.1:{self.port}"}}\nstate_dir = "{self.state}"\n' + text)

    def start(self):
        self.tsad = Process([*self.prefix, self.programs / 'tsad', *self.args], self.tmp / 'tsad.log', env=self.env, stderr=self.stderr)

    def ctl(self, *words, check=True, timeout=60):
        r = subprocess.run([self.programs / 'tsactl', '--state', self.state, *map(str, words)], capture_output=True, text=True, timeout=timeout * PATIENCE)
        if check and r.returncode:
            raise AssertionError(f'tsactl {words}: exit {r.returncode}: {r.stdout}{r.stderr}')
        return r

    def status(self):
        r = self.ctl('-j', 'status', check=False)
        if r.returncode:
            raise ValueError(r.stderr)
        return json.loads(r.stdout)

    def instance(self, name):
        return next(i for i in self.status()['instances'] if i['name'] == name)

    def counters(self, router=0):
        return self.status()['routers'][router]['counters']

    def wait_balance(self, seconds=5):
        """Every request a router took has ended in exactly one way; the counters."""
        def even():
            c = self.counters()
            ends = ('answered', 'refused_4xx', 'refused_429', 'refused_503', 'failed', 'aborted')
            left = c['requests'] - sum(c[k] for k in ends)
            if left or c['waiting'] or c['active'] or c['parked']:
                raise ValueError(f'{left} requests have not ended: {c}')
            return c
        return wait_for(even, seconds, 'requests = answered + refused + failed + aborted')

    def wait_ready(self, seconds=30, n=None):
        """Instances READY: all, or n of them; and the router answers."""
        def ready():
            if self.tsad.p.poll() is not None:
                raise AssertionError(f'tsad ended with {self.tsad.p.returncode}:\n{self.tsad.text()[-3000:]}')
            s = self.status()['instances']
            good = [i for i in s if i['state'] == 'ready']
            return len(good) >= (n if n is not None else len(s)) and good and get(self.port, '/readyz')[0] == 200
        try:
            wait_for(ready, seconds, 'all instances ready')
        except AssertionError as e:
            raise AssertionError(f'{e}\n--- tsad.log\n{self.tsad.text()[-4000:]}') from None

    def pids(self):
        """Every process of this fabric that is known, the supervisor first."""
        s = self.status()
        out = [s['supervisor']['pid']]
        out += [r['pid'] for r in s['routers'] if r['pid']]
        out += [i['worker_pid'] for i in s['instances'] if i['worker_pid']]
        return out

    def written(self):
        """Pids of the processes that the state file names; not those that have their numbers by now."""
        where = {'child': 4, 'ollama': 2, 'supervisor': 2}  # the pid; the start time follows
        try:
            lines = [x.split() for x in (self.state / 'state').read_text().split('\n')]
        except FileNotFoundError:
            return set()
        named = [w[where[w[0]]:][:2] for w in lines if w and w[0] in where]
        return {int(pid) for pid, start in named if start_time(pid) == int(start)}

    def stop(self):
        pids = self.leftovers()
        rc = self.tsad.end(40) if self.tsad.p.poll() is None else self.tsad.p.returncode
        for p in pids:
            with contextlib.suppress(AssertionError):
                wait_for(lambda p=p: not alive(p), 5)
            if alive(p):
                os.kill(p, signal.SIGKILL)
        return rc

    def leftovers(self):
        """Pids of whom status, state file or the kernel call this supervisor's: children survive it on purpose, and an old router that
        drains is in neither of the first two."""
        mine = descendants(self.tsad.pid)
        with contextlib.suppress(Exception):
            mine.update(self.pids())
        mine |= self.written()
        mine.discard(self.tsad.pid)
        return [p for p in mine if p > 1]
