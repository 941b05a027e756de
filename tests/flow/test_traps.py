"""What catches every naive user of Ollama: the simulator has the traps, and the service keeps out of them."""
import http.client
import json
import os
import random
import signal
import socket
import threading
import time

import pytest
from fabric import BUILD, Stopwatch, alive, call, chat, free_port, get, wait_for

MODEL = 'sim-chat:latest'
QUICK = 'deadlines { probe = 100ms able = 2s answer = 2s load = 3s start = 5s stop = 3s }\n'


@pytest.fixture
def own(fabrics):
    """own(...): a fabric whose one instance tsa starts itself, with real runner processes, and its port."""
    def start(sim='', slots=1, models=f'"{MODEL}"', conf=QUICK, instance='', **kw):
        port = free_port()
        words = ''.join(f', "{w}"' for w in sim.split())
        f = fabrics(conf=conf + f'instance "own" {{ command = {{"{BUILD}/ollama-sim", "serve", "--runners"{words}}} '
                    f'listen = "127.0.0.1:{port}" models = {{{models}}} slots = {slots} {instance} }}\n', **kw)
        return f, port
    return start


def fault(port, **kw):
    status, body, _ = call(port, 'POST', '/sim/fault', kw)
    assert status == 200, body


def stats(port):
    return json.loads(get(port, '/sim/stats')[1])


def runner(port, name='sim-chat'):
    return next((r for r in stats(port)['runners'] if r['name'].startswith(name)), None)


class Stream:
    """A stream read in the background: when it was sent, when its first line came, and how it ended."""

    def __init__(self, port, text, model=MODEL, timeout=60):
        self.sent, self.first, self.lines, self.status, self.fault = time.monotonic(), None, [], None, None
        self.thread = threading.Thread(target=self.run, args=(port, text, model, timeout))
        self.thread.start()

    def run(self, port, text, model, timeout):
        c = http.client.HTTPConnection('127.0.0.1', port, timeout=timeout)
        try:
            c.request('POST', '/api/chat', json.dumps({'model': model, 'messages': [{'role': 'user', 'content': text}]}))
            r = c.getresponse()
            self.status = r.status
            for line in r:
                if line.strip():
                    self.first = self.first or time.monotonic()
                    self.lines.append(json.loads(line))
        except (OSError, http.client.HTTPException, ValueError) as e:
            self.fault = e
        finally:
            c.close()

    def wait_first(self):
        wait_for(lambda: self.lines, 20, 'the first line of a stream')

    def end(self, seconds=60):
        self.thread.join(seconds)
        assert not self.thread.is_alive(), 'a stream goes on'
        return self

    def good(self):
        return self.status == 200 and self.fault is None and self.lines and self.lines[-1].get('done') is True


class Steady:
    """Clients that ask one stream after another until they are told to stop."""

    def __init__(self, port, n, text, model=MODEL):
        self.stop, self.done = threading.Event(), []
        self.threads = [threading.Thread(target=self.run, args=(port, text, model)) for _ in range(n)]
        for t in self.threads:
            t.start()

    def run(self, port, text, model):
        while not self.stop.is_set():
            s = Stream(port, text, model)
            s.thread.join()
            self.done.append(s)

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()
        return self.done

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def send(port, text, model=MODEL, **more):
    """A streamed chat on a connection of its own; the socket, nothing read."""
    body = json.dumps({'model': model, 'messages': [{'role': 'user', 'content': text}], **more}).encode()
    s = socket.create_connection(('127.0.0.1', port))
    s.sendall(b'POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n' % len(body) + body)
    return s


# --- clients that leave ------------------------------------------------------------------------------------------------------

AT_ONCE, SOON, IN_PROMPT, IN_STREAM, HALF_CLOSE = range(5)


