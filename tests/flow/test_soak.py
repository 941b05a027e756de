"""The soak in small: 40 seconds with a deed every 4.  It judges by deadlines that want a machine to itself; `make soak` is the real one."""
import math
import os
import subprocess
import sys

import pytest
from fabric import BUILD, LONG, PATIENCE, ROOT, SANITIZED

sys.path.insert(0, str(ROOT / 'tests' / 'soak'))
from figures import Limit, Series  # noqa: E402


@pytest.mark.skipif(not LONG, reason='TSA_LONG=1 adds it')
@pytest.mark.timeout(600)
def test_everything_at_once(tmp_path):
    env = {**os.environ, 'TSA_BUILD': str(BUILD), 'SOAK_S': '40', 'SOAK_CLIENTS': '8' if SANITIZED else '16', 'TMPDIR': str(tmp_path)}
    r = subprocess.run([sys.executable, ROOT / 'tests/soak/run'], capture_output=True, text=True, env=env, timeout=180 * PATIENCE)
    assert r.returncode == 0, r.stdout[-6000:] + r.stderr[-3000:]


@pytest.mark.parametrize('level, verdict', [
    (lambda t: 5000 + 4 * (t % 7), 'flat'),                                       # noise
    (lambda t: 5000 + 600 * (t > 100), 'flat'),                                   # a step at the first reload
    (lambda t: 5000 + 20000 * (1 - math.exp(-t / 150)), 'settles'),               # a table that fills up
    (lambda t: 5000 + 2000 * (1 - math.exp(-t / 1500)), 'grows'),                 # one that does so too slowly to be told from a leak
    (lambda t: 5000 + 0.3 * t, 'grows'),                                          # a megabyte an hour
    (lambda t: 5000 + 2000 * (1 - math.exp(-t / 60)) + 0.3 * t, 'grows'),         # the same behind a table
], ids=['noise', 'step', 'bound', 'slow', 'leak', 'leak-behind-a-bound'])
def test_growth_to_a_bound_is_told_from_growth_without_one(level, verdict):
    series = Series()
    for t in range(1080):
        series.add('router', 'rss KiB', 1, t, level(t))
    series.add('router', 'rss KiB', 2, 0, 100)  # a young life is not judged
    assert [x.verdict for x in series.lives(lambda kind, figure: Limit(64, 8192))] == [verdict]
