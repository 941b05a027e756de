"""The control socket in wrong hands: whatever is said there, users notice nothing and the supervisor stays quick."""
import contextlib
import multiprocessing
import os
import random
import re
import socket
import struct

import pytest
from fabric import PATIENCE, ROOT, Stopwatch, wait_for
from test_kill import Load

VERBS = re.findall(r'^VERB\((\w+)', (ROOT / 'ctl/verbs.def').read_text(), flags=re.M)
MAGIC, PROTOCOL = b'TCTL', 1
PER_USER = 16
LAG_S = 0.05


def frame(verb, words=(), length=None, magic=MAGIC, version=PROTOCOL):
    body = b''.join(w.encode() + b'\0' for w in words)
    return magic + struct.pack('<HHiI', version, VERBS.index(verb) + 1, 0, len(body) if length is None else length) + body


def connect(f):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(10 * PATIENCE)
    s.connect(str(f.state / 'control'))
    return s


def ask(s, data):
    """(status, text), or None when the connection was ended."""
    try:
        s.send(data)
        got = s.recv(1 << 17)
    except (BrokenPipeError, ConnectionResetError):
        return None
    return (struct.unpack('<i', got[8:12])[0], got[16:].split(b'\0')[0].decode()) if got else None


@contextlib.contextmanager
def quick(f):
    """A connection of our own is answered in time, whatever others do; users are served; nobody is replaced."""
    before, fds = f.pids(), len(os.listdir(f'/proc/{f.tsad.pid}/fd'))
    worst = 0.0
    with connect(f) as mine, Load(f.port, short=2, streams=2) as load:
        def beat():
            nonlocal worst
            since = Stopwatch()
            assert ask(mine, frame('VERSION'))[0] == 0
            worst = max(worst, since.seconds())
        yield beat
        beat()
        load.wait_more(5)
    assert not load.bad(), load.bad()[:3]
    assert f.pids() == before
    wait_for(lambda: len(os.listdir(f'/proc/{f.tsad.pid}/fd')) <= fds, 10, 'no descriptor is left over')
    assert worst < LAG_S, f'{worst * 1000:.0f} ms'


def abuse(f, what, beat):
    """In a process of its own, so that only the supervisor can make us wait; meanwhile its pulse is felt."""
    p = multiprocessing.get_context('fork').Process(target=what, args=(f,))
    p.start()
    while p.is_alive():
        beat()
        p.join(0.02)
    assert p.exitcode == 0


def odd_messages(f):
    rnd = random.Random(1)
    good = frame('DRAIN', ['i0'])
    odd = [b'', b'T', MAGIC, good[:15], good[:-1], good + b'x', frame('DRAIN', ['i0'], length=1 << 30), frame('DRAIN', ['i0'], length=0xffffffff),
           frame('DRAIN', ['x' * 3000]), b'\0' * 65536, os.urandom(60000), frame('DRAIN', ['a'] * 9), frame('DRAIN', ['', '']), frame('VERSION', version=9),
           frame('DRAIN', []), b'PTSA' + os.urandom(100), frame('VERSION', magic=b'PTSA')]
    for _ in range(400):
        m = bytearray(rnd.choice((good, frame('RELOAD'), frame('WARM', ['i0', 'm']))))
        for _ in range(rnd.randint(1, 4)):
            m[rnd.randrange(len(m))] = rnd.randrange(256)
        odd.append(bytes(m[:rnd.randint(0, len(m))]))
    for m in odd:
        with connect(f) as s:
            answer = ask(s, m) if m else ask(s, b'?')
            assert answer is None or answer[0] <= 0, (m, answer)
    with connect(f) as s:  # half a request is a whole wrong one: messages are not put together
        assert ask(s, good[:16]) is None or ask(s, good[16:]) is None


def many_connections(f):
    held, refused = [], 0
    for _ in range(1000):
        s = connect(f)
        held.append(s)
        answer = ask(s, frame('VERSION'))
        refused += answer is None or answer[0] < 0
    assert refused >= 1000 - PER_USER, refused


def slow_readers(f):
    """Each asks for the board, 74 descriptors at a time, and reads nothing: cut when the kernel takes no more for it."""
    cut = 0
    for _ in range(PER_USER - 4):
        s = connect(f)
        s.settimeout(0.2)
        try:
            for _ in range(5000):
                s.send(frame('BOARD'))
        except (BrokenPipeError, ConnectionResetError):
            cut += 1
        except socket.timeout:
            pass
        s.close()
    assert cut == PER_USER - 4, cut


@pytest.mark.promise(19)
@pytest.mark.parametrize('what', [odd_messages, many_connections, slow_readers])
def test_abuse_by_one_who_may_connect(pair, what):
    _, f = pair
    with quick(f) as beat:
        abuse(f, what, beat)
    assert f.ctl('version').returncode == 0


def stranger(f):
    """As nobody, in the state directory; its mode is what an operator's mistake may make of it."""
    os.chdir(f.state)
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        s.connect('control')
    except PermissionError:
        os._exit(13)
    for verb in VERBS:
        words = ['i0', 'm'] if verb in ('WARM', 'UNLOAD') else ['i0'] if verb in ('DRAIN', 'UNDRAIN', 'RESTART') else []
        status, text = ask(s, frame(verb, words))
        assert status == -1 and 'you may not' in text, (verb, status, text)
    os._exit(0)


@pytest.mark.promise(19)
@pytest.mark.skipif(os.geteuid() != 0, reason='only root can become somebody else')
def test_another_user_is_kept_out_twice(pair):
    """By the socket's mode, and by who the kernel says it is where the mode was opened."""
    _, f = pair

    def run():
        p = multiprocessing.get_context('fork').Process(target=stranger, args=(f,))
        p.start()
        p.join(10 * PATIENCE)
        return p.exitcode
    with quick(f):
        assert run() == 13
        (f.state / 'control').chmod(0o666)
        assert run() == 0