def leave(port, how, rnd, patience):
    """One client that wants an answer and leaves."""
    prompt = 'x' * 800 if how == IN_PROMPT else ''
    with send(port, f'sim:tokens=12 sim:delay=40ms {prompt}') as s:
        s.settimeout(patience)
        if how == HALF_CLOSE:
            time.sleep(rnd.choice((0, 0.002, 0.05)))
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        elif how == IN_STREAM:
            for _ in range(rnd.randrange(1, 10)):
                if not s.recv(65536):
                    break
        elif how != AT_ONCE:
            time.sleep(rnd.choice((0.0005, 0.001, 0.003, 0.01, 0.03, 0.1)))


def leave_all(port, n, seed, hows=(AT_ONCE, SOON, IN_PROMPT, IN_STREAM, HALF_CLOSE), parallel=60, patience=60):
    gate, bad = threading.Semaphore(parallel), []

    def one(i):
        rnd = random.Random(seed * 100003 + i)
        with gate:
            try:
                leave(port, rnd.choice(hows), rnd, patience)
            except TimeoutError as e:
                bad.append(e)
            except OSError:
                pass
    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return bad


def test_a_thousand_clients_leave_and_neither_a_descriptor_nor_a_place_stays_behind(sims, fabrics):
    """Before admission, queued, in the prompt, in the stream, with a half-close.  Straight to the instance the same clients cost both."""
    s = sims(2, '--parallel', '4', '--hand-over', '1500us', '--model', 'sim-chat,load=100ms,prefill=4000,decode=100')
    f = fabrics(conf='limits { queue = 2000 }\ndeadlines { able = 5s }\n' + ''.join(
        f'instance "i{i}" {{ url = "http://127.0.0.1:{p}" slots = 4 }}\n' for i, p in enumerate(s.ports)))
    before = len(os.listdir(f'/proc/{s.pid}/fd'))
    assert not leave_all(f.port, 1000, seed=1), 'a client waited for its answer for ever'
    wait_for(lambda: all(i['in_flight'] == 0 and i['queued'] == 0 for i in f.status()['instances']), 60, 'nothing in flight')
    for p in s.ports:
        r = runner(p)
        assert stats(p)['leaked_fds'] == 0 and (r['slots_lost'], r['slots_used'], r['waiting']) == (0, 0, 0), r
    wait_for(lambda: len(os.listdir(f'/proc/{s.pid}/fd')) <= before + 16, 10, 'only pooled connections stay')
    counted = f.wait_balance()
    assert counted['aborted'] > 500, counted
    leave_all(s.port, 200, seed=2, hows=(AT_ONCE, IN_STREAM), patience=5)
    wait_for(lambda: stats(s.port)['leaked_fds'] > 0 and runner(s.port)['slots_lost'] > 0, 20, 'direct clients leave both behind')


def test_a_long_abandoned_prompt_keeps_its_place(sims, fabrics):
    """The instance works it off, client or not: whoever was sent there would wait for it."""
    s = sims(2, '--model', 'sim-chat,load=50ms,prefill=1000,decode=0,ctx=100000', '--context-length', '100000')
    f = fabrics(adopt=s.ports, slots=1)
    for _ in range(6):
        assert chat(f.port, 'sim:tokens=1 ' + 'y' * 2000, stream=True)[0] == 200  # half a second each: it learns
    started = [stats(p)['generations']['started'] for p in s.ports]
    assert min(started) >= 2, started
    with send(f.port, 'sim:tokens=1 ' + 'z' * 24000):  # six seconds of work
        busy = wait_for(lambda: [i for i in (0, 1) if stats(s.ports[i])['generations']['started'] > started[i]], 10, 'it is at work')[0]
    left = time.monotonic()
    wait_for(lambda: runner(s.ports[busy])['slots_used'] == 0, 10, 'the instance itself says that its place is free')
    at = stats(s.ports[busy])['generations']['started']
    for _ in range(5):
        since = Stopwatch()
        assert chat(f.port, 'sim:tokens=1', stream=True)[0] == 200
        assert since.seconds() < 2, 'it waited behind the abandoned prompt'
    assert stats(s.ports[busy])['generations']['started'] == at, 'somebody was sent there'
    assert f.instance(f'i{busy}')['in_flight'] == 1
    wait_for(lambda: f.instance(f'i{busy}')['in_flight'] == 0, 30, 'the place is free when the prompt has been worked off')
    assert time.monotonic() - left > 2
    wait_for(lambda: chat(f.port, 'sim:tokens=1')[0] == 200 and stats(s.ports[busy])['generations']['started'] > at, 20, 'it is used again')


