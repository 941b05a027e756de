"""The same promises against a real Ollama, with models of noise that are made here.  Needs an `ollama` on the PATH."""
import contextlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

import anthropic
import ollama
import openai
import pytest
import tiny_gguf
from fabric import Fabric, Stopwatch, alive, call, free_port, get, wait_for

OLLAMA = shutil.which('ollama')
pytestmark = [pytest.mark.skipif(not OLLAMA, reason='there is no `ollama` on the PATH'), pytest.mark.timeout(600)]

CHAT, EMBED = 'tiny:latest', 'tiny-embed:latest'
EXACT = {'seed': 1, 'temperature': 0}
ENDLESS = 1 << 20  # Ollama cuts it to ten contexts


class Store:
    """A private home and model store; whoever carries its path in the environment is one of ours."""

    def __init__(self, home):
        self.home, self.models = home, home / 'models'

    def environment(self):
        return f'"OLLAMA_MODELS={self.models}", "HOME={self.home}"'

    def processes(self):
        """{pid: argv} of the Ollamas of this store and of everything they started."""
        mark, out = f'OLLAMA_MODELS={self.models}'.encode(), {}
        for p in pathlib.Path('/proc').glob('[0-9]*'):
            with contextlib.suppress(OSError):
                if mark in (p / 'environ').read_bytes().split(b'\0') and alive(int(p.name)):
                    out[int(p.name)] = (p / 'cmdline').read_bytes().decode(errors='replace').split('\0')
        return out

    def runners(self):
        """Both generations name the weights after --model; helpers that look for devices do not."""
        return {p for p, argv in self.processes().items() if '--model' in argv}


def conf_of(store, extra='', deadlines='able = 5s start = 30s', instance='', slots=4, models=f'"{CHAT}", "{EMBED}"'):
    return f'''{extra}
deadlines {{ probe = 200ms {deadlines} }}
instance "own" {{
	command = {{"{OLLAMA}", "serve"}}
	listen = "127.0.0.1:{free_port()}"
	models = {{{models}}}
	slots = {slots}
	environment = {{{store.environment()}}}
	{instance}
}}
'''


def make_models(store, tmp):
    """Through tsa, as an operator would: an instance whose store is empty is up, and becomes ready with its model."""
    f = Fabric(tmp, conf=conf_of(store, 'management = allow'), ready=False)
    try:
        wait_for(lambda: f.instance('own')['state'] == 'up', 60, 'the instance with an empty store is up')
        wait_for(lambda: f.instance('own')['reason'] == 'no-model', 10, 'it says why it is not ready')
        c = ollama.Client(f'http://127.0.0.1:{f.port}')
        for name, make in ((EMBED, tiny_gguf.bert), (CHAT, tiny_gguf.llama)):
            digest = c.create_blob(make(tmp / 'weights.gguf'))
            # One thread: those of a runner wait for one another by spinning, which crawls on a machine that has other things to do.
            assert c.create(name, files={'weights.gguf': digest}, parameters={'num_thread': 1}, stream=False).status == 'success'
        f.wait_ready(60)
    finally:
        assert f.stop() == 0


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    s = Store(tmp_path_factory.mktemp('ollama'))
    try:
        make_models(s, tmp_path_factory.mktemp('make'))
        yield s
    finally:
        left = s.processes()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert not left


@pytest.fixture
def own(store, tmp_path):
    """own(...) starts a private tsad with one real Ollama, ready; with the test all its processes have ended."""
    started = []

    def start(**kw):
        d = tmp_path / f'fabric{len(started)}'
        d.mkdir()
        f = Fabric(d, conf=conf_of(store, **kw), ready=False)
        started.append(f)
        f.wait_ready(90)
        return f
    yield start
    for f in started:
        f.stop()
    assert not store.processes(), 'tsad stopped, and something of its Ollama runs on'


def ask(port, tokens=5, text='hello', timeout=60, **kw):
    body = {'model': CHAT, 'messages': [{'role': 'user', 'content': text}], 'options': dict(EXACT, num_predict=tokens), 'stream': False}
    return call(port, 'POST', '/api/chat', dict(body, **kw), timeout=timeout)


