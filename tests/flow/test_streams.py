"""What a client sees when an instance misbehaves, and what an instance sees when a client leaves."""
import json
import os
import random
import socket
import threading

import ollama
import openai
import pytest
from fabric import call, chat, get, wait_for

MODEL = 'sim-chat:latest'


def lines(body):
    return [json.loads(x) for x in body.strip().split('\n')]


@pytest.mark.promise(10)
@pytest.mark.parametrize('kind', ['cut', 'reset', 'crash-stream'])
def test_a_broken_stream_ends_with_an_error_never_as_complete(sims, fabrics, kind):
    s = sims(1)
    f = fabrics(adopt=s.ports)
    s.fault(kind=kind, after_chunks=3, count=3, route='/api/chat')
    st, body, _ = chat(f.port, 'sim:tokens=20 sim:delay=5ms', stream=True)
    assert st == 200
    got = lines(body)
    assert 'error' in got[-1] and not any(x.get('done') for x in got), got
    assert f.instance('i0')['failed'] >= 1


@pytest.mark.promise(10)
@pytest.mark.parametrize('path,body,end', [
    ('/v1/chat/completions', {'messages': [{'role': 'user', 'content': 'sim:tokens=20'}]}, '[DONE]'),
    ('/v1/messages', {'max_tokens': 20, 'messages': [{'role': 'user', 'content': 'sim:tokens=20'}]}, 'message_stop'),
    ('/v1/responses', {'input': 'sim:tokens=20'}, 'response.completed'),
])
def test_sse_dialects_end_with_their_own_error(sims, fabrics, path, body, end):
    s = sims(1)
    f = fabrics(adopt=s.ports)
    s.fault(kind='crash-stream', after_chunks=4, count=1, route=path)
    st, text, _ = call(f.port, 'POST', path, dict(body, model=MODEL, stream=True))
    assert st == 200 and end not in text
    assert '"error"' in text.strip().split('\n\n')[-1], text[-500:]


def test_openai_client_raises_on_a_broken_stream(sims, fabrics):
    s = sims(1)
    f = fabrics(adopt=s.ports)
    s.fault(kind='crash-stream', after_chunks=4, count=1, route='/v1/chat/completions')
    c = openai.OpenAI(base_url=f'http://127.0.0.1:{f.port}/v1', api_key='x', max_retries=0)
    with pytest.raises(openai.APIError):
        for _ in c.chat.completions.create(model=MODEL, messages=[{'role': 'user', 'content': 'sim:tokens=20'}], stream=True):
            pass


def test_ollama_client_raises_on_a_broken_stream(sims, fabrics):
    s = sims(1)
    f = fabrics(adopt=s.ports)
    s.fault(kind='cut', after_chunks=4, count=1, route='/api/chat')
    with pytest.raises(ollama.ResponseError):
        for _ in ollama.Client(f'http://127.0.0.1:{f.port}').chat(MODEL, [{'role': 'user', 'content': 'sim:tokens=20'}], stream=True):
            pass


@pytest.mark.promise(10)
@pytest.mark.parametrize('kind', ['reset', 'busy', 'garbage', 'cut'])
def test_failure_before_the_first_byte_moves_on(pair, kind):
    s, f = pair
    s.fault(port=s.ports[0], kind=kind, count=2, route='/api/chat')
    answers = [chat(f.port, 'sim:tokens=2') for _ in range(6)]
    assert all(a[0] == 200 and json.loads(a[1])['done'] for a in answers), [a[:2] for a in answers]


@pytest.mark.promise(11)
def test_hang_before_the_first_byte_is_bounded(sims, fabrics):
    s = sims(2)
    f = fabrics(conf='deadlines { first_byte = 1s total = 20s }\n' + ''.join(
        f'instance "i{i}" {{ url = "http://127.0.0.1:{p}" }}\n' for i, p in enumerate(s.ports)))
    s.fault(port=s.ports[0], kind='hang-before', count=1, route='/api/chat')
    s.fault(port=s.ports[1], kind='hang-before', count=1, route='/api/chat')
    st, body, h = chat(f.port, 'sim:tokens=2')
    assert st == 200 and h['x-tsa-route-reason'] == 'failover', (st, body)


