"""Process ids that are used again: run as root, in a PID namespace of its own, where the next id can be chosen."""
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from fabric import BUILD, PATIENCE, Fabric, Sim, alive, chat, free_port, wait_for

NEXT = pathlib.Path('/proc/sys/kernel/ns_last_pid')


def stranger(pid):
    """A process of exactly this id that has nothing to do with tsa, and its start time."""
    for _ in range(50):
        NEXT.write_text(str(pid - 1))
        p = subprocess.Popen(['sleep', '1000'], start_new_session=True)
        if p.pid == pid:
            return p
        p.kill()
        p.wait()
    raise AssertionError(f'no process could be given the id {pid}')


def killed_all(f):
    """Supervisor, router, workers and Ollama die at once, and we are their parent then: ids that are free again."""
    ids = set(f.pids())
    f.tsad.kill()
    f.tsad.p.wait()
    ids |= f.written()  # nobody writes it any more
    for p in ids - {f.tsad.pid}:
        os.kill(p, signal.SIGKILL)

    def gone():
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        return not [p for p in ids if os.path.exists(f'/proc/{p}')]
    wait_for(gone, 10, 'all have ended')
    return ids


def inside(tmp):
    """The first process of the namespace."""
    sim = Sim(tmp, 1)
    f = Fabric(tmp, conf=f'instance "i0" {{ url = "http://127.0.0.1:{sim.port}" }}\n'
               f'instance "own" {{ command = {{"{BUILD}/ollama-sim", "serve"}} listen = "127.0.0.1:{free_port()}" models = {{"sim-chat"}} }}\n')
    f.wait_ready(n=2)
    met = 0
    for reap in (False, True):
        ids = killed_all(f) - {sim.pid}
        strangers = [stranger(p) for p in sorted(ids)]
        met += len(strangers)
        if reap:
            r = subprocess.run([BUILD / 'tsad', '--reap', '--state', f.state], capture_output=True, text=True, timeout=30)
            assert r.returncode == 0, r.stderr
        f.start()
        f.wait_ready(n=2)
        assert chat(f.port, 'sim:tokens=1')[0] == 200
        f.ctl('restart', 'own')
        wait_for(lambda: f.instance('own')['state'] == 'ready', 20, 'restarted')
        if reap:
            assert f.stop() == 0
        assert all(alive(s.pid) and s.poll() is None for s in strangers), 'a stranger was signalled'
        assert not set(f.pids() if not reap else []) & {s.pid for s in strangers}
    sim.kill()
    print(json.dumps({'strangers': met}))


@pytest.mark.promise(24)
@pytest.mark.skipif(os.geteuid() != 0, reason='only root can make a PID namespace and choose the next id in it')
def test_no_stranger_is_signalled(tmp_path):
    """Every process that the state file names is dead, and its id belongs to somebody else, when the next supervisor or `tsad --reap` reads it."""
    if subprocess.run(['unshare', '--pid', '--fork', '--mount-proc', 'true'], capture_output=True).returncode:
        pytest.skip('no PID namespace can be made here')
    r = subprocess.run(['unshare', '--pid', '--fork', '--mount-proc', sys.executable, __file__, tmp_path], capture_output=True, text=True,
                       timeout=120 * PATIENCE, cwd=os.path.dirname(__file__))
    assert r.returncode == 0, r.stdout + r.stderr
    assert json.loads(r.stdout.strip().split('\n')[-1])['strangers'] >= 10


if __name__ == '__main__':
    inside(pathlib.Path(sys.argv[1]))
