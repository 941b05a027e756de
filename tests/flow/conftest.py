import json
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from fabric import REPORTS, SANITIZED, Fabric, Sim  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line('markers', 'promise(row, ...): proves a row of docs/promises.md; make lint holds the two together')


@pytest.fixture(autouse=True)
def no_reports():
    """No process of the tree earns a sanitizer's report, while it runs or at its end.  Of all fixtures this one is torn down last."""
    before = set(REPORTS.glob('*')) if SANITIZED else set()
    yield
    new = set(REPORTS.glob('*')) - before if SANITIZED else set()
    assert not new, '\n'.join(p.read_text(errors='replace')[:4000] for p in sorted(new))


@pytest.fixture
def sims(tmp_path):
    """sims(n, *options) starts a simulator of n instances; all end with the test."""
    started = []

    def start(n=1, *args):
        s = Sim(tmp_path, n, args)
        started.append(s)
        return s
    yield start
    for s in started:
        s.end()


@pytest.fixture
def fabrics(tmp_path):
    """fabrics(adopt=[...], ...) starts a private tsad; it is stopped with the test and must leave no process."""
    started = []

    def start(**kw):
        d = tmp_path / f'fabric{len(started)}'
        d.mkdir()
        f = Fabric(d, **kw)
        started.append(f)
        return f
    yield start
    for f in started:
        f.stop()


@pytest.fixture
def pair(sims, fabrics):
    """One simulator of two instances, adopted."""
    s = sims(2)
    return s, fabrics(adopt=s.ports)



def pytest_runtest_logreport(report):
    """For tests/run-flow, which asks for it: a line of JSON for each phase of each test."""
    out = os.environ.get('TSA_FLOW_OUTCOMES')
    if out:
        with open(out, 'a') as f:
            f.write(json.dumps({'test': report.nodeid, 'phase': report.when, 'outcome': report.outcome, 'seconds': round(report.duration, 3)}) + '\n')