@pytest.mark.promise(12)
def test_hang_inside_a_stream_is_bounded(sims, fabrics):
    s = sims(1)
    f = fabrics(conf=f'deadlines {{ gap = 1s }}\ninstance "i0" {{ url = "http://127.0.0.1:{s.port}" }}\n')
    s.fault(kind='hang-stream', after_chunks=3, count=1, route='/api/chat')
    st, body, _ = chat(f.port, 'sim:tokens=20', stream=True, timeout=15)
    assert st == 200 and 'gap' in lines(body)[-1]['error']


def test_an_instances_own_error_is_passed_on(pair):
    _, f = pair
    st, body, _ = chat(f.port, options={'temperature': 'hot'})
    assert st == 500 and 'temperature' in json.loads(body)['error']
    st, body, _ = call(f.port, 'POST', '/v1/embeddings', {'model': MODEL, 'input': []})
    assert st == 400 and json.loads(body)['error']['type'] == 'invalid_request_error'


MOMENTS = (0, 0.0005, 0.001, 0.003, 0.01, 0.03, 0.1)


def leave_at_random(port, n, seed, parallel=40, moments=MOMENTS):
    """n clients that send a chat and leave at a random moment, some at once."""
    rnd = random.Random(seed)
    body = json.dumps({'model': MODEL, 'messages': [{'role': 'user', 'content': 'sim:tokens=10 sim:delay=3ms'}]}).encode()
    head = b'POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n' % len(body)
    gate = threading.Semaphore(parallel)

    def one(patience):
        with gate, socket.create_connection(('127.0.0.1', port)) as s:
            s.sendall(head + body)
            if not patience:
                return
            s.settimeout(patience)
            try:
                while s.recv(65536):
                    pass
            except OSError:
                pass
    threads = [threading.Thread(target=one, args=(rnd.choice(moments),)) for _ in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def test_a_thousand_clients_leave_and_no_descriptor_stays(sims, fabrics):
    """The parking rule.  Direct, the same clients do leave descriptors behind: the simulator leaks as the real server does."""
    s = sims(2)
    f = fabrics(conf='limits { queue = 2000 }\n' + ''.join(
        f'instance "i{i}" {{ url = "http://127.0.0.1:{p}" slots = 4 }}\n' for i, p in enumerate(s.ports)))
    before = len(os.listdir(f'/proc/{s.pid}/fd'))
    leave_at_random(f.port, 1000, seed=1)
    wait_for(lambda: all(i['in_flight'] == 0 and i['queued'] == 0 for i in f.status()['instances']), 30, 'nothing in flight')
    assert sum(s.stats(p)['leaked_fds'] for p in s.ports) == 0
    wait_for(lambda: len(os.listdir(f'/proc/{s.pid}/fd')) <= before + 16, 10, 'only pooled connections stay')
    leave_at_random(s.port, 60, seed=2, moments=(0,))
    wait_for(lambda: s.stats()['leaked_fds'] > 0, 10, 'the simulator leaks when a client talks to it directly')


@pytest.mark.promise(11)
def test_client_gone_stops_the_generation(sims, fabrics):
    s = sims(1)
    f = fabrics(adopt=s.ports, slots=1)
    body = json.dumps({'model': MODEL, 'messages': [{'role': 'user', 'content': 'sim:tokens=2000 sim:delay=50ms'}]}).encode()
    with socket.create_connection(('127.0.0.1', f.port)) as c:
        c.sendall(b'POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n' % len(body) + body)
        assert b'200 OK' in c.recv(1000)
    wait_for(lambda: s.stats()['generations']['cancelled'] >= 1, 5, 'the generation was cancelled')
    assert chat(f.port, 'sim:tokens=1', timeout=10)[0] == 200


def test_at_most_slots_in_flight_and_the_rest_in_turn(sims, fabrics):
    s = sims(1)
    f = fabrics(adopt=s.ports, slots=2)
    peak = []
    stop = threading.Event()

    def watch():
        while not stop.wait(0.01):
            peak.append(s.stats()['active'])
    w = threading.Thread(target=watch)
    w.start()
    results = []
    threads = [threading.Thread(target=lambda: results.append(chat(f.port, 'sim:tokens=5 sim:delay=10ms')[0])) for _ in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    stop.set()
    w.join()
    assert results == [200] * 20
    assert max(peak) - 1 <= 2, 'the watching request itself counts as one'


@pytest.mark.promise(32)
def test_queue_deadline_is_429(sims, fabrics):
    s = sims(1)
    f = fabrics(conf=f'deadlines {{ queue = 1s }}\ninstance "i0" {{ url = "http://127.0.0.1:{s.port}" slots = 1 }}\n')
    t = threading.Thread(target=lambda: chat(f.port, 'sim:tokens=100 sim:delay=50ms'))
    t.start()
    wait_for(lambda: f.instance('i0')['in_flight'] == 1, 5, 'the place is taken')
    st, body, h = chat(f.port, 'sim:tokens=1')
    assert st == 429 and int(h['retry-after']) >= 1, body
    assert f'{MODEL} is told to come again later (429)' in f.tsad.text()
    t.join()


def test_cold_model_is_loaded_once_for_a_burst(sims, fabrics):
    """60 at once on a model that is not in memory: one load, no 503 (a real server refuses most)."""
    s = sims(1, '--model', 'prime:1b,size=1GB,load=100ms,kind=chat', '--model', 'cold:1b,size=1GB,load=500ms,kind=chat', '--max-queue', '4')
    f = fabrics(conf=f'instance "i0" {{ url = "http://127.0.0.1:{s.port}" models = {{"prime:1b", "cold:1b"}} slots = 4 }}\n')
    before = s.stats()['loads']['started']
    results = []
    threads = [threading.Thread(target=lambda: results.append(chat(f.port, 'sim:tokens=1', model='cold:1b')[0])) for _ in range(60)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == [200] * 60
    assert s.stats()['loads']['started'] - before == 1


@pytest.mark.promise(14)
def test_slow_head_and_slow_body_have_deadlines(sims, fabrics):
    s = sims(1)
    f = fabrics(conf=f'deadlines {{ head = 1s body = 1s body_rate = 1MiB }}\ninstance "i0" {{ url = "http://127.0.0.1:{s.port}" }}\n')
    for data in (b'GET /api/version HTTP/1.1\r\nHost', b'POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{"mod'):
        with socket.create_connection(('127.0.0.1', f.port)) as c:
            c.sendall(data)
            c.settimeout(10)
            assert b' 408 ' in c.recv(1000)


@pytest.mark.promise(14)
def test_a_reader_that_stalls_is_cut_and_memory_stays_bounded(sims, fabrics):
    s = sims(1)
    f = fabrics(conf=f'deadlines {{ stall = 2s }}\nlimits {{ buffer = 64KiB }}\ninstance "i0" {{ url = "http://127.0.0.1:{s.port}" slots = 8 }}\n')
    body = json.dumps({'model': MODEL, 'messages': [{'role': 'user', 'content': 'sim:tokens=200000 sim:delay=0ms'}],
                       'options': {'num_predict': 200000}}).encode()
    socks = []
    for _ in range(4):
        c = socket.socket()
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.connect(('127.0.0.1', f.port))
        c.sendall(b'POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n' % len(body) + body)
        socks.append(c)
    wait_for(lambda: f.instance('i0')['in_flight'] >= 1, 5, 'streams run')
    wait_for(lambda: f.instance('i0')['in_flight'] == 0, 20, 'stalled readers are cut and their places free')
    rss = int(next(x for x in open(f"/proc/{f.status()['routers'][0]['pid']}/status") if x.startswith('VmRSS')).split()[1])
    assert rss < 64 * 1024
    for c in socks:
        c.close()
    assert get(f.port, '/healthz')[0] == 200


def test_a_stop_does_not_hurry_what_is_parked(sims, fabrics):
    """The last client leaves just before the end: its request stays open until the instance has settled it."""
    s = sims(1, '--ping', '300ms')
    f = fabrics(adopt=s.ports)
    leave_at_random(f.port, 8, seed=3, moments=(0,))
    assert f.tsad.end() == 0
    wait_for(lambda: s.stats()['active'] <= 1, 10, 'only the request that asks is left')
    assert s.stats()['leaked_fds'] == 0