# --- loads and reloads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('leaving', [0, 25])
def test_a_cold_burst_costs_one_load_and_no_503(own, leaving):
    """Sixty at once on a model that is not in memory, some of whom do not wait; a real server refuses most of them."""
    f, port = own('--max-queue 2 --model prime,load=50ms --model cold,load=800ms', models='"prime", "cold"', slots=4)
    before, answers = stats(port), []
    threads = [threading.Thread(target=lambda: answers.append(chat(f.port, 'sim:tokens=1', model='cold', stream=False)[0])) for _ in range(60)]
    gone = [send(f.port, 'sim:tokens=1', model='cold') for _ in range(leaving)]
    for t in threads:
        t.start()
    for c in gone:
        c.close()
    for t in threads:
        t.join()
    assert answers == [200] * 60
    after = stats(port)
    assert after['loads']['started'] - before['loads']['started'] == 1
    assert after['refused_busy'] == 0 and after['leaked_fds'] == 0


RELOADING = {'num_ctx': 1024, 'num_batch': 64, 'num_gpu': 1, 'main_gpu': 1, 'use_mmap': True, 'num_thread': 3, 'draft_num_predict': 2}


@pytest.mark.parametrize('generation', ['old', 'new'])
def test_a_client_with_other_options_reloads_nothing_and_starves_nobody(own, generation):
    """Straight to the instance one of them stops every load for as long as there is traffic."""
    f, port = own(f'--generation {generation} --parallel 4 --model sim-chat,load=200ms --model other,load=50ms', models=f'"{MODEL}", "other"', slots=4)
    with Steady(f.port, 2, 'sim:tokens=5 sim:delay=5ms') as steady:
        wait_for(lambda: len(steady.done) > 4, 20, 'traffic')
        before = stats(port)['loads']['started'], f.instance('own')['ollama_pid'], runner(port)['pid']
        for name, value in RELOADING.items():
            for path, more in (('/api/chat', {'messages': [{'role': 'user', 'content': 'sim:tokens=2'}]}), ('/api/generate', {'prompt': 'sim:tokens=2'}),
                               ('/api/embed', {'input': 'x'})):
                st, body, h = call(f.port, 'POST', path, {'model': MODEL, 'options': {name: value}, 'stream': False, **more})
                assert st == 200 and name in h['x-tsa-adjusted'], (name, path, st, body)
        st, _, h = chat(f.port, 'sim:tokens=2', shift=False, keep_alive=0)
        assert st == 200 and 'keep_alive' in h['x-tsa-adjusted']
        assert (stats(port)['loads']['started'], f.instance('own')['ollama_pid'], runner(port)['pid']) == before, 'something was loaded again'
        assert chat(f.port, 'sim:tokens=1', model='other')[0] == 200, 'another model is loaded meanwhile'
        assert all(s.good() for s in steady.end())
        with send(port, 'sim:tokens=1', options={'num_ctx': 1024}) as c:  # straight to it
            c.settimeout(20)
            assert c.recv(1000)
        assert stats(port)['loads']['started'] > before[0] + 1, 'it is the options that do it'


@pytest.mark.parametrize('others', [False, True])
def test_a_runner_that_dies_before_it_listens_is_healed_by_the_load_clock(own, others):
    """The load would never end, nor any behind it; those who wait for it are served by the next one."""
    f, port = own('--fault kind=hang-load,count=1', ready=False)
    wait_for(lambda: stats(port)['loads']['started'] == 1, 20, 'the load that hangs')
    waiting = [Stream(f.port, 'sim:tokens=2') for _ in range(5 if others else 0)]
    assert get(port, '/api/ps')[0] == 200 and get(port, '/api/version')[0] == 200
    f.wait_ready(30)
    assert stats(port)['loads']['started'] >= 2
    assert all(s.end().good() for s in waiting), [(s.status, s.lines) for s in waiting]
    assert chat(f.port, 'sim:tokens=1')[0] == 200


