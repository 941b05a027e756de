"""Nobody reads the log: a full pipe, a full socket, a journal that stands still or is away.  Users notice nothing, and the lines lost are counted."""
import contextlib
import fcntl
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
from fabric import call, wait_for
from test_kill import Load


def noise(f, worker):
    """What makes every program log: a worker dies, an operator asks, requests fail."""
    old = f.instance('i0')['worker_pid']
    if worker:
        os.kill(old, signal.SIGKILL)
    for _ in range(5):
        f.ctl('reload', check=False)
        f.ctl('drain', 'i1')
        f.ctl('undrain', 'i1')
        call(f.port, 'POST', '/api/chat', b'{x')
    if worker:
        wait_for(lambda: f.instance('i0')['worker_pid'] not in (0, old) and f.instance('i0')['state'] == 'ready', 20, 'a new worker')


def serves_and_logs_again(f, read_all):
    """Under load with nobody reading; then somebody does."""
    with Load(f.port) as load:
        noise(f, worker=True)
        load.wait_more(20)
    assert not load.bad(), load.bad()[:3]
    text = []
    over = threading.Event()
    reader = threading.Thread(target=lambda: text.extend(iter(lambda: None if over.is_set() else read_all(), None)))
    reader.start()

    def told():
        noise(f, worker=False)
        return re.search(r'(\d+) lines of tsad are lost: nothing took them', ''.join(text))
    try:
        assert int(wait_for(told, 20, 'the number of lost lines', every=0.2)[1]) > 0
    finally:
        over.set()
        reader.join()


@pytest.mark.promise(16)
@pytest.mark.parametrize('kind', ['pipe', 'socket'])
def test_nobody_reads_standard_error(sims, fabrics, kind):
    s = sims(2)
    if kind == 'pipe':
        r, w = os.pipe()
        fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(w, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(w, b'x' * 4096):
                pass
        os.set_blocking(w, True)  # as a shell would give it
    else:
        a, b = socket.socketpair()
        a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        r, w = b.detach(), a.detach()
        os.set_blocking(w, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(w, b'x' * 100):
                pass
        os.set_blocking(w, True)
    os.set_blocking(r, False)

    def read_all():
        try:
            return os.read(r, 65536).decode(errors='replace')
        except BlockingIOError:
            time.sleep(0.01)
            return ''
    f = fabrics(stderr=w, conf=''.join(f'instance "i{i}" {{ url = "http://127.0.0.1:{p}" slots = 8 }}\n' for i, p in enumerate(s.ports)))
    assert os.get_blocking(w), 'what we were given by the shell is as it was'
    serves_and_logs_again(f, read_all)
    assert f.stop() == 0
    os.close(r)
    os.close(w)


@pytest.mark.promise(16)
@pytest.mark.skipif(os.geteuid() != 0 or subprocess.run(['unshare', '--mount', 'true'], capture_output=True).returncode != 0,
                    reason='only root can put another journal in its place')
def test_the_journal_stands_still_and_goes_away(sims, fabrics, tmp_path):
    """A socket in the journal's place that is not read, then not there, then read."""
    s = sims(2)
    place = tmp_path / 'journal'
    place.mkdir()

    def bind():
        j = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        j.bind(str(place / 'socket'))
        j.setblocking(False)
        return j
    journal = bind()
    stream, theirs = socket.socketpair()
    st = os.fstat(theirs.fileno())
    f = fabrics(stderr=theirs, env={**os.environ, 'JOURNAL_STREAM': f'{st.st_dev}:{st.st_ino}'},
                prefix=['unshare', '--mount', 'sh', '-c', f'mount -t tmpfs none /run && mkdir -p /run/systemd/journal && '
                        f'mount --bind {place} /run/systemd/journal && exec "$@"', 'sh'],
                conf=''.join(f'instance "i{i}" {{ url = "http://127.0.0.1:{p}" slots = 8 }}\n' for i, p in enumerate(s.ports)))
    with Load(f.port) as load:
        noise(f, worker=True)
        load.wait_more(10)
        journal.close()
        (place / 'socket').unlink()
        noise(f, worker=True)
        load.wait_more(10)
    assert not load.bad(), load.bad()[:3]
    journal = bind()

    def read_all():
        try:
            return journal.recv(65536).decode() + '\n'
        except BlockingIOError:
            time.sleep(0.01)
            return ''
    serves_and_logs_again(f, read_all)
    stream.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        assert not stream.recv(100), 'nothing but entries'
    assert f.stop() == 0