def lines(port, tokens=ENDLESS, timeout=60):
    """The objects of a stream, as they come."""
    c = http.client.HTTPConnection('127.0.0.1', port, timeout=timeout)
    body = {'model': CHAT, 'messages': [{'role': 'user', 'content': 'go on'}], 'options': {'num_predict': tokens}}
    try:
        c.request('POST', '/api/chat', json.dumps(body))
        r = c.getresponse()
        for line in r:
            if line.strip():
                yield json.loads(line)
    finally:
        c.close()


class Reader:
    """A stream read in the background; `last` is its last object once it has ended."""

    def __init__(self, port, tokens=ENDLESS, timeout=60):
        self.seen, self.last, self.broken = 0, None, None
        self.thread = threading.Thread(target=self.run, args=(port, tokens, timeout))
        self.thread.start()

    def run(self, *args):
        try:
            for x in lines(*args):
                self.last = x
                self.seen += 1
        except (OSError, http.client.HTTPException) as e:
            self.broken = e

    def wait_tokens(self, n=10):
        want = self.seen + n
        wait_for(lambda: self.seen >= want or not self.thread.is_alive(), 60, f'{n} more tokens')
        assert self.thread.is_alive(), f'the stream has ended: {self.last} {self.broken!r}'

    def end(self, seconds=60):
        self.thread.join(seconds)
        assert not self.thread.is_alive(), 'the stream goes on'
        assert self.broken is None, f'a silent stop instead of an error: {self.broken!r}'
        return self.last


def settled(f, **want):
    """The instance is ready again, and these keys have these values."""
    i = f.instance('own')
    return i['state'] == 'ready' and all(i[k] == v for k, v in want.items()) and i


# --- clients -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def port(own):
    return own().port


def test_the_ollama_client(port):
    c = ollama.Client(f'http://127.0.0.1:{port}')
    message, options = [{'role': 'user', 'content': 'hello'}], dict(EXACT, num_predict=12)
    assert {m.model for m in c.list().models} == {CHAT, EMBED}
    r = c.chat('tiny', message, options=options)
    assert (r.model, r.done, r.done_reason, r.eval_count) == ('tiny', True, 'length', 12) and r.message.content
    parts = list(c.chat('tiny', message, options=options, stream=True))
    assert parts[-1].done and parts[-1].eval_count == 12 and len(parts) > 3
    assert ''.join(p.message.content for p in parts) == r.message.content
    g = list(c.generate(CHAT, 'hello', options=options, stream=True))
    assert g[-1].done and ''.join(p.response for p in g) == c.generate(CHAT, 'hello', options=options).response != ''
    e = c.embed(EMBED, ['bada', 'kofu', 'bada'])
    assert [len(v) for v in e.embeddings] == [tiny_gguf.WIDTH] * 3 and e.embeddings[0] == pytest.approx(e.embeddings[2], abs=1e-4)
    assert e.embeddings[0] != pytest.approx(e.embeddings[1], abs=1e-4)
    assert c.show(CHAT).modelinfo['llama.context_length'] == 4096
    assert {m.model for m in c.ps().models} == {CHAT, EMBED}


def test_the_openai_client(port):
    c = openai.OpenAI(base_url=f'http://127.0.0.1:{port}/v1', api_key='unused', max_retries=0)
    message = [{'role': 'user', 'content': 'hello'}]
    assert {m.id for m in c.models.list()} == {CHAT, EMBED}
    r = c.chat.completions.create(model=CHAT, messages=message, max_tokens=9, temperature=0, seed=1)
    assert r.choices[0].finish_reason == 'length' and r.usage.completion_tokens == 9
    chunks = list(c.chat.completions.create(model=CHAT, messages=message, max_tokens=9, temperature=0, seed=1, stream=True))
    assert ''.join(x.choices[0].delta.content or '' for x in chunks if x.choices) == r.choices[0].message.content != ''
    assert c.completions.create(model=CHAT, prompt='hello', max_tokens=4).choices[0].text
    assert len(c.embeddings.create(model=EMBED, input=['bada', 'kofu']).data) == 2


