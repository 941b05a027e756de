import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from fabric import Fabric, Sim  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line('markers', 'promise(row, ...): proves a row of docs/promises.md; make lint holds the two together')


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
        s.kill()
        s.p.wait()


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

