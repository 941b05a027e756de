"""Where requests go and when: measured differences, sessions, breakers, the order of the queue, honest refusals."""
import collections
import http.client
import json
import socket
import statistics
import threading
import time

import pytest
from fabric import PATIENCE, call, chat, wait_for

WORKS = ('--model', 'sim-chat,decode=400,prefill=5000,load=0ms', '--parallel', '8', '--tokens', '8')  # a long prompt costs more than its answer
QUICK = ('--model', 'sim-chat,ctx=65536,decode=200,prefill=0,load=0ms', '--parallel', '8', '--tokens', '8')


def conf_of(ports, text='', slots=2):
    return text + '\n' + ''.join(f'instance "i{n}" {{ url = "http://127.0.0.1:{p}" slots = {slots} }}\n' for n, p in enumerate(ports))


def ask(port, prompt='hello', headers=None, path='/api/chat', timeout=60, **more):
    """One request: (status, headers, seconds)."""
    start = time.monotonic()
    body = {'model': 'sim-chat:latest', 'messages': [{'role': 'user', 'content': prompt}], 'stream': False, **more}
    status, text, h = call(port, 'POST', path, body, timeout=timeout, headers=headers or {})
    h['text'] = text
    return status, h, time.monotonic() - start


class Crowd:
    """Requests on threads of their own, and what each got."""

    def __init__(self):
        self.ended, self.threads, self.lock = [], [], threading.Lock()

    def send(self, port, label, **kw):
        def run():
            try:
                got = ask(port, **kw)
            except (OSError, http.client.HTTPException) as e:
                got = (0, {'text': repr(e)}, 0)
            with self.lock:
                self.ended.append((label, *got))
        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()

    def wait(self):
        """All of them, (label, status, headers, seconds), as their threads came to tell of it."""
        for t in self.threads:
            t.join(60 * PATIENCE)
        assert len(self.ended) == len(self.threads), f'{len(self.threads) - len(self.ended)} requests hang'
        return self.ended

    def wait_served(self):
        """The same in the order in which one instance answered, by its own clock."""
        got = self.wait()
        assert {x[1] for x in got} == {200}, got
        return sorted(got, key=lambda x: json.loads(x[2]['text'])['created_at'])


