"""tsa-load must not be fooled: what a bad proxy does to an answer is reported by its name, and every command ends by itself."""
import contextlib
import http.client
import json
import os
import socket
import subprocess
import threading

import pytest
from fabric import BUILD, Stopwatch

LOAD = BUILD / 'tsa-load'


@contextlib.contextmanager
def serving(command, *options):
    """An origin or a forwarder on a free port; its address and its process."""
    p = subprocess.Popen([LOAD, command, '-j', '--listen', '127.0.0.1:0', '--time', '60s', *options], stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(p.stdout.readline())['listening'], p
    finally:
        p.terminate()
        p.wait(10)
        p.stdout.close()


@contextlib.contextmanager
def meddling(to, meddle):
    """A proxy that passes answers through meddle(bytes): what it returns is sent on; None closes the connection."""
    host, port = to.rsplit(':', 1)
    listener = socket.create_server(('127.0.0.1', 0), backlog=64)
    done = threading.Event()

    def pump(a, b, change):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                data = change(data)
                if data is None:
                    break
                b.sendall(data)
        for s in (a, b):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def accept():
        with contextlib.suppress(OSError):
            while not done.is_set():
                client, _ = listener.accept()
                upstream = socket.create_connection((host, int(port)))
                threading.Thread(target=pump, args=(client, upstream, lambda d: d), daemon=True).start()
                threading.Thread(target=pump, args=(upstream, client, meddle), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield '127.0.0.1:%d' % listener.getsockname()[1]
    finally:
        done.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def load(command, to, *options):
    r = subprocess.run([LOAD, command, '-j', '--to', to, *options], capture_output=True, text=True, timeout=60)
    assert r.stdout, r.stderr
    return r.returncode, json.loads(r.stdout)


REQUESTS = ('--requests', '20', '--conns', '2')
STREAMS = ('--streams', '4', '--chunks', '20', '--interval', '10ms', '--ramp', '50ms')


@pytest.mark.parametrize('dialect', ['native', 'openai'])
def test_an_honest_forwarder_is_found_honest(dialect):
    with serving('origin') as (origin, _), serving('forward', '--to', origin) as (addr, p):
        rc, out = load('request', addr, '--requests', '500', '--conns', '8', '--body-bytes', '100kB', '--dialect', dialect, '--watch', str(p.pid))
        assert rc == 0 and out['ok'] == 500 and out['window']['count'] == 450
        assert out['watched'][0]['cpu_us'] > 0 and out['watched'][0]['rss_open_bytes'] > 0
        rc, out = load('stream', addr, *STREAMS, '--dialect', dialect)
        assert rc == 0 and out['ok'] == 4 and out['window']['count'] > 4
        rc, out = load('idle', addr, '--streams', '50', '--ramp', '100ms', '--hold', '300ms', '--dialect', dialect)
        assert rc == 0 and out['ok'] == 50


@pytest.mark.parametrize('command, meddle, failure', [
    ('request', lambda d: d.replace(b'"00000003 ', b'"0000001d '), 'foreign'),
    ('request', lambda d: d.replace(b'"done":true', b'"done":fals'), 'content'),
    ('request', lambda d: d.replace(b'cccccc"', b'ccbccc"'), 'content'),
    ('request', lambda d: d.replace(b'200 OK', b'429 No'), 'status'),
    ('request', lambda d: d.replace(b'Content-Length: 1000', b'Content-Length: 999'), 'framing'),
    ('request', lambda d: d.replace(b'Content-Length:', b'Content-Size:'), 'framing'),
    ('request', lambda d: None, 'closed'),
    ('stream', lambda d: d.replace(b'"00000003 ', b'"0000001d '), 'foreign'),
    ('stream', lambda d: d.replace(b' 00000005 ', b' 00000006 '), 'order'),
    ('stream', lambda d: d.replace(b'"done":true', b'"done":null'), 'order'),
    ('stream', lambda d: None if b'"done":true' in d else d, 'closed'),
    ('stream', lambda d: d.replace(b'{"model"', b'{"error"').replace(b'"content"', b'"c0ntent"'), 'content'),
    ('stream', lambda d: d.replace(b'\r\n{', b'\rX{'), 'framing'),
])
def test_a_dishonest_proxy_is_found_out(command, meddle, failure):
    with serving('origin') as (origin, _), meddling(origin, meddle) as addr:
        rc, out = load(command, addr, *(REQUESTS if command == 'request' else STREAMS))
        assert rc == 1 and out['failures'].get(failure), out
        assert out['ok'] + out['failed'] == out['asked']


def test_a_stream_without_its_end_mark_is_no_success():
    with serving('origin') as (origin, _), meddling(origin, lambda d: d.replace(b'data: [DONE]', b'data: [NONE]')) as addr:
        rc, out = load('stream', addr, *STREAMS, '--dialect', 'openai')
        assert rc == 1 and out['ok'] == 0, out


def test_nobody_listens():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        rc, out = load('request', '127.0.0.1:%d' % s.getsockname()[1], *REQUESTS)
    assert rc == 1 and out['failures'] == {'connect': 20}


@pytest.mark.parametrize('command', ['request', 'stream'])
def test_silence_is_bounded_in_time(command):
    with socket.create_server(('127.0.0.1', 0)) as s:
        since = Stopwatch()
        rc, out = load(command, '127.0.0.1:%d' % s.getsockname()[1], '--time', '300ms')
        assert rc == 1 and out['failures'] == {'unfinished': out['asked']}
        assert since.seconds() < 10


def test_rate_is_kept():
    with serving('origin') as (origin, _):
        since = Stopwatch()
        rc, out = load('request', origin, '--requests', '200', '--rate', '400', '--conns', '4')
        assert rc == 0 and 0.35 < out['window']['seconds'] < 5 * since.stretch()


@pytest.mark.parametrize('words, says', [
    (['request', '--to', '192.0.2.1:80'], 'loopback'),
    (['request', '--to', '127.0.0.1'], 'port'),
    (['request'], '--to'),
    (['origin'], '--listen'),
    (['stream', '--to', '127.0.0.1:1', '--interval', '20'], 'unit'),
    (['stream', '--to', '127.0.0.1:1', '--chunks', '2', '--ramp', '1s'], '--chunks'),
    (['request', '--to', '127.0.0.1:1', '--requests', '0'], '--requests'),
    (['idle', '--to', '127.0.0.1:1', '--hold', '1s', '--ramp', '2s'], '--hold'),
    (['request', '--nonsense'], '--nonsense'),
    (['nonsense'], 'nonsense'),
    ([], 'usage'),
])
def test_wrong_words_are_explained(words, says):
    r = subprocess.run([LOAD, *words], capture_output=True, text=True, timeout=10)
    assert r.returncode == 2 and says in r.stderr


def test_taken_port_is_explained():
    with serving('origin') as (origin, _):
        r = subprocess.run([LOAD, 'origin', '--listen', origin], capture_output=True, text=True, timeout=10)
        assert r.returncode == 1 and 'another port' in r.stderr


def test_origin_has_what_a_worker_probes():
    with serving('origin') as (origin, p):
        host, port = origin.rsplit(':', 1)

        def ask(method, path, body=None):

            c = http.client.HTTPConnection(host, int(port), timeout=10)
            c.request(method, path, body and json.dumps(body))
            r = c.getresponse()
            text = r.read()
            c.close()
            return r.status, json.loads(text) if text[:1] == b'{' else text

        assert ask('GET', '/') == (200, b'Ollama is running')
        assert 'version' in ask('GET', '/api/version')[1]
        (tag,), (loaded,) = ask('GET', '/api/tags')[1]['models'], ask('GET', '/api/ps')[1]['models']
        assert tag['name'] == loaded['name'] == 'bench:latest' and tag['digest'] == loaded['digest'] and tag['capabilities'] == ['completion']
        assert ask('POST', '/api/generate', {'model': 'bench'})[1]['done_reason'] == 'load'
        assert ask('POST', '/api/generate', {'model': 'bench', 'prompt': 'a', 'stream': False})[1]['eval_count'] == 1
        assert ask('POST', '/api/show', {'model': 'bench'})[1]['capabilities'] == ['completion']
        assert ask('GET', '/nothing')[0] == 404
        os.kill(p.pid, 0)
