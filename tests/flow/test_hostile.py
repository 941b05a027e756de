"""Hostile requests against the real tsad and router in front of a strict origin that records every byte it is given.

For each case, sent whole, byte by byte and cut at random: the same verdict, nothing at the origin that the router does not account for,
and the same router process serves on.  tests/hostile/differs.txt lists where published suites judge otherwise; TSA_WRITE_DIFFERS=1
writes it anew.  tests/hostile/rules.txt says what each of tsa's own cases is refused with; TSA_WRITE_RULES=1 writes that.
"""
import base64
import json
import os
import pathlib
import random
import re
import sys

import pytest
from fabric import ROOT, Fabric, get
from rawhttp import Broken, run_all, talk

HOSTILE = ROOT / 'tests' / 'hostile'
sys.path.insert(0, str(HOSTILE))
import request_cases  # noqa: E402
from origin import Origin  # noqa: E402

PROBE = b'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'
SUITES = pathlib.Path(os.environ.get('TSA_SHARED', ROOT.parent / 'shared')) / 'data' / 'hostile' / 'requests.jsonl'


RULES_HEAD = ('# What each refused case of request_cases.py is refused with: CASE | status | sentence.\n'
              '# Written by TSA_WRITE_RULES=1 with tests/flow/test_hostile.py, which fails when it is no longer true.\n\n')


class Front:
    """One origin behind one fabric, for all cases of this file."""

    def __init__(self, tmp):
        self.origin = Origin().start()
        self.fabric = Fabric(tmp, conf=f'limits {{ queue = 10000 }}\ninstance "o" {{ url = "http://127.0.0.1:{self.origin.port}" slots = 16 }}\n')
        self.port = self.fabric.port
        self.pid = self.router()['pid']

    def router(self):
        return self.fabric.status()['routers'][0]

    def inferences(self):
        """What the router sent on for clients: a worker's probes say `Accept`, the router sends no header of its own."""
        return [r for r in self.origin.requests if r.method == 'POST' and not r.header('accept')]

    def check(self):
        assert not self.origin.unclean, self.origin.unclean[:5]
        assert not [r for r in self.origin.requests if 'smuggled' in r.target]
        assert self.router()['pid'] == self.pid and get(self.port, '/healthz')[0] == 200

    def stop(self):
        self.fabric.stop()
        self.origin.stop()


@pytest.fixture(scope='module')
def front(tmp_path_factory):
    f = Front(tmp_path_factory.mktemp('hostile'))
    yield f
    f.stop()


def cuts(raw, seed, n=3):
    """The ways a case is sent: whole, in single bytes (long ones in small pieces), and cut at a few random points."""
    rnd = random.Random(seed)
    step = 1 if len(raw) <= 1500 else 97
    yield [raw]
    yield [raw[i:i + step] for i in range(0, len(raw), step)]
    for _ in range(n):
        at = sorted(rnd.sample(range(1, len(raw)), min(len(raw) - 1, rnd.randint(1, 3)))) if len(raw) > 1 else []
        yield [raw[a:b] for a, b in zip([0, *at], [*at, len(raw)])]


def verdict(t):
    return [a.status for a in t.answers], t.end, t.synced


def refused(t):
    """The router found fault and ended the connection."""
    return bool(t.answers) and 400 <= t.answers[-1].status < 600 and t.end == 'closed'


def send_all(front, cases, want, parallel=32, **kw):
    """[(case, [Talk for each way of cutting])]"""
    plan = [(c, pieces) for c in cases for pieces in cuts(c.raw, c.id)]
    out = run_all([lambda c=c, p=p: talk(front.port, p, want(c), probe=PROBE, **kw) for c, p in plan], parallel)
    by = {}
    for (c, _), t in zip(plan, out):
        by.setdefault(c, []).append(t)
    return by.items()


def test_own_cases(front):
    cases = request_cases.CASES
    before = len(front.inferences())
    wrong = []
    results = send_all(front, cases, lambda c: None if c.expect == 'reject' else c.answers)
    for c, talks in results:
        first = talks[0]
        if any(verdict(t) != verdict(first) for t in talks) or any(t.rest for t in talks):
            wrong.append((c.id, 'depends on the cuts', [verdict(t) for t in talks]))
        elif c.expect == 'reject' and not (len(first.answers) == 1 and refused(first)):
            wrong.append((c.id, 'not refused', verdict(first)))
        elif c.expect == 'refuse' and not (len(first.answers) == 1 and 400 <= first.answers[0].status < 500):
            wrong.append((c.id, 'not refused', verdict(first)))
        elif c.expect == 'accept' and len(first.answers) != c.answers:
            wrong.append((c.id, 'not answered', verdict(first)))
        elif c.expect == 'accept' and c.upstream and first.answers[0].status != 200:
            wrong.append((c.id, 'not served', verdict(first)))
        elif c.expect != 'reject' and first.end == 'open' and not first.synced:
            wrong.append((c.id, 'a further request got no answer', verdict(first)))
    assert not wrong, wrong
    assert len(front.inferences()) - before == sum(c.upstream * len(talks) for c, talks in results)
    front.check()
    front.fabric.wait_balance()
    rows = [(c.id, talks[0].answers[-1]) for c, talks in results if talks[0].answers and talks[0].answers[-1].status >= 400]
    text = RULES_HEAD + ''.join(f'{i} | {a.status} | {a.error()}'.rstrip() + '\n' for i, a in rows)
    if os.environ.get('TSA_WRITE_RULES'):
        (HOSTILE / 'rules.txt').write_text(text)
    assert text == (HOSTILE / 'rules.txt').read_text()


