"""Another version is installed under the running service, takes over, and is taken back."""
import http.client
import json
import os
import pathlib
import shutil
import threading

from world import (MODEL, OUTSIDE, PATIENCE, PORT, STARTED, Load, alive, check, command, in_cgroup, kill, listening_inodes, loads, main_pid,
                   must, pids, run, settled, show, supervisor_replaced, wait_for)

PROGRAMS = [pathlib.Path(p) for p in ('/usr/sbin/tsad', '/usr/libexec/tsa/tsa-worker', '/usr/libexec/tsa/tsa-router', '/usr/bin/tsactl')]
VERSION = pathlib.Path('VERSION').read_text().strip()
OTHER = f'{VERSION[:2]}~{VERSION[3:]}'      # of the same length; a byte in the middle, for texts may share their ends


def install(version, old):
    """As a package manager does: written beside, then renamed, so that what runs keeps its own file."""
    for p in PROGRAMS:
        new = p.with_name(f'{p.name}.new')
        new.write_bytes(old[p].replace(VERSION.encode(), version.encode()))
        shutil.copymode(p, new)
        os.replace(new, p)


def running():
    return json.loads(must('tsactl', '-j', 'version'))['supervisor']


class Streams:
    """Some that are open when the deed is done, and how they ended."""

    def __init__(self, n):
        self.open, self.ends = 0, []
        self.threads = [threading.Thread(target=self.work) for _ in range(n)]
        for t in self.threads:
            t.start()
        wait_for(lambda: self.open == n and not self.ends, 'the streams run')

    def work(self):
        c = http.client.HTTPConnection('127.0.0.1', PORT, timeout=PATIENCE)
        c.request('POST', '/api/chat', json.dumps({'model': MODEL, 'messages': [{'role': 'user', 'content': 'sim:tokens=120 sim:delay=50ms'}]}))
        r = c.getresponse()
        first = r.readline()
        self.open += 1
        try:
            self.ends.append((first + r.read()).decode().strip().split('\n')[-1])
        except (OSError, http.client.HTTPException) as e:
            self.ends.append(repr(e))

    def whole(self):
        for t in self.threads:
            t.join(PATIENCE)
        return len(self.ends) == len(self.threads) and all('"done":true' in e for e in self.ends)


# promise 29
@check
def upgrades_and_back():
    """another version installed, `tsactl upgrade`, and the same back, under load: 0 refused, 0 failed, open streams run to their end,
    no model is touched; systemd sees the same main process, and after it a crash costs no more than before"""
    old, first = {p: p.read_bytes() for p in PROGRAMS}, settled()
    main, had, sockets = main_pid(), [loads(OUTSIDE), loads(STARTED)], listening_inodes()
    kept, restarts = show('NFileDescriptorStore', 'NRestarts')
    ollamas = {n: p for n, p in pids(first).items() if n.startswith('ollama')}
    with Load() as load:
        for version in (OTHER, VERSION):
            before, streams = pids(settled()), Streams(2)
            install(version, old)
            # The new program has 8 s to read the configuration, which a starved emulation can miss; nothing has changed then.
            wait_for(lambda: run('tsactl', 'upgrade').returncode == 0, 'the upgrade begins')
            after = wait_for(lambda: running() == version and (p := pids(settled())) and p['router 0'] != before['router 0'] and p, version)
            assert after['worker started'] != before['worker started'] and main_pid() == main
            assert streams.whole(), streams.ends
            wait_for(lambda: not alive(before['router 0']), 'the old router has ended')
            load.more(10)
        assert show('NFileDescriptorStore') == kept, (kept, show('NFileDescriptorStore'))
        last = pids(settled())
        kill(main)
        assert pids(supervisor_replaced(main)) == last
        load.more(10)
    assert not load.bad(), load.bad()[:3]
    assert {n: p for n, p in last.items() if n.startswith('ollama')} == ollamas and listening_inodes() == sockets
    assert [loads(OUTSIDE), loads(STARTED)] == had, 'a model was loaded or unloaded'
    assert int(show('NRestarts')) == int(restarts) + 1, 'only the crash was a restart'
    assert running() == VERSION
    return f'{VERSION} to {OTHER} to {VERSION}; {len(load.verdicts)} requests'


@check
def restart_takes_what_is_installed():
    """another version installed and `systemctl restart`, and the same back: a stop and a start; open streams run to their
    end, nothing of the old one is left"""
    old, had = {p: p.read_bytes() for p in PROGRAMS}, loads(OUTSIDE)
    for version in (OTHER, VERSION):
        family, streams = [main_pid(), *in_cgroup()], Streams(2)
        install(version, old)
        r = run('systemctl', 'restart', 'tsa')
        assert r.returncode == 0 and running() == version, (r.stderr, running())
        assert streams.whole(), streams.ends
        assert not [command(p) for p in family if alive(p)]
        settled()
    assert loads(OUTSIDE) == had, 'the model of the adopted Ollama was touched'
    return f'{VERSION} to {OTHER} to {VERSION}'
