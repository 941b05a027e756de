"""The JSON view beside Go's encoding/json, which Ollama reads bodies with: where both take a body they find the same in it."""
import pathlib
import random
import shutil
import subprocess

import pytest
from fabric import BUILD, ROOT

CORPUS = ROOT / 'tests' / 'fuzz' / 'corpus' / 'http_view'
KEYS = ('model', 'MODEL', 'mo\\u0064el', 'ſtream', 'stream', 'STREAM', '\\u017ftream', 'Keep_alive', '\u212aeep_alive', '\\u212aeep_alive', 'opTions',
        'options', 'num_ctx', 'Num_Ctx', 'maſk', 'ma\u212a', 'messageſ', 'name', 'İmages', 'ımages', 'prompt', 'tools\\u0000', 'ﬁrst', '\\ud83d', 'è', '')
VALUES = ('1', '-0.5e3', '"a"', '"\\ud800"', 'null', 'true', '[]', '{}', '[1,{"model":2}]', '{"num_ctx":1}', '{"num_ctx":1,"NUM_CTX":2}', '01', '"\t"', '+1', 'nul',
          '{"num_gpu":[1, 2],"ſ":3,"use_mmap":null}', '"\x7f"', '1.', '.5', '"\\x"', ' 1 ')


def generated(n):
    """Objects of odd keys and values; some are no JSON at all."""
    rnd = random.Random(7)
    for _ in range(n):
        members = ','.join(f'"{rnd.choice(KEYS)}"{rnd.choice(("", " "))}:{rnd.choice(VALUES)}' for _ in range(rnd.randint(0, 4)))
        yield (rnd.choice(('', ' ', '\n')) + '{' + members + rnd.choice(('}', '}', '}', '} ', ',}', '', '}x'))).encode()


def mutated(bodies, n):
    rnd = random.Random(11)
    for _ in range(n):
        b = bytearray(rnd.choice(bodies))
        for _ in range(rnd.randint(1, 3)):
            if b:
                b[rnd.randrange(len(b))] = rnd.choice(b'{}[]":,\\u0 \xc5\xbf\xe2\x84\xaa' + bytes([rnd.randrange(256)]))
        yield bytes(b)


@pytest.fixture(scope='module')
def go_view(tmp_path_factory):
    go = shutil.which('go')
    if not go:
        pytest.skip('no go: the oracle of tests/fuzz/slow_json.h stands alone here')
    out = tmp_path_factory.mktemp('go') / 'view'
    subprocess.run([go, 'build', '-o', out, ROOT / 'tests/oracle/view.go'], check=True, capture_output=True, timeout=300)
    return out


def lines(program, bodies):
    data = b''.join(b'%08x%s' % (len(b), b) for b in bodies)
    return subprocess.run([program], input=data, capture_output=True, check=True, timeout=120).stdout.decode().splitlines()


def test_go_finds_the_same(go_view):
    saved = [p.read_bytes() for p in sorted(CORPUS.iterdir())]
    bodies = saved + list(generated(4000)) + list(mutated(saved, 4000))
    ours, theirs = lines(BUILD / 'oracle' / 'view', bodies), lines(go_view, bodies)
    assert len(ours) == len(theirs) == len(bodies)
    wrong = [(b[:200], o, t) for b, o, t in zip(bodies, ours, theirs) if o != t and o != 'strict']
    assert not wrong, wrong[:5]
    assert sum(o.startswith('ok') for o in ours) > 1000 and ours.count('bad') > 1000