# --- published suites -------------------------------------------------------------------------------------------------

class Suite(request_cases.Case):
    """A case of a published suite: its verdict is about parsing, so what it asks for does not matter."""


def aimed(raw):
    """The same oddity where it can be judged: the head ended, a Host in it that is served, a body sent to a route that reads bodies."""
    if b'\r\n\r\n' not in raw:
        raw = raw.removesuffix(b'\r\n') + b'\r\n\r\n'
    line, eol, rest = raw.partition(b'\r\n')
    if re.fullmatch(rb'[A-Z]+ /\S* HTTP/1\.[01]', line) and re.search(rb'(?im)^(transfer-encoding|content-length)', rest):
        line = b'POST /api/generate ' + line[-8:]
    if not re.search(rb'(?im)^host[ \t]*:', rest):
        rest = b'Host: localhost\r\n' + rest
    rest = re.sub(rb'(?im)^(host:[ \t]*)[a-z0-9.-]+((?::\d+)?[ \t]*\r)$', rb'\1localhost\2', rest)
    return line + eol + rest


def suite_cases():
    for n, line in enumerate(SUITES.read_text().splitlines()):
        row = json.loads(line)
        raw = base64.b64decode(row['raw'])
        name = f"{row['suite']}/{row['id']}"
        for i, form in enumerate(dict.fromkeys((raw, aimed(raw)))):
            yield Suite(f'{name} #{n}.{i}', form, row['expect'], name)


# Why a request that a suite's own parser refuses is answered all the same.
REASONS = {
    'gunicorn-invalid/rfc9112_chunked_missing_final_crlf_01.http':
        'so far it is the beginning of a good body: it is waited for until the deadline, then refused; nothing reaches an instance before',
    'llhttp/connection:No restart when keep-alive is off (1.0)':
        'the first request is a good one and is answered; then the connection is closed and the second is not read',
    'llhttp/invalid:HTTP protocol and ANNOUNCE method': 'a method is any token; no route has this one',
    'llhttp/invalid:Invalid method': 'a method is any token; no route has this one',
}


def unparsed(t):
    """Refused for its bytes, and not for what it asks for."""
    return refused(t) and t.answers[-1].status not in (403, 404, 405)


def differences(results):
    """[(name, what the suite says, what happens here, why)]; of a case's two forms the one that agrees counts."""
    forms = {}
    for c, talks in results:
        forms.setdefault((c.id.rsplit('.', 1)[0], c.note, c.expect), []).append(talks[0])
    for (_, name, expect), talks in forms.items():
        if expect == 'reject' and not any(map(unparsed, talks)):
            last = talks[-1].answers[-1:]
            yield name, 'reject', f'answered {last[0].status}' if last else 'waits', REASONS.get(name, 'NO REASON IS KNOWN')
        if expect == 'accept' and all(map(unparsed, talks)):
            yield name, 'accept', 'refused', talks[-1].answers[-1].error()


def differs_text(rows):
    head = ('# Where a published suite of odd requests judges otherwise than tsa: SUITE/ID | the suite | tsa | why.\n'
            '# Written by TSA_WRITE_DIFFERS=1 with tests/flow/test_hostile.py, which fails when the list is no longer true.\n\n')
    return head + ''.join(' | '.join(r).rstrip(' |') + '\n' for r in rows)


def moody(talks):
    return len({str(verdict(t)[:2]) for t in talks}) > 1


def suites_are_judged_as_known(front, parallel, quiet):
    before = len(front.inferences())
    results = list(send_all(front, suite_cases(), lambda c: None, parallel=parallel, quiet=quiet))
    sent = [t for _, talks in results for t in talks]
    # Who differs with the cuts is heard again by a client that has time: many at once may take a late answer for none.
    again = list(send_all(front, [c for c, talks in results if moody(talks)], lambda c: None, parallel=8, quiet=10))
    sent += [t for _, talks in again for t in talks]
    results = list({**dict(results), **dict(again)}.items())
    assert not [(c.id, [verdict(t)[:2] for t in talks]) for c, talks in again if moody(talks)]
    relayed = sum('x-tsa-instance' in a.headers for t in sent for a in t.answers)
    assert relayed == len(front.inferences()) - before
    front.check()
    front.fabric.wait_balance()
    text = differs_text(sorted(differences(results)))
    if os.environ.get('TSA_WRITE_DIFFERS'):
        (HOSTILE / 'differs.txt').write_text(text)
    assert text == (HOSTILE / 'differs.txt').read_text()
    assert {n for n, says, *_ in differences(results) if says == 'reject'} == set(REASONS)


def test_published_suites(front):
    """Many at a time, and where that went wrong once more by clients that have time: a late answer is not to be taken for none."""
    if not SUITES.exists():
        pytest.skip(f'no {SUITES}; TSA_SHARED names the folder that holds data/hostile')
    try:
        suites_are_judged_as_known(front, 250, 1.5)
    except (AssertionError, Broken) as e:
        print(f'again, with time: {str(e)[:500]}')
        front.fabric.wait_balance(20)
        suites_are_judged_as_known(front, 100, 4)
