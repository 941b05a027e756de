"""The worker's promises: it heals what can be healed, loads one model at a time, recycles what climbs, and never ends a stranger."""
import http.client
import json
import os
import signal
import socket
import threading
import time

import pytest

from fabric import BUILD, alive, call, chat, free_port, wait_for

QUICK = 'deadlines { probe = 100ms able = 2s answer = 2s load = 3s start = 5s stop = 3s }\n'


@pytest.fixture
def own(fabrics):
    """own(...) starts a fabric with one instance "own" that tsa starts itself, with real runner processes; (fabric, port)."""
    def start(extra='', models='"sim-chat", "sim-embed"', **kw):
        port = free_port()
        return fabrics(conf=QUICK + f'instance "own" {{ command = {{"{BUILD}/ollama-sim", "serve", "--runners"}} '
                       f'listen = "127.0.0.1:{port}" models = {{{models}}} {extra} }}\n', **kw), port
    return start


def fault(port, **kw):
    status, body, _ = call(port, 'POST', '/sim/fault', kw)
    assert status == 200, body


def model(f, name, instance='own'):
    return next(m for m in f.instance(instance)['models'] if m['name'].startswith(name))


def ready_again(f, name='own', seconds=20):
    wait_for(lambda: f.instance(name)['state'] == 'ready', seconds, f'{name} is ready again')


def test_an_idle_wedged_instance_is_found_and_healed(own):
    """It answers tags and version but no token: seen without any traffic, healed without a restart."""
    f, port = own()
    pid = f.instance('own')['ollama_pid']
    fault(port, kind='wedge', count=-1)
    wait_for(lambda: f.instance('own')['state'] == 'sick', 15, 'the wedge is recognised')
    assert 'token' in json.dumps(f.instance('own'))
    ready_again(f)
    assert f.instance('own')['ollama_pid'] == pid
    assert chat(f.port, 'sim:tokens=1')[0] == 200


def stream(port, text):
    """An open stream whose first line has come: (connection, response)."""
    c = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
    c.request('POST', '/api/chat', json.dumps({'model': 'sim-chat', 'messages': [{'role': 'user', 'content': text}]}))
    r = c.getresponse()
    assert r.status == 200 and r.readline()
    return c, r


def test_a_busy_wedged_instance_loses_its_runner_alone(own):
    """A stream hangs on it: its runner is killed, the stream ends with an error, and the Ollama lives on."""
    f, port = own()
    pid = f.instance('own')['ollama_pid']
    c, r = stream(f.port, 'sim:tokens=400')
    fault(port, kind='wedge')
    last = r.read().decode().strip().split('\n')[-1]
    c.close()
    assert 'error' in json.loads(last)
    ready_again(f)
    assert f.instance('own')['ollama_pid'] == pid
    assert chat(f.port, 'sim:tokens=1')[0] == 200


def test_a_long_answer_is_no_wedge(own):
    """One stream, much longer than any patience of the worker, on a runner that shows no CPU time: left alone."""
    f, port = own()
    c, r = stream(f.port, 'sim:tokens=500')  # 10 s; the worker asks after 6
    last = r.read().decode().strip().split('\n')[-1]
    c.close()
    assert json.loads(last)['done']
    assert 'sick' not in f.tsad.text()


@pytest.mark.parametrize('kind', ['crash-load', 'hang-load'])
def test_a_load_that_fails_or_hangs_is_tried_again(own, kind):
    """A runner that dies, or never listens: the load clock ends it, the model is marked, and later it is loaded."""
    f, port = own()
    fault(port, kind=kind, count=1)
    f.ctl('warm', 'own', 'sim-embed')
    wait_for(lambda: 'could not load' in f.tsad.text(), 10, 'the failure is told')
    assert chat(f.port, 'sim:tokens=1')[0] == 200, 'the resident model serves meanwhile'
    f.ctl('warm', 'own', 'sim-embed')
    wait_for(lambda: model(f, 'sim-embed')['resident'], 15, 'loaded at the second try')


