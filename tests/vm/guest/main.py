"""Runs inside the machine as root: every check in the order it stands in, one line each on the second serial line.

They share one running service: the supervisor that is stopped at the end has been killed, starved, reloaded and replaced before."""
import pathlib
import subprocess
import time
import traceback

from world import CHECKS, CONF_D, STARTED, drop_in, must, run, write_instance

import checks
import journals  # noqa: F401 - it is imported for the checks that it registers, and in their order
import shortages  # noqa: F401
import upgrades  # noqa: F401
import ends  # noqa: F401
import cgroups  # noqa: F401

NEEDED = (checks.user_is_made, checks.starts)


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
    run('systemctl', 'reset-failed', 'tsa')
    run('systemctl', 'start', 'tsa')


def main():
    wanted = pathlib.Path('wanted').read_text().split()
    unknown = set(wanted) - {f.__name__ for f in CHECKS}
    out = open('/dev/ttyS1', 'w', buffering=1)
    console = subprocess.Popen(['journalctl', '-f', '-o', 'short-precise', '-u', 'tsa', '-u', 'checks'], stdout=open('/dev/ttyS0', 'wb'))
    prepare()
    for name in sorted(unknown):
        print(f'check FAILED {name}: there is no such check', file=out)
    for f in CHECKS:
        if wanted and f.__name__ not in wanted and f not in NEEDED:
            continue
        t0 = time.monotonic()
        run('systemctl', 'reset-failed', 'tsa')     # the start limit counts the restarts of one check only
        try:
            detail = f()
            line = f'check ok {f.__name__}: {f.__doc__}' + (f' [{detail}]' if detail else '')
        except Exception as e:  # noqa: BLE001 - whatever it is, it is the verdict
            traceback.print_exc()
            line = f'check FAILED {f.__name__}: {f.__doc__}: {type(e).__name__} {e}'
            recover()
        print(' '.join(line.split())[:1200], f'({time.monotonic() - t0:.0f} s)', file=out)
        print(line, flush=True)
    print('end', file=out)
    must('journalctl', '--sync')
    console.terminate()
    console.wait()


if __name__ == '__main__':
    main()