# --- runners that fall silent -------------------------------------------------------------------------------------------------


def healthy(port):
    """Every route that needs no token."""
    return [get(port, p)[0] for p in ('/', '/api/version', '/api/tags', '/api/ps')] == [200] * 4


def two_models(own):
    f, port = own('--parallel 2 --ping-timeout 3s --model sim-chat,load=50ms --model other,load=50ms', models=f'"{MODEL}", "other"', slots=4)
    assert chat(f.port, 'sim:tokens=1', model='other')[0] == 200
    return f, port, f.instance('own')['ollama_pid'], runner(port, 'sim-chat')['pid'], runner(port, 'other')['pid']


def test_a_runner_that_falls_silent_while_idle_is_found_and_it_alone_is_killed(own):
    f, port, server, wedged, other = two_models(own)
    os.kill(wedged, signal.SIGSTOP)
    assert healthy(port)
    wait_for(lambda: f.instance('own')['state'] == 'sick', 30, 'it is found')
    assert healthy(port)
    wait_for(lambda: f.instance('own')['state'] == 'ready', 30, 'it is healed')
    assert not alive(wedged) and alive(other)
    assert f.instance('own')['ollama_pid'] == server and runner(port, 'other')['pid'] == other
    assert chat(f.port, 'sim:tokens=1')[0] == 200


@pytest.mark.parametrize('which', ['sim-chat', 'other'])
def test_a_runner_that_falls_silent_in_a_stream_is_found_and_it_alone_is_killed(own, which):
    f, port, server, *pids = two_models(own)
    wedged, sound = pids if which == 'sim-chat' else pids[::-1]
    s = Stream(f.port, 'sim:tokens=400', model=which)
    s.wait_first()
    os.kill(wedged, signal.SIGSTOP)
    assert healthy(port)
    s.end(60)
    assert 'error' in s.lines[-1] and not any(x.get('done') for x in s.lines), s.lines[-1]
    wait_for(lambda: f.instance('own')['state'] == 'ready', 30, 'it is healed')
    assert not alive(wedged) and alive(sound)
    assert f.instance('own')['ollama_pid'] == server
    assert chat(f.port, 'sim:tokens=1', model=which)[0] == 200


def test_a_long_prompt_and_a_long_answer_are_no_wedge(own):
    """Both last much longer than any patience of the worker; the processor time of the runner tells."""
    f, port = own('--model sim-chat,load=50ms,prefill=250,decode=50,ctx=20000 --context-length 20000')
    assert chat(f.port, 'sim:tokens=1', stream=True)[0] == 200
    pid = runner(port)['pid']
    for text in ('sim:tokens=1 ' + 'y' * 12000, 'sim:tokens=600'):  # twelve seconds each
        s = Stream(f.port, text).end(60)
        assert s.good(), (s.status, s.lines[-1:])
    assert runner(port)['pid'] == pid and ': sick' not in f.tsad.text() and 'lost places' not in f.tsad.text()


# --- crashed streams ----------------------------------------------------------------------------------------------------------

DIALECTS = {
    '/api/chat': ({'messages': [{'role': 'user', 'content': 'sim:tokens=20'}]}, '"done":true'),
    '/api/generate': ({'prompt': 'sim:tokens=20'}, '"done":true'),
    '/v1/chat/completions': ({'messages': [{'role': 'user', 'content': 'sim:tokens=20'}]}, '[DONE]'),
    '/v1/completions': ({'prompt': 'sim:tokens=20'}, '[DONE]'),
    '/v1/messages': ({'max_tokens': 20, 'messages': [{'role': 'user', 'content': 'sim:tokens=20'}]}, 'message_stop'),
    '/v1/responses': ({'input': 'sim:tokens=20'}, 'response.completed'),
}


