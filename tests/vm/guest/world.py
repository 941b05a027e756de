"""What the checks see of the machine they run on, and the load that goes on meanwhile."""
import http.client
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

PORT = 8480           # of the shipped tsa.conf
OUTSIDE, STARTED = 11434, 21434
CGROUP = pathlib.Path('/sys/fs/cgroup/system.slice/tsa.service')
MODEL = 'sim-chat:latest'
CONF_D = pathlib.Path('/etc/tsa/instances.d')
# Seconds of this machine's own clock, which counts its instructions: it is a slow machine, but it never waits for the one it runs on.
PATIENCE = 120
SLOW_S = 10           # what slowness may add to a time that the unit promises
LONG = os.environ.get('TSA_LONG') == '1'
CHECKS = []


def check(f):
    CHECKS.append(f)
    return f


def run(*argv, timeout=300):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)


def must(*argv):
    r = run(*argv)
    assert r.returncode == 0, f'{" ".join(argv)}: exit {r.returncode}: {r.stdout}{r.stderr}'
    return r.stdout


def wait_for(fact, what, seconds=PATIENCE):
    """Wait until fact() is true; its value."""
    deadline = time.monotonic() + seconds
    last, pause_s = None, 0.05
    while time.monotonic() < deadline:
        try:
            last = fact()
            if last:
                return last
        except (OSError, ValueError, KeyError, IndexError, StopIteration, http.client.HTTPException, AssertionError) as e:
            last = e
        # Asking costs a process or two, and waiting nothing: what takes long is asked less often.
        time.sleep(pause_s)
        pause_s = min(1.4 * pause_s, 1.0)
    raise AssertionError(f'not within {seconds} s: {what} (last: {str(last)[:300]})')


# --- systemd and journald -------------------------------------------------------------------------------------------------------------

def show(*names):
    """Properties of the unit."""
    out = must('systemctl', 'show', 'tsa', '-p', ','.join(names))
    got = dict(line.split('=', 1) for line in out.splitlines() if '=' in line)
    return got[names[0]] if len(names) == 1 else [got[n] for n in names]


def main_pid():
    return int(show('MainPID'))


def events():
    """Name -> MESSAGE_ID, as in base/events.def."""
    with open('events.def') as f:
        rows = [line.split('"')[:2] for line in f if line.startswith('EVENT(')]
    return {row[0][len('EVENT('):].rstrip(', '): row[1] for row in rows}


EVENTS = events()


def journal(*matches, since=None):
    """Entries as dictionaries."""
    must('journalctl', '--sync')
    argv = ['journalctl', '-o', 'json', '--no-pager', *matches] + ([f'--since=@{since:.6f}'] if since else [])
    return [json.loads(line) for line in run(*argv).stdout.splitlines() if line.startswith('{')]


def messages(since=None):
    return [e.get('MESSAGE', '') for e in journal('_SYSTEMD_UNIT=tsa.service', since=since)]


def drop_in(text):
    """A drop-in of the unit as an operator would write one; '' takes it away."""
    d = pathlib.Path('/etc/systemd/system/tsa.service.d')
    d.mkdir(exist_ok=True)
    (d / 'check.conf').write_text(text)
    must('systemctl', 'daemon-reload')


# --- tsa --------------------------------------------------------------------------------------------------------------------------------

def status():
    return json.loads(must('tsactl', '-j', 'status'))


def instance(name):
    return next(i for i in status()['instances'] if i['name'] == name)


def settled(n=2, seconds=PATIENCE):
    """n instances ready, the router running, all under the supervisor that systemd means; the status."""
    def fact():
        s = status()
        assert s['supervisor']['pid'] == main_pid(), f'supervisor {s["supervisor"]["pid"]}, MainPID {main_pid()}'
        for r in s['routers']:
            assert r['pid'] and r['state'] == 'running', f'router {r["index"]}: {r["pid"]} {r["state"]}'
        for i in s['instances']:
            assert i['worker_pid'] and i['state'] == 'ready', f'{i["name"]}: worker {i["worker_pid"]}, {i["text"]}'
        assert len(s['instances']) == n, f'{len(s["instances"])} instances'
        return s
    return wait_for(fact, f'{n} instances ready', seconds)


