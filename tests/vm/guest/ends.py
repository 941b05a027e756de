"""The stop, also of a supervisor that hangs or is killed at it, and a full disk from the start to the stop."""
import os
import pathlib
import signal
import time

import world
from world import (CGROUP, OUTSIDE, SLOW_S, Load, alive, check, command, in_cgroup, kill, listening_inodes, loads, main_pid, messages,
                   must, pids, run, settled, show, supervisor_replaced, wait_for)

STOP_S = 60 + 20      # TimeoutStopSec, and what was asked for beyond it


def ended(family, outside):
    """Nothing of tsa is left, and nothing of others' is gone."""
    wait_for(lambda: not in_cgroup() if CGROUP.exists() else True, 'the cgroup is empty', 5)
    left = [command(p) for p in family if alive(p)]
    assert not left, left
    assert run('pgrep', '-u', 'tsa').stdout == '', run('pgrep', '-a', '-u', 'tsa').stdout
    assert alive(outside) and not listening_inodes()
    assert not pathlib.Path('/run/tsa/state').exists(), 'the state file is left'


# promise 30
@check
def stops():
    """systemctl stop: a running stream is heard to its end, then nothing is left; exit 0; the adopted Ollama lives on with its model"""
    settled()
    had, family = loads(OUTSIDE), [main_pid(), *in_cgroup()]
    with Load(short=0, streams=2) as load:
        load.over.set()
        t0 = time.monotonic()
        r = run('systemctl', 'stop', 'tsa')
        took = time.monotonic() - t0
    assert r.returncode == 0 and not load.bad(), (r.stderr, load.bad())
    result, code, how, active = show('Result', 'ExecMainStatus', 'ExecMainCode', 'ActiveState')
    assert (result, code, how, active) == ('success', '0', '1', 'inactive'), (result, code, how, active)
    ended(family, outside_pid())
    assert loads(OUTSIDE) == had, 'the model of the adopted Ollama was touched'
    assert took < 30 + SLOW_S, f'{took:.1f} s'
    return f'{took:.1f} s, {len(family)} processes ended'


def stopping():
    """A started service in the middle of its stop, held there by a stream: (the supervisor, all processes, the load)."""
    settled()
    family = [main_pid(), *in_cgroup()]
    load = Load(short=0, streams=1, tokens=1000).__enter__()
    load.over.set()
    must('systemctl', 'stop', '--no-block', 'tsa')
    wait_for(lambda: 'stopping' in show('StatusText'), 'the supervisor has begun to stop')
    return main_pid(), family, load


def outside_pid():
    return int(must('systemctl', 'show', 'ollama-outside', '-p', 'MainPID', '--value'))


# promises 5, 30
@check
def stop_of_a_hung_supervisor():
    """a supervisor that hangs in its stop: killed within TimeoutStopSec, and ExecStopPost= ends what it left"""
    old, family, load = stopping()
    t0 = time.monotonic()
    kill(old, sig=signal.SIGSTOP)
    wait_for(lambda: show('ActiveState') in ('inactive', 'failed'), 'the unit has ended', STOP_S + world.PATIENCE)
    took = time.monotonic() - t0
    load.__exit__()
    ended(family, outside_pid())
    assert took < STOP_S + SLOW_S, f'{took:.1f} s'
    return f'{took:.1f} s, result {show("Result")}'


@check
def stop_of_a_killed_supervisor():
    """a supervisor killed with -9 in its stop: nothing is left all the same"""
    old, family, load = stopping()
    kill(old)
    wait_for(lambda: show('ActiveState') in ('inactive', 'failed'), 'the unit has ended')
    ended(family, outside_pid())
    load.__exit__()
    return f'result {show("Result")}'


# promise 15
@check
def full_disk():
    """a full state directory: start, serving, a crash and the stop go on, a sentence in the journal says so"""
    must('systemctl', 'stop', 'tsa')
    os.makedirs('/run/tsa', exist_ok=True)
    must('mount', '-t', 'tmpfs', '-o', 'size=64k,mode=0750', 'tmpfs', '/run/tsa')
    try:
        since = time.time()
        must('systemctl', 'start', 'tsa')
        before = pids(settled())
        fill = pathlib.Path('/run/tsa/fill')
        try:
            with fill.open('wb', buffering=0) as f:
                while True:
                    f.write(b'\0' * 4096)
        except OSError:
            pass
        with Load() as load:
            kill(before['worker started'])
            wait_for(lambda: pids(settled())['worker started'] != before['worker started'], 'a new worker')
            wait_for(lambda: any('cannot write /run/tsa/state' in m for m in messages(since)), 'the sentence')
            fill.unlink()
            now = pids(settled())
            wait_for(lambda: f' {now["worker started"]} ' in pathlib.Path('/run/tsa/state').read_text(), 'the state file is written again')
            old = main_pid()
            kill(old)
            assert pids(supervisor_replaced(old)) == now
            load.more()
        assert not load.bad(), load.bad()[:3]
        assert run('systemctl', 'stop', 'tsa').returncode == 0
        assert show('Result') == 'success'
    finally:
        run('systemctl', 'stop', 'tsa')
        must('umount', '/run/tsa')
    return f'{len(load.verdicts)} requests'