@pytest.mark.parametrize('path', DIALECTS)
def test_a_crashed_stream_never_counts_as_success(sims, fabrics, path):
    """The instance ends it as cleanly as a good one; only the missing last object tells.  The client is told, and so are the counters."""
    s = sims(1)
    f = fabrics(adopt=s.ports)
    body, end = DIALECTS[path]
    body = dict(body, model=MODEL, stream=True)
    s.fault(kind='crash-stream', after_chunks=4, count=1, route=path)
    st, direct, _ = call(s.port, 'POST', path, body)
    assert st == 200 and end not in direct, 'the trap is there'
    assert chat(s.port, 'sim:tokens=1')[0] == 200
    before, slot = f.wait_balance(), f.instance('i0')
    s.fault(kind='crash-stream', after_chunks=4, count=1, route=path)
    st, text, _ = call(f.port, 'POST', path, body)
    assert st == 200 and end not in text and '"error"' in text.strip().split('\n')[-1], text[-400:]
    after = f.wait_balance()
    assert after['failed'] == before['failed'] + 1 and after['answered'] == before['answered'], (before, after)
    assert f.instance('i0')['served'] == slot['served'] and f.instance('i0')['failed'] == slot['failed'] + 1
    st, text, _ = call(f.port, 'POST', path, body)
    assert st == 200 and end in text and f.wait_balance()['answered'] == before['answered'] + 1


# --- places that nobody gives back -------------------------------------------------------------------------------------------


def test_all_places_lost_under_traffic_are_found_and_healed(own):
    """No answer begins any more and nothing else shows it; the requests that wait are served all the same."""
    f, port = own('--parallel 2', slots=2)
    i = f.instance('own')
    assert chat(f.port, 'sim:tokens=2', stream=True)[0] == 200
    with Steady(f.port, 3, 'sim:tokens=10 sim:delay=10ms') as steady:
        wait_for(lambda: len(steady.done) > 6, 20, 'traffic')
        fault(port, kind='lose-place', count=0)
        lost = time.monotonic()
        wait_for(lambda: 'has lost places' in f.tsad.text(), 20, 'the loss is found')
        assert get(port, '/api/ps')[0] == 200
        wait_for(lambda: f.instance('own')['state'] == 'ready' and runner(port)['slots_lost'] == 0, 20, 'it is healed')
        healed = time.monotonic() - lost
        n = len(steady.done)
        wait_for(lambda: len(steady.done) > n + 6, 20, 'traffic goes on')
        done = steady.end()
        assert all(s.good() for s in done), [(s.status, s.lines[-1:], s.fault) for s in done if not s.good()]
        assert f.instance('own')['ollama_pid'] == i['ollama_pid'], 'the server itself went on'
        print(f'healed after {healed:.1f} s')


def test_some_places_lost_under_traffic_are_found_and_healed(own):
    """One of three: streams begin only when others end.  It is healed without a failed request."""
    f, port = own('--parallel 3', slots=3)
    i = f.instance('own')
    with Steady(f.port, 4, 'sim:tokens=20 sim:delay=20ms') as steady:
        wait_for(lambda: len(steady.done) > 12, 20, 'traffic')
        fault(port, kind='lose-place', count=1)
        wait_for(lambda: 'has lost places' in f.tsad.text(), 30, 'the loss is found')
        wait_for(lambda: f.instance('own')['state'] == 'ready' and runner(port)['slots_lost'] == 0, 20, 'it is healed')
        n = len(steady.done)
        wait_for(lambda: len(steady.done) > n + 12, 20, 'traffic goes on')
        done = steady.end()
        assert all(s.good() for s in done), [(s.status, s.lines[-1:], s.fault) for s in done if not s.good()]
        assert f.instance('own')['ollama_pid'] == i['ollama_pid'], 'the server itself went on'