def test_the_anthropic_client(port):
    c = anthropic.Anthropic(base_url=f'http://127.0.0.1:{port}', api_key='unused', max_retries=0)
    message = [{'role': 'user', 'content': 'hello'}]
    r = c.messages.create(model=CHAT, max_tokens=9, messages=message)
    assert r.content[0].text and r.usage.output_tokens == 9 and r.stop_reason == 'max_tokens'
    with c.messages.stream(model=CHAT, max_tokens=9, messages=message) as s:
        assert s.get_final_message().usage.output_tokens == 9


def test_errors_in_every_dialect(port):
    message = [{'role': 'user', 'content': 'hello'}]
    c = ollama.Client(f'http://127.0.0.1:{port}')
    for wrong in (lambda: c.chat('nope', message), lambda: list(c.generate('nope', 'x', stream=True)), lambda: c.embed('nope', 'x'), lambda: c.show('nope')):
        with pytest.raises(ollama.ResponseError, match="model .nope(:latest)?. not found") as e:
            wrong()
        assert e.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match='does not support chat') as e:
        c.chat(EMBED, message)
    assert e.value.status_code == 400
    with pytest.raises(ollama.ResponseError, match='management'):
        c.delete(CHAT)
    with pytest.raises(openai.NotFoundError, match="model 'nope' not found"):
        openai.OpenAI(base_url=f'http://127.0.0.1:{port}/v1', api_key='x', max_retries=0).chat.completions.create(model='nope', messages=message)
    with pytest.raises(anthropic.NotFoundError, match="model 'nope' not found"):
        anthropic.Anthropic(base_url=f'http://127.0.0.1:{port}', api_key='x', max_retries=0).messages.create(model='nope', max_tokens=5, messages=message)


def test_options_that_would_load_the_model_again_do_not(own, store):
    f = own()
    before = store.runners()
    st, body, h = ask(f.port, options=dict(EXACT, num_predict=2, num_ctx=1024, num_thread=1), keep_alive=0)
    assert st == 200 and 'num_ctx' in h['x-tsa-adjusted'], body
    assert ask(f.port)[0] == 200 and store.runners() == before


class Cli:
    """Ollama's own command line, as a user types it."""

    def __init__(self, f):
        self.env = {'HOME': str(f.tmp), 'PATH': os.environ['PATH'], 'OLLAMA_HOST': f'127.0.0.1:{f.port}'}

    def __call__(self, *words):
        return subprocess.run([OLLAMA, *words], env=self.env, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)

    def good(self, *words):
        r = self(*words)
        assert r.returncode == 0, r
        return r.stdout

    def bad(self, *words):
        r = self(*words)
        assert r.returncode, r
        return r.stderr


