"""What placing requests well is worth, with real processes: one function per goal, each returns its figures.

tests/flow/test_goals.py plays them small and asserts, tests/bench/live plays them long and shows tables.  The instances are simulated:
their answers take the time that is asked of them, whatever the processor does, so that they are the limit and not this machine."""
import collections
import contextlib
import itertools
import json
import pathlib
import random
import subprocess
import sys

import openloop
from fabric import Fabric, Sim, call
from openloop import Shot, plan, run_closed, run_open, served, share

HERE = pathlib.Path(__file__).parent
PREFILL_PER_DECODE = 20  # tokens of prompt in the time of one of the answer
MODES = ('round-robin', 'basic', 'full')


def lengths(median, most, sigma=0.7):
    """Prompts of four lengths, answers log-normal: neither says anything of the other."""
    def length(r):
        return r.choice((20, 20, 100, 400)), max(4, min(most, round(median * r.lognormvariate(0, sigma))))
    return length


def work_s(shot, decode):
    """Seconds on an instance of that speed."""
    return (shot.tokens + shot.prompt / PREFILL_PER_DECODE) / decode


def mean_work_s(length, decode):
    r = random.Random(0)
    return sum(work_s(Shot(0, t, p), decode) for p, t in (length(r) for _ in range(4000))) / 4000


class Place:
    """Simulated instances of given speeds (answer tokens per second) and fresh fabrics over them."""

    def __init__(self, tmp, decode):
        self.tmp = pathlib.Path(tmp)
        self.decode = list(decode)
        self.stack = contextlib.ExitStack()
        self.fabrics = 0
        self.sims = {}

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            at = {}
            for rate in sorted(set(self.decode)):
                model = f'sim-chat,prefill={rate * PREFILL_PER_DECODE},decode={rate},load=10ms'
                sim = Sim(self.tmp, self.decode.count(rate), ['--quiet', '--model', model])
                stack.callback(sim.end)
                at[rate] = iter([(sim, p) for p in sim.ports])
            self.at = [next(at[rate]) for rate in self.decode]  # (simulator, port) of each instance
            self.ports = [port for _, port in self.at]
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *exc):
        self.stack.close()

    @contextlib.contextmanager
    def fabric(self, conf='', n=None):
        self.fabrics += 1
        tmp = self.tmp / f'fabric{self.fabrics}'
        tmp.mkdir()
        instances = ''.join(f'instance "i{i}" {{ url = "http://127.0.0.1:{p}" }}\n' for i, p in enumerate(self.ports[:n]))
        f = Fabric(tmp, conf=conf + '\n' + instances)
        try:
            yield f
        finally:
            f.stop()


def shots(seed, length, **kw):
    r = random.Random(seed)
    while True:
        prompt, tokens = length(r)
        yield Shot(0, tokens, prompt, **kw)


def of_instance(result):
    return int(result.headers.get('x-tsa-instance', 'i-1')[1:])


def whole(results):
    """All of them, or it was no measurement."""
    bad = collections.Counter(r.status for r in results if not r.done)
    assert not bad, f'requests without a whole answer, by status: {dict(bad)}'
    return results


# --- heterogeneous load ------------------------------------------------------------------------------------------------------------

FLEET = (100, 100, 100, 200, 200, 200, 400, 400, 400, 800, 800, 800)


def heterogeneous(place, mode, seed, seconds, load, learn=2.0):
    """Instances that differ eightfold, requests that differ fiftyfold; sojourns after the first seconds, in which speeds are learned."""
    length = lengths(40, 300)
    rate = load * sum(place.decode) / (mean_work_s(length, 1))
    with place.fabric(f'routing {{ selection = {mode} }}') as f:
        start, results = run_open(f.port, plan(seed, seconds, rate, length))
    whole(results)
    took = [r.took for r in results if r.due >= start + learn]
    return {'n': len(took), 'mean': sum(took) / len(took), 'p50': share(took, .5), 'p95': share(took, .95), 'p99': share(took, .99),
            'max': max(took), 'late_p99': share([r.sent - r.due for r in results], .99),
            'reasons': dict(collections.Counter(r.headers['x-tsa-route-reason'] for r in results)),
            'share': [sum(of_instance(r) == i for r in results) / len(results) for i in range(len(place.ports))]}


def unrouted(place, seed, seconds, load, learn=2.0):
    """The same arrivals without tsa: clients take the instances in turn, each with its own queue."""
    length = lengths(40, 300)
    plans = plan(seed, seconds, load * sum(place.decode) / mean_work_s(length, 1), length)
    ports = itertools.cycle(place.ports)
    start, results = openloop.run_open_at([(next(ports), s) for s in plans])
    took = [r.took for r in whole(results) if r.due >= start + learn]
    return {'n': len(took), 'mean': sum(took) / len(took), 'p50': share(took, .5), 'p95': share(took, .95), 'p99': share(took, .99),
            'max': max(took)}


# --- throughput ----------------------------------------------------------------------------------------------------------------------

def throughput(place, n, seconds):
    """Answer tokens per second of n instances, three requests for each slot always under way."""
    length = lengths(20, 60)
    with place.fabric(n=n) as f:
        start, results = run_closed([(f.port, shots(k, length)) for k in range(3 * n)], seconds)
    return served(whole(results), start + 1, start + seconds) / (seconds - 1)


# --- overload ------------------------------------------------------------------------------------------------------------------------

def capacity(place, length, seconds=3.0):
    """Work per second (in seconds of one instance) that the instances do when they are asked directly and never wait."""
    clients = [(port, shots(100 * i + k, length)) for i, port in enumerate(place.ports) for k in (0, 1)]
    start, results = run_closed(clients, seconds)
    return served(whole(results), start + 0.5, start + seconds, lambda r: work_s(r.shot, place.decode[0])) / (seconds - 0.5)


