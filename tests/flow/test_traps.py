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
from fabric import BUILD, alive, call, chat, free_port, get, wait_for

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


# --- places that nobody gives back -------------------------------------------------------------------------------------------


def test_all_places_lost_under_traffic_are_found_and_healed(own):
    """No answer begins any more and nothing else shows it; the requests that wait are served all the same."""
    f, port = own('--parallel 2', slots=2)
    i = f.instance('own')
    assert chat(f.port, 'sim:tokens=2', stream=True)[0] == 200
    steady = Steady(f.port, 3, 'sim:tokens=10 sim:delay=10ms')
    wait_for(lambda: len(steady.done) > 6, 20, 'traffic')
    fault(port, kind='lose-place', count=0)
    lost = time.monotonic()
    wait_for(lambda: f.instance('own')['reason'] == 'places', 20, 'the loss is found')
    assert get(port, '/api/ps')[0] == 200
    wait_for(lambda: f.instance('own')['state'] == 'ready', 20, 'it is healed')
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
    steady = Steady(f.port, 4, 'sim:tokens=20 sim:delay=20ms')
    wait_for(lambda: len(steady.done) > 12, 20, 'traffic')
    assert not f.instance('own')['reason'] == 'places'
    fault(port, kind='lose-place', count=1)
    wait_for(lambda: 'has lost places' in f.tsad.text(), 30, 'the loss is found')
    wait_for(lambda: f.instance('own')['state'] == 'ready' and runner(port)['slots_lost'] == 0, 20, 'it is healed')
    n = len(steady.done)
    wait_for(lambda: len(steady.done) > n + 12, 20, 'traffic goes on')
    done = steady.end()
    assert all(s.good() for s in done), [(s.status, s.lines[-1:], s.fault) for s in done if not s.good()]
    assert f.instance('own')['ollama_pid'] == i['ollama_pid'], 'the server itself went on'
