"""The cases are complete: every rule of the codec and every published flaw has one, and each refusal is for the reason it was made for.

tests/hostile/rules.txt says which case is refused with which sentence; tests/flow/test_hostile.py writes it (TSA_WRITE_RULES=1) and fails
when it is no longer true.
"""
import os
import pathlib
import re

import pytest
import request_cases
import upstream_cases
from flaws import FLAWS, PROBES

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROMISES = pathlib.Path(os.environ.get('TSA_SHARED', ROOT.parent / 'shared')) / 'promises.md'
ID = re.compile(r'\b(?:CVE-\d{4}-\d+|GHSA(?:-\w{4}){3}|GO-\d{4}-\d+|RELAYD-\d+|libevent-\d+|haproxy-[\w-]+)')
BY_ID = {c.id: c for c in request_cases.CASES}


def sentences(*paths):
    """Every sentence for people in a source: literals of three words and more, joined as the compiler does."""
    out = set()
    for p in paths:
        text, whole = re.sub(r'(?m)^_Static_assert.*$', '', (ROOT / p).read_text()), ''
        for m in re.finditer(r'/\*.*?\*/|"((?:\\.|[^"\\\n])*)"|\'(?:\\.|[^\'\\\n])+\'|\S', text, flags=re.S):
            if m[1] is not None:
                whole += m[1].replace('\\"', '"')
                continue
            if whole.count(' ') >= 2 and not whole.startswith('[') and '/' not in whole.split()[0]:
                out.add(whole)
            whole = ''
    return out


def rules():
    """{case: (status, sentence)}"""
    rows = [x.split('|', 2) for x in (HERE / 'rules.txt').read_text().splitlines() if x and x[0] != '#']
    return {name.strip(): (int(status), ''.join(text).strip()) for name, status, *text in rows}


def named(cases):
    """{flaw: cases whose note names it}"""
    out = {}
    for c in cases:
        for i in ID.findall(c.note):
            out.setdefault(i, []).append(c.id)
    return out


# Sentences that no request can earn.
UNREACHED = {'the body was refused before': 'the router asks a decoder no more once it refused; tests/unit/http_body.c does',
             'the body is sound': 'is no refusal'}


def test_every_rule_of_the_codec_has_a_case():
    said = {text for _, text in rules().values()}
    missing = {s for s in sentences('http/head.c', 'http/request.c', 'http/body.c', 'http/view.c') if s not in said}
    assert missing == set(UNREACHED), missing ^ set(UNREACHED)


def test_every_refusal_is_a_case():
    table = rules()
    assert set(table) <= set(BY_ID)
    assert {c.id for c in request_cases.CASES if c.expect != 'accept'} <= set(table)
    assert not [c for c, (status, _) in table.items() if not 400 <= status < 600]


def test_every_flaw_is_shown_where_the_table_says():
    by = {'requests': named(request_cases.CASES), 'answers': named(upstream_cases.CASES)}
    unknown = {i for side in by.values() for i in side if i not in FLAWS}
    assert not unknown, unknown
    tree = [p for d in ('base', 'conf', 'shm', 'ctl', 'proc', 'probes', 'route', 'http', 'supervisor', 'worker', 'router', 'tools')
            for p in (ROOT / d).rglob('*.[ch]')]
    source = '\n'.join(p.read_text() for p in tree)
    for flaw, where in FLAWS.items():
        kind, _, what = where.partition(' ')
        if where.startswith('same as '):
            assert where[8:] in FLAWS, flaw
        elif kind == 'fuzz':
            assert (ROOT / 'tests/fuzz' / f'{what}.c').exists(), flaw
        elif kind == 'test':
            path, _, test = what.partition('::')
            assert f'def {test}(' in (ROOT / path).read_text(), flaw
        elif kind == 'fixed':
            assert what, flaw
        elif kind == 'absent':
            assert not re.search(r'(?m)^\s*#\s*include\s*<' + re.escape(what) + r'|\b' + re.escape(what) + r'\s*\(', source), (flaw, what)
        else:
            for side in where.split(', '):
                assert by[side].get(flaw), f'no case of {side} names {flaw}'
            assert not [s for s in by if s not in where and by[s].get(flaw)], flaw


def test_every_probe_has_cases_that_are_refused():
    for row, ids in PROBES.items():
        for i in ids:
            assert BY_ID[i].expect in ('reject', 'refuse'), (row, i)


def test_the_table_of_promises_is_answered():
    if not PROMISES.exists():
        pytest.skip(f'no {PROMISES}; TSA_SHARED names the folder that holds it')
    text = PROMISES.read_text().partition('### 3.2')[2].partition('### 3.3')[0]
    wanted = set()
    for m in re.finditer(r'CVE-(\d{4})-(\d+)((?:/\d+)*)', text):
        stem = m[2]
        wanted.add(f'CVE-{m[1]}-{stem}')
        for tail in filter(None, m[3].split('/')):  # "CVE-2016-10195/6/7" and "CVE-2026-42945/9256"
            wanted.add(f'CVE-{m[1]}-{tail if len(tail) > 2 else stem[:-len(tail)] + tail}')
    wanted |= set(re.findall(r'GHSA(?:-\w{4}){3}|GO-\d{4}-\d+|RELAYD-\d+', text))
    assert wanted and not wanted - set(FLAWS), wanted - set(FLAWS)