def shares(port, n=80, clients=3):
    """Which share of n requests, some at a time, each instance got."""
    seen, lock, left = collections.Counter(), threading.Lock(), iter(range(n))

    def run():
        for _ in left:
            status, h, _ = ask(port)
            assert status == 200, h
            with lock:
                seen[h['x-tsa-instance']] += 1
    threads = [threading.Thread(target=run) for _ in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sum(seen.values()) == n
    return {k: v / n for k, v in seen.items()}


def breaker(f, name):
    return f.instance(name)['breaker']


# --- measured differences ------------------------------------------------------------------------------------------------

def test_traffic_leaves_an_instance_that_slows_and_comes_back(sims, fabrics):
    s = sims(3, *QUICK)
    f = fabrics(conf=conf_of(s.ports, 'routing { stale = 1s }'))
    before = wait_for(lambda: (x := shares(f.port)) and 0.2 < x.get('i0', 0) < 0.5 and x, 20, 'an even start')['i0']
    s.fault(port=s.ports[0], kind='slow', count=-1, delay_ms=60)
    slow = wait_for(lambda: (x := shares(f.port)) and x.get('i0', 0) <= before - 0.1 and x, 20, 'ten points less').get('i0', 0)
    assert slow <= before - 0.1
    call(s.ports[0], 'POST', '/sim/reset', {})
    wait_for(lambda: shares(f.port).get('i0', 0) >= before - 0.1, 40, 'its share again')


def test_modes_are_changed_by_a_reload(sims, fabrics):
    s = sims(3, *QUICK)
    f = fabrics(conf=conf_of(s.ports))

    def reasons(n=12):
        got = [ask(f.port)[1] for _ in range(n)]
        return {h['x-tsa-route-reason'] for h in got}, [h['x-tsa-instance'] for h in got]

    assert reasons()[0] <= {'best-score', 'equal-in-turn'}
    f.write_conf(conf_of(s.ports, 'routing { selection = round-robin }'))
    f.ctl('reload')
    wait_for(lambda: reasons(1)[0] == {'round-robin'}, 5)
    order = reasons()[1]
    assert collections.Counter(order) == {'i0': 4, 'i1': 4, 'i2': 4} and order[:3] == order[3:6], order
    f.write_conf(conf_of(s.ports, 'routing { selection = basic }'))
    f.ctl('reload')
    wait_for(lambda: reasons(1)[0] <= {'equal-in-turn', 'least-outstanding'}, 5)
    f.write_conf(conf_of(s.ports[:1], 'routing { selection = full }'))
    f.ctl('reload')
    wait_for(lambda: reasons(1)[0] == {'only-candidate'}, 10)


def test_an_instance_over_the_limit_is_left_alone_but_for_probing(sims, fabrics):
    s = sims(2, *QUICK)
    f = fabrics(conf=conf_of(s.ports, 'routing { probe_every = 10 stale = 5s slow { p95 = 300ms answers = 3 forget = 60s } }'))
    s.fault(port=s.ports[0], kind='slow', count=-1, delay_ms=80)
    wait_for(lambda: shares(f.port, 20).get('i0', 0) <= 0.3 and 'over routing.slow.p95' in f.tsad.text(), 20, 'left alone')
    got = [ask(f.port)[1] for _ in range(40)]
    there = [h['x-tsa-route-reason'] for h in got if h['x-tsa-instance'] == 'i0']
    assert 1 <= len(there) <= 12 and set(there) == {'probing'}, there
    call(s.ports[0], 'POST', '/sim/reset', {})
    wait_for(lambda: any(h['x-tsa-instance'] == 'i0' and h['x-tsa-route-reason'] != 'probing' for h in [ask(f.port)[1] for _ in range(20)]),
             60, 'its windows turn over and it is used again')


# --- breakers ------------------------------------------------------------------------------------------------------------

def test_a_breaker_opens_tries_once_and_closes(sims, fabrics):
    s = sims(2, *QUICK)
    f = fabrics(conf=conf_of(s.ports, 'routing { breaker { failures = 3 pause = 1s } }', slots=8))
    s.fault(port=s.ports[0], kind='error', status=502, count=-1, message='bad gateway')
    for _ in range(30):
        status, h, _ = ask(f.port)
        assert status == 200, h  # the other one serves
        if breaker(f, 'i0') == 'open':
            break
    wait_for(lambda: breaker(f, 'i0') == 'open', 5)
    hits = s.stats(s.ports[0])['routes']['POST /api/chat']['requests']
    assert hits == 3, 'open after exactly three'
    crowd, untried = Crowd(), time.monotonic()

    def trials():
        return s.stats(s.ports[0])['routes']['POST /api/chat']['requests'] - hits

    def four_more():
        nonlocal untried
        begun = time.monotonic()
        for _ in range(4):
            crowd.send(f.port, 'x')
        untried = untried if trials() else begun
        return trials()
    wait_for(four_more, 10, 'the pause of 1 s ends', every=0.05)
    for _ in range(6):
        four_more()
    assert {x[1] for x in crowd.wait()} == {200}
    n, since = trials(), time.monotonic() - untried
    assert n == 1 or since > 2 and n == 2, f'{n} trials in {since} s: whatever comes at the same time, there is one, and the next pause is 2 s'
    call(s.ports[0], 'POST', '/sim/reset', {})
    wait_for(lambda: ask(f.port)[0] == 200 and breaker(f, 'i0') == 'closed', 20, 'the next trial closes it')


@pytest.mark.parametrize('status, message', [(400, 'invalid format'), (404, 'model not found'), (500, 'option "x" must be of type integer')])
def test_what_the_client_did_wrong_opens_nothing(sims, fabrics, status, message):
    s = sims(2, *QUICK)
    f = fabrics(conf=conf_of(s.ports, 'routing { breaker { failures = 2 } }'))
    for p in s.ports:
        s.fault(port=p, kind='error', status=status, count=-1, message=message)
    assert {ask(f.port)[0] for _ in range(12)} == {status}
    assert [breaker(f, n) for n in ('i0', 'i1')] == ['closed', 'closed']
    for p in s.ports:
        call(p, 'POST', '/sim/reset', {})
    assert ask(f.port)[0] == 200


def test_when_all_are_unhealthy_they_are_tried_in_turn(sims, fabrics):
    s = sims(2, *QUICK)
    f = fabrics(conf=conf_of(s.ports, 'routing { breaker { failures = 1 pause = 60s } }'))
    for p in s.ports:
        s.fault(port=p, kind='error', status=502, count=2, message='bad gateway')
    assert ask(f.port)[0] == 502
    wait_for(lambda: [breaker(f, n) for n in ('i0', 'i1')] == ['open', 'open'], 5)
    got = [ask(f.port) for _ in range(6)]
    assert got[-1][0] == 200, got
    assert 'all-unhealthy' in {h.get('x-tsa-route-reason') for _, h, _ in got} | {'failover'} & {h.get('x-tsa-route-reason') for _, h, _ in got}
    wait_for(lambda: ask(f.port)[0] == 200 and 'closed' in [breaker(f, n) for n in ('i0', 'i1')], 10, 'success closes it')


def test_retries_have_a_budget(sims, fabrics):
    """Every instance fails everything: the fleet sees hardly more than the requests themselves."""
    s = sims(3, *QUICK)
    f = fabrics(conf=conf_of(s.ports, 'routing { breaker { failures = 1000 } retries { share = 10% per_second = 0 most = 3 } }'))
    for p in s.ports:
        s.fault(port=p, kind='error', status=502, count=-1, message='bad gateway')
    assert {ask(f.port)[0] for _ in range(50)} == {502}
    seen = sum(s.stats(p)['routes']['POST /api/chat']['requests'] for p in s.ports)
    assert 50 < seen <= 50 + 3 + 5, seen


# --- sessions ------------------------------------------------------------------------------------------------------------

LONG_TURN = 'tell me a story ' * 200


@pytest.mark.parametrize('how', ['x-tsa-session', 'x-claude-code-session-id', 'X-My-Thread', 'prompt_cache_key', 'first turn'])
def test_a_session_stays_where_it_is(sims, fabrics, how):
    s = sims(3, *WORKS)
    f = fabrics(conf=conf_of(s.ports, 'routing { affinity { headers = {"X-My-Thread"} } }', slots=8))

    def turn(name, k):
        messages = [{'role': 'user', 'content': name + LONG_TURN}]
        for i in range(k):
            messages += [{'role': 'assistant', 'content': 'yes'}, {'role': 'user', 'content': f'go on {i}'}]
        more = {'prompt_cache_key': name} if how == 'prompt_cache_key' else {}
        headers = {} if how in ('first turn', 'prompt_cache_key') else {how: name}
        status, h, _ = ask(f.port, messages=messages, headers=headers, **more)
        assert status == 200, h
        return h['x-tsa-instance'], h['x-tsa-route-reason']

    where = {}
    for name in ('a', 'b', 'c', 'd', 'e', 'f'):
        where[name] = turn(name, 0)[0]
    assert len(set(where.values())) > 1, where
    for k in range(1, 4):
        for name in where:
            assert turn(name, k) == (where[name], 'affinity')


def test_a_session_lets_go(sims, fabrics):
    s = sims(2, *WORKS)
    f = fabrics(conf=conf_of(s.ports, slots=4))
    me = {'headers': {'X-TSA-Session': 'mine'}, 'prompt': LONG_TURN}
    first = ask(f.port, **me)[1]['x-tsa-instance']
    assert [ask(f.port, **me)[1]['x-tsa-instance'] for _ in range(4)] == [first] * 4
    f.ctl('drain', first)
    other = wait_for(lambda: (i := ask(f.port, **me)[1]['x-tsa-instance']) != first and i, 10)
    f.ctl('undrain', first)
    wait_for(lambda: f.instance(first)['state'] == 'ready', 10)
    assert [ask(f.port, **me)[1]['x-tsa-instance'] for _ in range(6)] == [other] * 6, 'bound anew'


def test_two_tenants_have_two_sessions_of_one_name(sims, fabrics):
    s = sims(2, *WORKS)
    f = fabrics(conf=conf_of(s.ports, slots=4))
    keys = [{'X-TSA-Session': 'main', 'Authorization': f'Bearer k{i}'} for i in range(6)]
    where = [ask(f.port, headers=k, prompt=LONG_TURN)[1]['x-tsa-instance'] for k in keys]
    assert set(where) == {'i0', 'i1'}
    assert [ask(f.port, headers=k, prompt=LONG_TURN)[1]['x-tsa-instance'] for k in keys] == where


# --- options that would load the model anew ----------------------------------------------------------------------------------------

@pytest.fixture
def contexts(sims, fabrics):
    """contexts(text): i0 holds the model with 4096 tokens of context, i1 with 16384."""
    made = [sims(1, *QUICK, '--context-length', str(n)) for n in (4096, 16384)]

    def make(text):
        return fabrics(conf=conf_of([s.port for s in made], text, slots=4))
    yield make
    for s in made:
        assert s.stats()['routes']['POST /api/chat'].get('requests'), 'every instance was used'


def told(f, n, **options):
    """Who answered n requests with these options, what was adjusted, and with which status."""
    got = [ask(f.port, options=options) for _ in range(n)]
    return ({h.get('x-tsa-instance') for _, h, _ in got}, {h.get('x-tsa-adjusted') for _, h, _ in got}, {st for st, _, _ in got})


def test_a_longer_context_is_looked_for(contexts):
    f = contexts('routing { reload = route }')
    both = {'i0', 'i1'}
    assert told(f, 8, num_ctx=4000) == (both, {'num_ctx'}, {200})
    assert told(f, 8, num_ctx=9000) == ({'i1'}, {'num_ctx'}, {200})
    assert told(f, 8, num_ctx=99000) == ({'i1'}, {'num_ctx=16384'}, {200})
    f.ctl('drain', 'i1')
    wait_for(lambda: ask(f.port, options={'num_ctx': 9000})[0] == 503, 10, 'the other one does not count')


def test_a_model_has_a_policy_of_its_own(contexts):
    f = contexts('routing { reload = refuse }\nmodel "sim-chat" { reload = clamp }')
    both = {'i0', 'i1'}
    assert told(f, 8, num_ctx=9000) == (both, {'num_ctx=4096'}, {200})
    f.write_conf(f.conf.read_text().split('\n', 2)[2].replace('model "sim-chat" { reload = clamp }', ''))
    f.ctl('reload')
    wait_for(lambda: ask(f.port, options={'num_thread': 3})[0] == 400, 5)
    status, h, _ = ask(f.port, options={'num_ctx': 99000})
    assert status == 400 and '16384' in h['text'], h
    assert told(f, 4, num_ctx=9000)[2] == {200}


# --- the queue -----------------------------------------------------------------------------------------------------------

@pytest.fixture
def narrow(sims, fabrics):
    """narrow(text): one place, and time enough to wait for it; hold() takes it until release()."""
    s = sims(1, *WORKS)

    def make(text=''):
        f = fabrics(conf=conf_of(s.ports, 'deadlines { queue = 10m }\n' + text, slots=1))
        f.crowd = Crowd()

        def hold():
            s.fault(kind='hang-stream', route='/api/chat')
            f.crowd.send(f.port, 'holder')
            wait_for(lambda: f.counters()['active'] == 1 and s.stats()['held'] == 1, 10)

        def release():
            assert f.counters()['active'] == 1 and s.stats()['held'] == 1, 'nobody has taken the place meanwhile'
            assert call(s.port, 'POST', '/sim/release')[0] == 200
        f.hold, f.release = hold, release
        f.sim = s
        return f
    yield make
    call(s.port, 'POST', '/sim/release')


def test_interactive_goes_before_normal_before_batch(narrow):
    f = narrow()
    f.hold()
    for n, label in enumerate(('batch', 'normal', 'interactive')):
        f.crowd.send(f.port, label, headers={'X-TSA-Priority': label})
        wait_for(lambda n=n: f.counters()['waiting'] == n + 1, 5)
    f.release()
    got = f.crowd.wait_served()
    assert [x[0] for x in got] == ['holder', 'interactive', 'normal', 'batch']
    waited = {x[0]: x[2] for x in got}
    assert int(waited['batch']['x-tsa-queue-position']) == 1 and int(waited['interactive']['x-tsa-queue-position']) == 1
    assert int(waited['batch']['x-tsa-queue-ms']) >= int(waited['interactive']['x-tsa-queue-ms'])
    assert not {'x-tsa-queue-position', 'x-tsa-queue-estimate-ms'} & set(waited['holder'])
    assert all(0 <= int(waited[label]['x-tsa-queue-estimate-ms']) < 60000 for label in ('batch', 'normal', 'interactive'))


def test_an_unknown_priority_is_refused(narrow):
    f = narrow()
    status, h, _ = ask(f.port, headers={'X-TSA-Priority': 'urgent'})
    assert status == 400 and 'interactive, normal or batch' in h['text']
    assert ask(f.port, headers={'X-TSA-Priority': 'Batch'})[0] == 200


def test_a_class_has_its_own_deadline(narrow):
    f = narrow('routing { wait { batch { wait = 300ms } } }')
    f.hold()
    f.crowd.send(f.port, 'normal')
    f.crowd.send(f.port, 'batch', headers={'X-TSA-Priority': 'batch'})
    wait_for(lambda: [x[0] for x in f.crowd.ended] == ['batch'], 5, 'its deadline, long before that of the others')
    f.release()
    got = {x[0]: x[1:] for x in f.crowd.wait()}
    assert got['batch'][0] == 429 and int(got['batch'][1]['retry-after']) >= 1
    assert got['normal'][0] == got['holder'][0] == 200


def test_short_work_goes_first_and_long_work_not_never(narrow):
    """When answers have taught what a prompt costs, a long one waits for short ones that came a little later."""
    f = narrow()
    for n in range(20):
        assert ask(f.port, prompt=f'{n} ' + LONG_TURN)[0] == 200
    f.hold()
    f.crowd.send(f.port, 'long', prompt='word ' * 20000)
    wait_for(lambda: f.counters()['waiting'] == 1, 5)
    for n in range(3):
        f.crowd.send(f.port, 'short')
        wait_for(lambda n=n: f.counters()['waiting'] == n + 2, 5)
    f.release()
    assert [x[0] for x in f.crowd.wait_served()] == ['holder', 'short', 'short', 'short', 'long']


BOUNDED = {'native': {'options': {'num_predict': 2}}, 'chat': {'path': '/v1/chat/completions', 'max_tokens': 2},
           'responses': {'path': '/v1/responses', 'input': 'hello', 'max_output_tokens': 2}, 'anthropic': {'path': '/v1/messages', 'max_tokens': 2}}
UNBOUNDED = {'not native': {'max_tokens': 2}, 'ignored': {'path': '/v1/chat/completions', 'max_completion_tokens': 2},
             'negative': {'options': {'num_predict': -1}}, 'none': {'options': {'num_predict': 0}}}


def test_an_answer_that_is_bounded_is_short_work(narrow):
    """Whatever was learned of the model's answers, the client's own limit is less: in each dialect's words, and in no other's."""
    f = narrow()

    def expected(**more):
        status, h, _ = ask(f.port, **more)
        assert status == 200, h
        return json.loads(f.ctl('-j', 'explain', '--request', h['x-tsa-request-id']).stdout)['decision']['output_tokens']
    for _ in range(8):
        assert ask(f.port, prompt='sim:tokens=80')[0] == 200
    assert {label: expected(**more) for label, more in BOUNDED.items()} == dict.fromkeys(BOUNDED, 2)
    told = {label: expected(**more) for label, more in UNBOUNDED.items()}
    assert all(n > 20 for n in told.values()), told
    f.hold()
    for n, (label, more) in enumerate((('long', {}), ('short', {'options': {'num_predict': 2}}))):
        f.crowd.send(f.port, label, **more)
        wait_for(lambda n=n: f.counters()['waiting'] == n + 1, 5)
    f.release()
    assert [x[0] for x in f.crowd.wait_served()] == ['holder', 'short', 'long']


def test_one_tenant_cannot_starve_another(narrow):
    f = narrow()
    f.hold()
    for _ in range(40):
        f.crowd.send(f.port, 'greedy', headers={'Authorization': 'Bearer greedy'})
    wait_for(lambda: f.counters()['waiting'] == 40, 10)
    for _ in range(5):
        f.crowd.send(f.port, 'modest', headers={'X-Api-Key': 'modest'})
    wait_for(lambda: f.counters()['waiting'] == 45, 10)
    f.release()
    labels = [x[0] for x in f.crowd.wait_served()]
    last = max(i for i, x in enumerate(labels) if x == 'modest')
    assert last <= 14, labels  # five of each in turn, the holder, and a little


def test_one_tenant_cannot_fill_the_queue(narrow):
    f = narrow('limits { queue = 8 }\nrouting { wait { normal { share = 100% } } }')
    f.hold()
    for _ in range(6):
        f.crowd.send(f.port, 'greedy', headers={'Authorization': 'Bearer greedy'})
    wait_for(lambda: f.counters()['waiting'] == 6, 10)
    status, h, _ = ask(f.port, headers={'Authorization': 'Bearer greedy'})
    assert status == 429 and 'the most for one client' in h['text'] and int(h['retry-after']) >= 1, h
    assert f"try again in {h['retry-after']} s" in h['text'], h
    f.crowd.send(f.port, 'modest', headers={'X-Api-Key': 'modest'})
    wait_for(lambda: f.counters()['waiting'] == 7, 10)
    f.release()
    assert {x[1] for x in f.crowd.wait()} == {200}


def test_a_full_queue_refuses_before_the_body_has_come(narrow):
    f = narrow('limits { queue = 1 }')
    f.hold()
    f.crowd.send(f.port, 'waiter')
    wait_for(lambda: f.counters()['waiting'] == 1, 5)
    with socket.create_connection(('127.0.0.1', f.port), timeout=30) as s:
        s.sendall(b'POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{')
        got = s.recv(65536)
    assert got.startswith(b'HTTP/1.1 429') and b'Retry-After: ' in got and b'Connection: close' in got, got
    f.release()
    assert {x[1] for x in f.crowd.wait()} == {200}


def test_who_leaves_the_queue_is_out_of_it(narrow):
    f = narrow()
    f.hold()
    conns = []
    for n in range(20):
        c = http.client.HTTPConnection('127.0.0.1', f.port)
        c.request('POST', '/api/chat', json.dumps({'model': 'sim-chat', 'messages': [{'role': 'user', 'content': 'x'}]}))
        conns.append(c)
    wait_for(lambda: f.counters()['waiting'] == 20, 10)
    for c in conns:
        c.close()
    wait_for(lambda: f.counters()['waiting'] == 0, 5)
    f.release()
    assert {x[1] for x in f.crowd.wait()} == {200}
    assert f.wait_balance()['aborted'] == 20
    assert f.sim.stats()['routes']['POST /api/chat']['requests'] == 1, 'nothing of theirs was sent'


def refusals(port, total):
    """Each of so many requests on one connection is refused: for how many seconds it, and a question of no work beside it, waited."""
    took, beside = [], []
    c = http.client.HTTPConnection('127.0.0.1', port, timeout=30)
    for n in range(total):
        path = ('/api/chat', '/v1/chat/completions', '/v1/messages')[n % 3]
        start = time.perf_counter()
        c.request('POST', path, json.dumps({'model': 'sim-chat', 'max_tokens': 5, 'messages': [{'role': 'user', 'content': 'x'}]}))
        r = c.getresponse()
        body = json.loads(r.read())
        took.append(time.perf_counter() - start)
        assert r.status == 429 and 1 <= int(r.headers['Retry-After']) <= 150, body
        assert int(r.headers['X-TSA-Queue-Position']) == 5
        error = body['error'] if path == '/api/chat' else body['error']['message']
        assert 'busy' in error, body
        start = time.perf_counter()
        c.request('GET', '/healthz')
        c.getresponse().read()
        beside.append(time.perf_counter() - start)
    c.close()
    return sorted(took), sorted(beside)


def quick(took, beside):
    """Half of them within 5 ms, and hardly one later than 20; what the machine takes for any question is not the refusal's."""
    late = len(took) * 197 // 200
    return statistics.median(took) - statistics.median(beside) < 0.005 and took[late] - beside[late] < 0.02


@pytest.mark.promise(32)
def test_refusals_are_quick_and_say_when(narrow):
    """Ten times what the service takes: who is refused knows it within 5 ms, in the words of the dialect, with the time to come again."""
    f = narrow('limits { queue = 5 }\nrouting { wait { tenant = 100% } }')
    for _ in range(35):
        assert ask(f.port)[0] == 200
    f.hold()
    for n in range(4):
        f.crowd.send(f.port, 'waiter')
        wait_for(lambda n=n: f.counters()['waiting'] >= n + 1, 5)
    rounds = [refusals(f.port, 200)]
    while not quick(*rounds[-1]) and len(rounds) < 5:  # a busy machine adds to some rounds, a slow router to every one
        rounds.append(refusals(f.port, 200))
    assert quick(*rounds[-1]), [(statistics.median(r), r[-5:], statistics.median(b), b[-5:]) for r, b in rounds]
    f.release()
    assert {x[1] for x in f.crowd.wait()} == {200}


def test_chat_of_a_quiet_service_is_not_refused_for_what_nobody_measured(narrow):
    f = narrow('routing { wait { work = 1s } }')
    f.hold()
    for _ in range(10):
        f.crowd.send(f.port, 'x')
    wait_for(lambda: f.counters()['waiting'] == 10, 10)
    f.release()
    assert {x[1] for x in f.crowd.wait()} == {200}
    assert chat(f.port)[0] == 200