def rss_bytes(pid):
    with open(f'/proc/{pid}/status', encoding='ascii') as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith('VmRSS'))


def processor(pid):
    """Seconds that a process had a processor, seconds that it waited for one, and how often it got one."""
    with open(f'/proc/{pid}/schedstat', encoding='ascii') as f:
        ran, waited, times = map(int, f.read().split())
    return ran / 1e9, waited / 1e9, times


def overload(place, factor, seconds, wait_s, settle=4.0):
    """Arrivals of so many times the capacity; after `settle` seconds the figures of the steady window, but for `in_vain`: of all time."""
    length = lengths(16, 60)
    can = capacity(place, length)
    rate = factor * can / mean_work_s(length, place.decode[0])
    with place.fabric(f'deadlines {{ queue = {round(wait_s * 1000)}ms }}') as f:
        router = f.status()['routers'][0]['pid']
        before, at_first = rss_bytes(router), processor(router)
        asking = subprocess.Popen([sys.executable, HERE / 'refused.py', str(f.port), str(seconds), '0.02'], stdout=subprocess.PIPE, text=True)
        try:
            start, results = run_open(f.port, plan(5, seconds, rate, length))
            refused = json.loads(asking.communicate(timeout=60)[0])
        finally:
            asking.kill()
            asking.wait()
        rss = rss_bytes(router) - before
        ran, stood, times = (b - a for a, b in zip(at_first, processor(router)))
    begin, end = start + settle, start + seconds
    steady = [r for r in results if begin <= r.due]
    at_once = [r for r in steady if r.status in (429, 503) and not r.in_vain]
    admitted = [r for r in steady if r not in at_once]
    ms = [x['ms'] for x in refused]
    return {'rate': rate, 'goodput': served(results, begin, end, lambda r: work_s(r.shot, place.decode[0])) / (end - begin) / can,
            'admitted': len(admitted), 'refused': len(at_once), 'expired': sum(r.in_vain for r in admitted),
            'in_vain': sum(r.in_vain for r in results) / max(1, sum(r.in_vain or r.done for r in results)),
            'broken': sum(not r.done and r.status != 429 for r in admitted),
            'wait_ms': [share([r.waited for r in admitted if r.done], q) for q in (.5, .95, .99)],
            'refusal_ms': [share(ms, q) for q in (.5, .95, .99)], 'refusals': len(ms),
            'beside_ms': [share([x['beside_ms'] for x in refused], q) for q in (.5, .95, .99)],
            'cpu_us': 1e6 * ran / (len(results) + 2 * len(refused)), 'delay_us': 1e6 * stood / max(1, times),
            'statuses': dict(collections.Counter(x['status'] for x in refused)),
            'retry_after': sorted(x['retry_after'] for x in refused), 'rss_bytes': rss}


# --- one that slows down --------------------------------------------------------------------------------------------------------------

def slowdown(place, seconds, load, slower=3.0):
    """Shares of all traffic of one of equal instances: before, while it is slower, and after it recovered."""
    length = lengths(20, 40, 0.4)
    sim, port = place.at[0]
    rate = load * len(place.ports) / mean_work_s(length, place.decode[0])
    out = []
    with place.fabric() as f:
        for k, slow in enumerate((False, True, False)):
            if slow:
                sim.fault(port, kind='slow', delay_ms=round(1000 * slower / place.decode[0]), count=0)
            else:
                reset(port)
            start, results = run_open(f.port, plan(10 + k, seconds, rate, length))
            late = [r for r in whole(results) if r.due >= start + seconds / 2]  # the first half is for noticing
            out.append(sum(of_instance(r) == 0 for r in late) / len(late))
    return out


def reset(port):
    status, body, _ = call(port, 'POST', '/sim/reset')
    assert status == 200, body


# --- fairness ------------------------------------------------------------------------------------------------------------------------

PROMPT_WEIGHT, ANSWER_WEIGHT = 1, 2  # of tokens, as tsa.conf has them by default


def fairness(place, seconds, few=8, times=10):
    """Two tenants, one with ten times the requests under way; weighted tokens served to each while both always had some waiting."""
    length = lengths(20, 60)
    clients = [('many', k) for k in range(few * times)] + [('few', k) for k in range(few)]
    with place.fabric('limits { queue = 1000 }') as f:
        run_closed([(f.port, shots(k, length, tenant='first')) for k in place.ports], 1)  # what an answer is long must be known
        start, results = run_closed([(f.port, shots(hash_of(t, k), length, tenant=t)) for t, k in clients], seconds)
    begin, end = start + 0.5, start + seconds - 0.1
    got = {t: served([r for r in whole(results) if r.shot.tenant == t], begin, end,
                     lambda r: PROMPT_WEIGHT * r.said[0] + ANSWER_WEIGHT * r.said[1]) for t in ('many', 'few')}
    most_prompt = max(r.said[0] for r in results)
    most_answer = max(r.said[1] for r in results)
    # Virtual token counters: what two backlogged tenants were served differs by no more than this over any span.
    bound = 2 * max(PROMPT_WEIGHT * most_prompt, ANSWER_WEIGHT * most_answer * len(place.ports))
    return {'many': got['many'], 'few': got['few'], 'apart': abs(got['many'] - got['few']), 'bound': bound,
            'waiting_few': share([r.waited for r in results if r.shot.tenant == 'few'], .5)}


def hash_of(tenant, k):
    return k + (1000 if tenant == 'few' else 0)
