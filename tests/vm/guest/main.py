"""Runs inside the machine as root: first the core, then every other check in the order it stands in, one line each on the second serial line.

They share one service: the supervisor that is stopped at the end has been killed, starved, reloaded and replaced before."""
import pathlib
import signal
import subprocess
import time
import traceback

from world import CHECKS, CONF_D, STARTED, drop_in, must, run, settled, write_instance

import checks
import ends
import journals  # noqa: F401 - it is imported for the checks that it registers, and in their order
import shortages  # noqa: F401
import upgrades  # noqa: F401
import cgroups  # noqa: F401

# Before tsa runs, and always.
FIRST = (checks.unit_is_well_formed, checks.unit_is_confined, checks.user_is_made, checks.starts)
NEEDED = FIRST[2:]
# What the service manager has to do with: a slow host that does not come to the end of all has shown this.
CORE = (*FIRST, checks.runs_without_privilege, checks.cgroup_is_ours, checks.journal_has_fields, checks.journal_has_ollama, checks.reload_good,
        checks.reload_bad, checks.supervisor_killed, checks.watchdog, ends.stops, ends.stop_of_a_hung_supervisor)
CHECK_S = 900       # of this machine's clock; a check that has not ended by then never will


def prepare():
    """As an operator would after `make install`: the user, an Ollama of somebody else's, and one that tsa shall start."""
    must('ip', 'link', 'set', 'lo', 'up')
    must('systemctl', 'daemon-reload')
    must('systemctl', 'start', 'ollama-outside')
    write_instance('started', STARTED)


def recover():
    """One check that failed shall not fail those after it."""
    (CONF_D / 'bad.conf').unlink(missing_ok=True)
    drop_in('')


def late(_number, _frame):
    raise TimeoutError(f'not at its end within {CHECK_S} s')


def prove(f):
    """The check's line."""
    t0 = time.monotonic()
    signal.alarm(CHECK_S)
    try:
        run('systemctl', 'reset-failed', 'tsa')     # the start limit counts the restarts of one check only
        if f not in FIRST:
            must('systemctl', 'start', 'tsa')       # does nothing but after a stop
            settled()
        detail = f()
        line = f'check ok {f.__name__}: {f.__doc__}' + (f' [{detail}]' if detail else '')
    except Exception as e:  # noqa: BLE001 - whatever it is, it is the verdict
        traceback.print_exc()
        line = f'check FAILED {f.__name__}: {f.__doc__}: {type(e).__name__} {e}'
        signal.alarm(CHECK_S)
        recover()
    finally:
        signal.alarm(0)
    return f'{" ".join(line.split())[:1200]} ({time.monotonic() - t0:.0f} s)'


def chosen(wanted):
    """The checks of the command's words, in their order."""
    order = [*CORE, *(f for f in CHECKS if f not in CORE)]
    if wanted == ['all']:
        return order
    if wanted == ['core']:
        return list(CORE)
    return [f for f in order if f in NEEDED or f.__name__ in wanted]


def main():
    wanted = pathlib.Path('wanted').read_text().split()
    unknown = set(wanted) - {f.__name__ for f in CHECKS} - {'all', 'core'}
    signal.signal(signal.SIGALRM, late)
    out = open('/dev/ttyS1', 'w', buffering=1)
    console = subprocess.Popen(['journalctl', '-f', '-o', 'short-precise', '-u', 'tsa', '-u', 'checks'], stdout=open('/dev/ttyS0', 'wb'))
    print('begin', *sorted(unknown), *(f.__name__ for f in chosen(wanted)), file=out)
    prepare()
    for name in sorted(unknown):
        print(f'check FAILED {name}: there is no such check', file=out)
    for f in chosen(wanted):
        line = prove(f)
        print(line, file=out)
        print(line, flush=True)
    must('journalctl', '--sync')
    console.terminate()
    console.wait()
    print('end', file=out)


if __name__ == '__main__':
    main()