def pids(s):
    """Everything but the supervisor."""
    out = {f'router {r["index"]}': r['pid'] for r in s['routers']}
    for i in s['instances']:
        out[f'worker {i["name"]}'] = i['worker_pid']
        out[f'ollama {i["name"]}'] = i['ollama_pid']
    return out


def supervisor_replaced(old, n=2, seconds=SLOW_S + PATIENCE):
    """Wait for a successor that has taken everybody over."""
    wait_for(lambda: main_pid() not in (0, old), 'a new supervisor', seconds)
    return settled(n, seconds)


def write_instance(name, port, extra=''):
    (CONF_D / f'{name}.conf').write_text(
        f'instance "{name}" {{\n\tcommand = {{"ollama-sim", "serve"}}\n\tlisten = "127.0.0.1:{port}"\n\tmodels = {{"{MODEL}"}}\n'
        f'\tenvironment = {{"OLLAMA_SIM_ARGS=--runners --log"}}\n{extra}}}\n')


def request(port, method, path, body=None, timeout=PATIENCE):
    """One request on its own connection: (status, text, headers)."""
    c = http.client.HTTPConnection('127.0.0.1', port, timeout=timeout)
    try:
        c.request(method, path, None if body is None else json.dumps(body))
        r = c.getresponse()
        return r.status, r.read().decode(), {k.lower(): v for k, v in r.getheaders()}
    finally:
        c.close()


def chat(text, stream=False, port=PORT):
    return request(port, 'POST', '/api/chat', {'model': MODEL, 'messages': [{'role': 'user', 'content': text}], 'stream': stream})


def loads(port):
    """How often the simulated Ollama has loaded a model, and how often it has unloaded one."""
    n = json.loads(request(port, 'GET', '/sim/stats')[1])['loads']
    return n['started'], n['unloads']


def listening_inodes():
    """Inodes of the sockets that listen on the service's port."""
    with open('/proc/net/tcp') as f:
        rows = [line.split() for line in f]
    return {row[9] for row in rows[1:] if row[1].endswith(f':{PORT:04X}') and row[3] == '0A'}


def in_cgroup():
    return [int(p) for f in CGROUP.rglob('cgroup.procs') for p in f.read_text().split()]


def command(pid):
    return pathlib.Path(f'/proc/{pid}/cmdline').read_text().replace('\0', ' ').strip()


def proc_status(pid):
    text = pathlib.Path(f'/proc/{pid}/status').read_text()
    return dict(line.split(':\t', 1) for line in text.splitlines() if ':\t' in line)


def alive(pid):
    try:
        return proc_status(pid)['State'][0] != 'Z'
    except OSError:
        return False


def kill(*victims, sig=signal.SIGKILL):
    for pid in victims:
        assert pid > 1, f'no process to kill: {victims}'
        os.kill(pid, sig)


# --- load -------------------------------------------------------------------------------------------------------------------------------

class Load:
    """Short requests and streams, each on a connection of its own, for as long as the block lasts; what became of each.
    Between two of them a client thinks for pause_s: without it the clients have the processor to themselves."""

    def __init__(self, short=3, streams=1, tokens=25, pause_s=0.05):
        self.tokens, self.pause_s = tokens, pause_s
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.verdicts = []
        self.threads = [threading.Thread(target=self.work, args=(n >= short,)) for n in range(short + streams)]

    def one(self, stream):
        try:
            code, text, _ = chat(f'sim:tokens={self.tokens} sim:delay=20ms' if stream else 'sim:tokens=1 sim:delay=1ms', stream)
            last = json.loads(text.strip().split('\n')[-1])
            return 'ok' if code == 200 and last.get('done') is True else f'{code} {text[-120:]}'
        except ConnectionRefusedError:
            return 'refused'
        except (OSError, ValueError, http.client.HTTPException) as e:
            return f'broken: {type(e).__name__} {e}'

    def work(self, stream):
        while not self.over.is_set():
            verdict = self.one(stream)
            with self.lock:
                self.verdicts.append(verdict)
            self.over.wait(self.pause_s)

    def more(self, n=20):
        """Wait for n more answers."""
        want = len(self.verdicts) + n
        wait_for(lambda: len(self.verdicts) >= want, f'{n} more answers under load', 2 * PATIENCE)

    def bad(self):
        return [v for v in self.verdicts if v != 'ok']

    def __enter__(self):
        for t in self.threads:
            t.start()
        if not self.tokens > 100:
            self.more(4)
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join()