def test_climbing_descriptors_are_recycled_without_a_failed_request(sims, fabrics):
    """Drained, restarted, warmed, back; another instance serves meanwhile."""
    s = sims(1)
    port = free_port()
    f = fabrics(conf=QUICK + f'instance "own" {{ command = {{"{BUILD}/ollama-sim", "serve"}} listen = "127.0.0.1:{port}" models = {{"sim-chat"}} fds = 60 }}\n'
                f'instance "other" {{ url = "http://127.0.0.1:{s.port}" models = {{"sim-chat"}} }}\n')
    pid = f.instance('own')['ollama_pid']
    stop, bad = threading.Event(), []

    def load():
        while not stop.is_set():
            r = chat(f.port, 'sim:tokens=4')
            if r[0] != 200:
                bad.append(r)
    ts = [threading.Thread(target=load) for _ in range(2)]
    for t in ts:
        t.start()
    leak = [socket.create_connection(('127.0.0.1', port)) for _ in range(80)]
    try:
        wait_for(lambda: f.instance('own')['ollama_pid'] not in (0, pid) and f.instance('own')['state'] == 'ready', 30, 'it is started again')
    finally:
        stop.set()
        for t in ts:
            t.join()
        for c in leak:
            c.close()
    assert not bad
    assert 'descriptors, above 60' in f.tsad.text()


def test_orphaned_runners_end_and_strangers_do_not(own, sims, tmp_path):
    """After kill -9 of an Ollama its runners are ended; a runner of somebody else's Ollama is not."""
    stranger = sims(1, '--runners')
    assert chat(stranger.port, 'sim:tokens=1')[0] == 200
    theirs = [p for p in children(stranger.pid)]
    f, _ = own()
    pid = f.instance('own')['ollama_pid']
    mine = wait_for(lambda: children(pid), 5, 'it has a runner')
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(alive(p) for p in mine), 10, 'the orphans ended')
    ready_again(f)
    assert theirs and all(alive(p) for p in theirs)


def test_a_stranger_on_the_address_is_told_and_left_alone(sims, fabrics):
    """The port is taken: the instance says so and backs off; what answers there is neither used nor ended."""
    s = sims(1)
    f = fabrics(conf=QUICK + f'instance "own" {{ command = {{"{BUILD}/ollama-sim", "serve"}} listen = "127.0.0.1:{s.port}" models = {{"sim-chat"}} }}\n', ready=False)
    wait_for(lambda: f.instance('own')['state'] == 'backoff', 10, 'it backs off')
    assert 'another process' in json.dumps(f.instance('own'))
    assert alive(s.pid)
    s.kill()
    s.p.wait()
    f.ctl('restart', 'own')
    ready_again(f)


def test_an_adopted_one_that_stops_and_goes_on(sims, fabrics):
    """SIGSTOP and SIGCONT of an Ollama that is not ours: sick meanwhile, then ready, and never killed."""
    s = sims(1)
    f = fabrics(conf=QUICK + f'instance "i0" {{ url = "http://127.0.0.1:{s.port}" models = {{"sim-chat"}} }}\n')
    os.kill(s.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: f.instance('i0')['state'] == 'sick', 40, 'it is missed')
    finally:
        os.kill(s.pid, signal.SIGCONT)
    ready_again(f, 'i0')
    assert alive(s.pid)


def test_an_unloaded_model_stays_away_until_somebody_wants_it(own):
    """`unload` holds against the warmer; a request brings the model back."""
    f, _ = own()
    f.ctl('unload', 'own')
    wait_for(lambda: not model(f, 'sim-chat')['resident'], 10, 'unloaded')
    time.sleep(1.5)  # many probes
    assert not model(f, 'sim-chat')['resident']
    assert chat(f.port, 'sim:tokens=1')[0] == 200
    assert model(f, 'sim-chat')['resident']


def children(pid):
    out = []
    for t in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{t}/children') as c:
            out += [int(p) for p in c.read().split()]
    return out