def test_the_command_line(own):
    cli = Cli(own())
    assert CHAT in cli.good('list') and EMBED in cli.good('list')
    assert CHAT in cli.good('ps')
    assert 'llama' in cli.good('show', 'tiny')
    assert 'not found' in cli.bad('show', 'nope')
    assert 'management' in cli.bad('rm', 'tiny')
    with subprocess.Popen([OLLAMA, 'run', 'tiny', 'hello'], env=cli.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as p:
        try:
            said = b''
            while len(said) < 400:  # it would go on for ten contexts
                more = os.read(p.stdout.fileno(), 400)
                assert more, said
                said += more
        finally:
            p.kill()
    assert b'Error' not in said and b' b' in said, said


def test_the_command_line_changes_the_store_where_that_is_allowed(own, tmp_path):
    f = own(extra='management = allow', models=f'"{CHAT}", "other", "another"')
    cli = Cli(f)
    (tmp_path / 'Modelfile').write_text(f"FROM {tiny_gguf.llama(tmp_path / 'other.gguf', seed=7)}\nPARAMETER num_thread 1\n")
    cli.good('create', 'other', '-f', str(tmp_path / 'Modelfile'))
    try:
        cli.good('cp', 'other', 'another')
        wait_for(lambda: {'other:latest', 'another:latest'} <= {m['name'] for m in f.instance('own')['models']}, 20, 'the new names are known')
        st, body, _ = ask(f.port, 3, model='another')
        assert st == 200 and json.loads(body)['eval_count'] == 3, body
    finally:
        cli.good('rm', 'other', 'another')
    wait_for(lambda: ask(f.port, 3, model='another')[0] == 404, 20, 'they are gone')


# --- who may die -------------------------------------------------------------------------------------------------------------


def test_killing_ollama_under_load(own, store):
    """Requests without a first byte wait for the next one; streams end with an error; the runner it left behind is ended."""
    f = own()
    old, orphan = f.instance('own')['ollama_pid'], store.runners()
    streams = [Reader(f.port) for _ in range(2)]
    for s in streams:
        s.wait_tokens()
    answers = []
    short = [threading.Thread(target=lambda: answers.append(ask(f.port, 3, timeout=90))) for _ in range(8)]
    for t in short:
        t.start()
    os.kill(old, signal.SIGKILL)
    since = Stopwatch()
    for s in streams:
        assert 'error' in s.end(30)
    for t in short:
        t.join()
    assert since.seconds() < 8, 'a start and a load take about a second'
    assert [a[0] for a in answers] == [200] * 8, [a for a in answers if a[0] != 200]
    i = wait_for(lambda: settled(f), 60, 'ready again')
    assert i['ollama_pid'] not in (0, old) and 'signal 9' in i['ollama']['last_death']
    assert not [p for p in orphan if alive(p)], 'the orphaned runner has ended, by itself with a line it could not log or by us'
    assert len(store.runners()) == 1


def test_killing_the_runner_in_mid_stream(own, store):
    f = own()
    server = f.instance('own')['ollama_pid']
    for _ in range(3):
        s = Reader(f.port)
        s.wait_tokens()
        for pid in store.runners():
            os.kill(pid, signal.SIGKILL)
        assert 'error' in s.end(30), s.last
        st, body, _ = ask(f.port, 3)
        assert st == 200, body
    assert wait_for(lambda: settled(f), 30, 'ready')['ollama_pid'] == server, 'the server itself went on'


def test_killing_the_worker_or_the_supervisor_does_not_touch_ollama(own, store):
    f = own()
    i, runners = f.instance('own'), store.runners()
    s = Reader(f.port)
    s.wait_tokens()
    os.kill(i['worker_pid'], signal.SIGKILL)
    wait_for(lambda: settled(f) and f.instance('own')['worker_pid'] not in (0, i['worker_pid']), 20, 'a new worker')
    f.tsad.kill()
    f.tsad.p.wait()
    s.wait_tokens()
    f.start()
    wait_for(lambda: f.status()['supervisor']['pid'] == f.tsad.pid and settled(f, ollama_pid=i['ollama_pid']), 30, 'a new supervisor adopts all')
    s.wait_tokens()
    assert store.runners() == runners, 'no model was loaded again'
    for p in runners:
        os.kill(p, signal.SIGKILL)  # what ends the stream
    assert 'error' in s.end()


def test_a_hanging_server_is_started_again(own, store):
    f = own(deadlines='answer = 1s start = 6s')
    old = f.instance('own')['ollama_pid']
    os.kill(old, signal.SIGSTOP)
    wait_for(lambda: f.instance('own')['state'] == 'sick', 20, 'it is known to hang')
    i = wait_for(lambda: settled(f), 90, 'ready again')
    assert i['ollama_pid'] != old and not alive(old)
    assert ask(f.port)[0] == 200


def test_a_server_that_hung_for_a_moment_goes_on(own):
    f = own(deadlines='answer = 1s')
    old = f.instance('own')['ollama_pid']
    os.kill(old, signal.SIGSTOP)
    wait_for(lambda: f.instance('own')['state'] == 'sick', 20, 'it is known to hang')
    os.kill(old, signal.SIGCONT)
    wait_for(lambda: settled(f, ollama_pid=old), 30, 'ready again, the same process')


# --- wedged: every control route answers, and no token comes -----------------------------------------------------------------


def stop_runners(store):
    pids = store.runners()
    for p in pids:
        os.kill(p, signal.SIGSTOP)
    return pids


def test_a_runner_wedged_while_idle(own, store):
    f = own(deadlines='able = 3s')
    server, stopped = f.instance('own')['ollama_pid'], stop_runners(store)
    t0 = time.monotonic()
    wait_for(lambda: f.instance('own')['state'] == 'sick', 60, 'it is found')
    assert get(f.port, '/api/tags')[0] == 200
    wait_for(lambda: settled(f, ollama_pid=server), 60, 'it is healed without a new server')
    assert not [p for p in stopped if alive(p)], f'after {time.monotonic() - t0:.1f}s'
    assert ask(f.port)[0] == 200


def test_a_runner_wedged_in_mid_stream(own, store):
    f = own(deadlines='able = 2s gap = 60s')
    server = f.instance('own')['ollama_pid']
    s = Reader(f.port, timeout=90)
    s.wait_tokens()
    stopped = stop_runners(store)
    assert 'error' in s.end(60), 'the stuck stream ends with an error, long before the gap deadline'
    wait_for(lambda: settled(f, ollama_pid=server), 60, 'it is healed without a new server')
    assert not [p for p in stopped if alive(p)]
    assert ask(f.port)[0] == 200


def lose_places(port, n):
    """Leave at the head of an answer: when that meets the hand-over of a token, Ollama keeps the place for ever.  True: it answers no more."""
    body = json.dumps({'model': CHAT, 'messages': [{'role': 'user', 'content': 'hello'}], 'options': {'num_predict': 200}}).encode()
    for _ in range(n):
        with socket.create_connection(('127.0.0.1', port)) as s:
            s.sendall(b'POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n' % len(body) + body)
            s.settimeout(3)
            try:
                s.recv(65536)
            except TimeoutError:
                return True
    return False


def test_lost_places_are_found_and_healed(own):
    """Others than tsa may use the same Ollama.  It does not even know that it is stuck; an unload, at a quiet moment, is enough."""
    f = own(deadlines='able = 3s', slots=2)
    i = f.instance('own')
    if not lose_places(port_of(i), 1000):
        pytest.skip('this Ollama does not lose places')
    wait_for(lambda: f.instance('own')['state'] == 'sick', 60, 'it is found')
    wait_for(lambda: settled(f, ollama_pid=i['ollama_pid']), 60, 'it is healed without a new server')
    assert ask(f.port)[0] == 200


def test_lost_places_are_found_and_healed_under_traffic(own):
    """Requests wait in it and none begins; they are taken back, and all are answered in the end."""
    f = own(deadlines='able = 3s', slots=2)
    i = f.instance('own')
    for _ in range(3):
        assert list(lines(f.port, 5))[-1]['done']
    if not lose_places(port_of(i), 1000):
        pytest.skip('this Ollama does not lose places')
    readers = [Reader(f.port, tokens=50, timeout=90) for _ in range(5)]
    ends = [r.end(90) for r in readers]
    assert all(e and e.get('done') for e in ends), ends
    wait_for(lambda: settled(f, ollama_pid=i['ollama_pid']), 60, 'it is healed without a new server')
    assert 'has lost places' in f.tsad.text() or 'no token' in f.tsad.text()


# --- clients that leave --------------------------------------------------------------------------------------------------------


MOMENTS = (0, 0.0005, 0.001, 0.003, 0.01, 0.03, 0.1)


def leave(port, n, seed=0, moments=MOMENTS, parallel=40, model=CHAT):
    """n clients that send a chat and leave at a random moment."""
    rnd, gate = random.Random(seed), threading.Semaphore(parallel)
    body = json.dumps({'model': model, 'messages': [{'role': 'user', 'content': 'hello'}], 'options': {'num_predict': 50}}).encode()

    def one(patience):
        with gate, socket.create_connection(('127.0.0.1', port)) as s, contextlib.suppress(OSError):
            s.sendall(b'POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n' % len(body) + body)
            s.settimeout(patience or None)
            while patience and s.recv(65536):
                pass
    threads = [threading.Thread(target=one, args=(rnd.choice(moments),)) for _ in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def fds(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


def port_of(i):
    return int(i['url'].rsplit(':', 1)[1])


def test_a_thousand_clients_leave_and_nothing_stays(own, store):
    """Neither a descriptor nor a place.  Straight to the same Ollama the same behaviour does cost a descriptor each, for ever."""
    f = own(extra='limits { queue = 2000 }')
    i = f.instance('own')
    ask(f.port)
    before = fds(i['ollama_pid'])
    leave(f.port, 1000, seed=1)
    wait_for(lambda: settled(f, in_flight=0, queued=0), 60, 'nothing in flight')
    assert ask(f.port)[0] == 200
    wait_for(lambda: fds(i['ollama_pid']) <= before + 8, 20, 'only pooled connections stay')
    streams = [Reader(f.port) for _ in range(i['slots'])]
    for s in streams:
        s.wait_tokens()  # each of them beside the others: no place was lost
    assert f.instance('own')['ollama_pid'] == i['ollama_pid'] and f.instance('own')['fails'] == i['fails'], 'nothing had to be healed'
    for p in store.runners():
        os.kill(p, signal.SIGKILL)
    for s in streams:
        s.end()
    assert ask(f.port)[0] == 200
    leave(port_of(i), 60, moments=(0,))
    wait_for(lambda: fds(i['ollama_pid']) > before + 30, 20, 'a direct client makes it leak')


def test_leaked_descriptors_are_noticed_and_the_instance_recycled(own):
    f = own(instance='fds = 60')
    i = f.instance('own')
    leave(port_of(i), 90, moments=(0,))
    wait_for(lambda: f.instance('own')['ollama_pid'] not in (None, i['ollama_pid']) and settled(f), 60, 'a new server')
    j = f.instance('own')
    assert j['ollama']['recycles'] == 1 and fds(j['ollama_pid']) < 60


def test_a_client_that_leaves_does_not_kill_the_load_it_wanted(own, store):
    f = own(models=f'"{CHAT}"')  # the other model is in the store, and served as well
    f.ctl('unload', 'own', CHAT, '--wait')
    wait_for(lambda: not store.runners(), 10, 'nothing is loaded')
    leave(f.port, 20, moments=(0, 0.05, 0.1))
    wait_for(lambda: settled(f, in_flight=0, loads=2), 30, 'it was loaded all the same, once')
    assert len(store.runners()) == 1
    assert ask(f.port)[0] == 200


def test_a_cold_burst_has_no_503(own):
    """Ollama refuses most of a burst on a model that is not in memory; the router waits instead."""
    f = own(instance='environment += {"OLLAMA_MAX_QUEUE=2"}')
    f.ctl('unload', 'own', CHAT, '--wait')
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask(f.port, 2)[0])) for _ in range(60)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == [200] * 60


# --- what an operator does -------------------------------------------------------------------------------------------------------


def test_unload_and_warm(own, store):
    f = own()
    resident = lambda: {m['name'] for m in f.instance('own')['models'] if m['resident']}  # noqa: E731
    f.ctl('warm', 'own', EMBED, '--wait')
    assert resident() == {CHAT, EMBED} and len(store.runners()) == 2
    f.ctl('unload', 'own', EMBED, '--wait')
    assert resident() == {CHAT}
    wait_for(lambda: len(store.runners()) == 1, 10, 'one runner is left')


def test_restart_drains_first(own, store):
    f = own()
    i, runners = f.instance('own'), store.runners()
    s = Reader(f.port, tokens=500)
    s.wait_tokens()
    f.ctl('restart', 'own', '--wait', timeout=120)
    assert s.end()['done_reason'] == 'length', 'the stream was left to end'
    j = f.instance('own')
    assert j['state'] == 'ready' and j['ollama_pid'] != i['ollama_pid']
    assert not [p for p in runners | {i['ollama_pid']} if alive(p)]
    assert ask(f.port)[0] == 200


def test_stop_drains_and_leaves_no_process(own, store):
    f = own()
    ours = set(store.processes()) | set(f.pids())
    s = Reader(f.port, tokens=500)
    s.wait_tokens()
    f.tsad.kill(signal.SIGTERM)
    assert s.end()['done_reason'] == 'length', 'the stream was left to end'
    assert f.tsad.wait(30) == 0
    assert len(ours) >= 5 and not [p for p in ours if alive(p)]
    assert not store.processes()
