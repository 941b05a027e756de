"""No process can be made, and the clock is set."""
import time

from world import OUTSIDE, STARTED, Load, check, in_cgroup, journal, kill, loads, main_pid, messages, must, pids, settled, show, status, wait_for

TASKS = 16384       # TasksMax= of the unit


def tasks_max(n):
    must('systemctl', 'set-property', '--runtime', 'tsa', f'TasksMax={n}')


# promise 28
@check
def no_more_processes():
    """pids.max reached (TasksMax=): a killed worker, then a killed Ollama cannot be started; 0 failed meanwhile, and both are
    back when there is room"""
    before, since, old = pids(settled()), time.time(), main_pid()
    try:
        tasks_max(3)
        with Load() as load:
            kill(before['worker ollama'])
            wait_for(lambda: sum('cannot start' in m and 'Resource temporarily unavailable' in m for m in messages(since)) >= 2, 'starts fail')
            load.more()
        assert not load.bad(), load.bad()[:3]
        assert not status()['instances'][0]['worker_pid'] or not status()['instances'][1]['worker_pid']
        kill(before['ollama started'])
        wait_for(lambda: any('Resource temporarily unavailable' in e['MESSAGE'] for e in journal('TSA_SLOT=started', since=since)),
                 'the Ollama cannot start')
    finally:
        tasks_max(TASKS)
    after = wait_for(lambda: (p := pids(settled()))['worker ollama'] != before['worker ollama'] and p, 'both are back')
    assert main_pid() == old and after['router 0'] == before['router 0'] and after['worker started'] == before['worker started']
    assert after['ollama started'] != before['ollama started']
    return f'{len(in_cgroup())} processes; {len(load.verdicts)} requests while none could be made'


# promise 22
@check
def clock_is_set():
    """the clock set an hour forward, two back, and over the end of 32-bit time, under load: 0 failed, nobody is replaced, no model is touched"""
    before, old, restarts, had = pids(settled()), main_pid(), show('NRestarts'), [loads(OUTSIDE), loads(STARTED)]
    wall, mono = time.time(), time.monotonic()
    try:
        with Load(streams=2) as load:
            for to in (wall + 3600, wall - 3600, 2 ** 31 - 2):
                time.clock_settime(time.CLOCK_REALTIME, to)
                load.more(30)
            wait_for(lambda: time.time() > 2 ** 31 + 1, 'the end of 32-bit time')
            load.more(30)
    finally:
        time.clock_settime(time.CLOCK_REALTIME, wall + time.monotonic() - mono)
    assert not load.bad(), load.bad()[:3]
    assert pids(settled()) == before and main_pid() == old and show('NRestarts') == restarts
    assert [loads(OUTSIDE), loads(STARTED)] == had, 'a model was loaded or unloaded'
    return f'{len(load.verdicts)} requests'
