"""The sequence protocol of shm/seq.h: as it is nothing tears; with one mistake each, somebody notices.

Three onlookers, because no one of them can see everything: `hammer` counts torn copies beside a writer flat out, on this machine;
`model` runs the same header in every order that x86-64 ("tso") and the C standard ("c11") allow, with writers that die anywhere;
`races` is `hammer` under the race checker.  x86-64 keeps stores in order and today's compilers leave these loops alone, so here a
missing release and a plain copy tear nothing by themselves: the model and the race checker see them, and their -moved forms, which
have done to them what a compiler or another processor may do, tear on every machine."""
import os
import re
import subprocess

import pytest

from fabric import BUILD, ROOT

READS = int(os.environ.get('TSA_HAMMER_READS', 10_000_000))
CATCH = 200_000_000  # a mistake is looked for in so many reads at most, in runs of a million

# mistake: who must notice
SEEDED = {
    'no-mark': {'hammer', 'tso', 'c11'},
    'no-recheck': {'hammer', 'tso', 'c11'},
    'plain-copy': {'races', 'c11'},
    'plain-copy-moved': {'hammer', 'tso', 'c11'},
    'no-release': {'c11'},
    'no-release-moved': {'hammer', 'tso', 'c11'},
    # every other ingredient of the protocol
    'even-relaxed': {'c11'},
    'words-relaxed': {'c11'},
    'before-relaxed': {'c11'},
    'copy-relaxed': {'c11'},
    'odd-accepted': {'hammer', 'tso', 'c11'},
    'counts-up': {'tso', 'c11'},  # only after a death, and the hammer's writer does not die
}


def run(way, program, *args):
    p = subprocess.run([BUILD / 'seq' / way / program, *map(str, args)], capture_output=True, text=True, timeout=600)
    print(f'{way}: {p.stdout}', end='')
    return p


def model_breaks(way):
    p = run(way, 'model')
    lines = dict(line.split(':', 1) for line in p.stdout.strip().split('\n'))
    assert set(lines) == {'tso', 'c11'} and p.stderr == ''
    return {machine for machine, text in lines.items() if 'BROKEN' in text}


def torn(way, reads):
    p = run(way, 'hammer', reads)
    n = int(re.search(r'(\d+) torn', p.stdout).group(1))
    assert p.returncode == (1 if n else 0), p.stderr
    return n


def races(way):
    p = run(way, 'races', 100_000)
    assert 'FATAL' not in p.stderr, p.stderr
    return 'data race' in p.stderr


@pytest.mark.promise(9)
def test_no_read_beside_writers_flat_out_is_torn():
    assert torn('right', READS) == 0


@pytest.mark.promise(8)
def test_no_execution_of_readers_and_dying_writers_breaks_a_claim():
    assert model_breaks('right') == set()


def test_the_race_checker_finds_nothing():
    assert not races('right')


def test_every_mistake_is_looked_for():
    known = subprocess.run([ROOT / 'tests/seq/mistakes'], capture_output=True, text=True, check=True).stdout.split()
    assert set(known) == {'right', *SEEDED}


@pytest.mark.parametrize('mistake', SEEDED)
def test_a_mistake_is_caught(mistake):
    seen = model_breaks(mistake)
    if 'hammer' in SEEDED[mistake]:
        for _ in range(CATCH // 1_000_000):
            if torn(mistake, 1_000_000):
                seen.add('hammer')
                break
    if 'races' in SEEDED[mistake] and races(mistake):
        seen.add('races')
    assert seen == SEEDED[mistake]
