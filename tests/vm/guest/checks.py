"""The unit, what runs under it, reload and crashes: each function proves one promise of tsad(8) under systemd and is one line of output."""
import pathlib
import pwd
import re
import signal
import time

from world import (CGROUP, CONF_D, EVENTS, LONG, MODEL, OUTSIDE, PATIENCE, PORT, SLOW_S, STARTED, Load, alive, chat, check, command, drop_in, in_cgroup,
                   journal, kill, listening_inodes, loads, main_pid, messages, must, pids, proc_status, request, run, settled, show, status, supervisor_replaced,
                   wait_for, write_instance)

SCORE_MAX = 2.0
WATCHDOG_S, RESTART_S = 30, 0.1     # of the unit
KILLS = 20 if LONG else 5


# --- the unit ------------------------------------------------------------------------------------------------------------------------

@check
def unit_is_well_formed():
    """systemd-analyze verify has nothing to say"""
    r = run('systemd-analyze', 'verify', '--man=no', 'tsa.service')
    ours = [line for line in (r.stdout + r.stderr).splitlines() if 'tsa' in line]
    assert r.returncode == 0 and not ours, ours


@check
def unit_is_confined():
    """systemd-analyze security --offline"""
    r = run('systemd-analyze', 'security', '--offline=yes', '--no-pager', f'--threshold={int(SCORE_MAX * 10)}', '/usr/lib/systemd/system/tsa.service')
    score = re.search(r'exposure level for tsa.service: ([0-9.]+)', r.stdout)
    assert score and float(score[1]) <= SCORE_MAX, r.stdout[-300:] + r.stderr
    return f'exposure {score[1]}'


@check
def user_is_made():
    """systemd-sysusers makes the user tsa, without shell and password"""
    must('systemd-sysusers', 'tsa.conf')
    user = pwd.getpwnam('tsa')
    assert 0 < user.pw_uid < 1000 and user.pw_dir == '/var/lib/tsa' and 'nologin' in user.pw_shell, user


@check
def starts():
    """systemctl start returns when tsa serves: READY=1, the shipped tsa.conf, one instance adopted and one started"""
    # Enabled units stay loaded, so that systemd can be asked how one ended.
    must('systemctl', 'enable', '--quiet', 'tsa')
    r = run('systemctl', 'start', 'tsa')
    assert r.returncode == 0, r.stderr
    assert request(PORT, 'GET', '/healthz')[0] == 200, 'the port does not answer at once'
    assert must('systemctl', 'is-active', 'tsa').strip() == 'active'
    assert journal(f'MESSAGE_ID={EVENTS["READY"]}', '_SYSTEMD_UNIT=tsa.service'), 'no READY in the journal'
    s = settled()
    text = wait_for(lambda: show('StatusText') == '2 of 2 instances ready, 1 router' and show('StatusText'), 'STATUS')
    code, body, headers = chat('sim:tokens=2')
    assert code == 200 and headers['x-tsa-instance'] in ('ollama', 'started'), (code, body)
    return f'{text}; {len(pids(s))} processes'


@check
def runs_without_privilege():
    """supervisor, workers, routers and the started Ollama with its runner are user tsa, without any capability, under seccomp"""
    uid = pwd.getpwnam('tsa').pw_uid
    seen = [main_pid(), *in_cgroup()]
    assert any('--host' in command(p) for p in seen) and any('ollama-sim' in command(p) for p in seen), [command(p) for p in seen]
    for p in seen:
        st = proc_status(p)
        sets = [st[c] for c in ('CapEff', 'CapPrm', 'CapInh', 'CapAmb')]
        assert st['Uid'].split() == [str(uid)] * 4 and all(int(c, 16) == 0 for c in sets), (command(p), st['Uid'], sets)
        assert int(st['NoNewPrivs']) == 1 and int(st['Seccomp']) == 2, (command(p), st['NoNewPrivs'], st['Seccomp'])
    return f'{len(set(seen))} processes'


@check
def files_are_closed():
    """/run/tsa and what is in it belongs to tsa and to nobody else; another user is kept out of the control socket"""
    uid = pwd.getpwnam('tsa').pw_uid
    for f in [pathlib.Path('/run/tsa'), *pathlib.Path('/run/tsa').rglob('*')]:
        st = f.lstat()
        assert st.st_uid == uid and not st.st_mode & 0o007, (str(f), oct(st.st_mode), st.st_uid)
    r = run('setpriv', '--reuid=65534', '--clear-groups', 'tsactl', '--state', '/run/tsa', 'status')
    assert r.returncode != 0 and 'tsactl' in r.stderr, (r.returncode, r.stdout, r.stderr)


@check
def cgroup_is_ours():
    """pure cgroup v2: every process of tsa is in the unit's delegated cgroup, the adopted Ollama is not"""
    assert pathlib.Path('/sys/fs/cgroup/cgroup.controllers').exists()
    s = settled()
    inside = set(in_cgroup())
    assert {main_pid(), *(p for n, p in pids(s).items() if n != 'ollama ollama')} <= inside, (pids(s), inside)
    outside = [p for p in pathlib.Path('/sys/fs/cgroup/system.slice/ollama-outside.service/cgroup.procs').read_text().split()]
    assert outside and not inside & set(map(int, outside))
    have = set((CGROUP / 'cgroup.controllers').read_text().split())
    assert {'cpuset', 'cpu', 'memory', 'pids'} <= have, have


# promise 31
@check
def second_supervisor():
    """a second tsad on the same state directory ends with status 100, names the first, and nobody notices"""
    before, old = pids(settled()), main_pid()
    r = run('setpriv', '--reuid=tsa', '--regid=tsa', '--clear-groups', 'tsad', '-c', '/etc/tsa/tsa.conf', '--state', '/run/tsa')
    assert r.returncode == 100 and f'another tsad (process {old}) works on /run/tsa' in r.stderr, (r.returncode, r.stderr)
    assert main_pid() == old and pids(settled()) == before
    return r.stderr.strip()


# --- the journal -----------------------------------------------------------------------------------------------------------------------

@check
def journal_has_fields():
    """journalctl TSA_SLOT=started MESSAGE_ID=... finds the start of the Ollama, the change to ready and the loaded model"""
    for event, words in (('OLLAMA_STARTED', 'started'), ('SLOT_STATE', '-> ready'), ('MODEL_LOADED', MODEL)):
        found = journal('TSA_SLOT=started', f'MESSAGE_ID={EVENTS[event]}')
        assert found, f'nothing of {event}'
        e = next((e for e in found if words in e['MESSAGE']), None)
        assert e, (event, [e['MESSAGE'] for e in found])
        assert e['_SYSTEMD_UNIT'] == 'tsa.service' and e['SYSLOG_IDENTIFIER'] == 'tsa-worker' and int(e['TSA_GEN']) > 0, e
        if event == 'MODEL_LOADED':
            assert e['TSA_MODEL'] == MODEL, e


@check
def journal_has_ollama():
    """what the started Ollama writes is in the journal under the instance's name"""
    found = journal('SYSLOG_IDENTIFIER=started')
    assert any('SIMULATOR' in str(e['MESSAGE']) or 'Listening' in str(e['MESSAGE']) for e in found), [e['MESSAGE'] for e in found][:5]
    return f'{len(found)} lines'


# --- reload ------------------------------------------------------------------------------------------------------------------------------

# promise 21
@check
def reload_good():
    """systemctl reload adds an instance and takes it away again under load: 0 failed, everybody else keeps his process"""
    before = pids(settled())
    with Load() as load:
        write_instance('third', STARTED + 1)
        r = run('systemctl', 'reload', 'tsa')
        assert r.returncode == 0, r.stderr
        with_third = pids(settled(3))
        assert before.items() <= with_third.items(), (before, with_third)
        load.more()
        (CONF_D / 'third.conf').unlink()
        assert run('systemctl', 'reload', 'tsa').returncode == 0
        wait_for(lambda: not alive(with_third['ollama third']) and not alive(with_third['worker third']), 'the removed instance has ended')
        assert pids(settled(2)) == before
        load.more()
    assert not load.bad(), load.bad()[:3]
    assert must('systemctl', 'is-active', 'tsa').strip() == 'active'
    assert journal(f'MESSAGE_ID={EVENTS["RELOADED"]}')
    return f'{len(load.verdicts)} requests'


# promise 20
@check
def reload_bad():
    """systemctl reload of a bad file fails, says file and line, and changes nothing"""
    before, since = pids(settled()), time.time()
    bad = CONF_D / 'bad.conf'
    bad.write_text('instance "bad" {\n\turl = "http://127.0.0.1:11499"\n\tslots = many\n}\n')
    try:
        r = run('systemctl', 'reload', 'tsa')
        assert r.returncode != 0, 'the reload is said to be good'
    finally:
        bad.unlink()
    said = [e['MESSAGE'] for e in journal(f'MESSAGE_ID={EVENTS["RELOAD_REFUSED"]}', since=since)]
    assert len(said) == 1 and 'bad.conf:3' in said[0], said
    assert any('bad.conf:3' in m for m in messages(since)), 'the operator who asked is not told'
    assert must('systemctl', 'is-active', 'tsa').strip() == 'active' and pids(settled()) == before
    assert chat('sim:tokens=1')[0] == 200
    return said[0]


# --- crashes -----------------------------------------------------------------------------------------------------------------------------

# promise 4
@check
def supervisor_killed():
    """the supervisor killed with -9 again and again under load: 0 failed, 0 refused, every other process, the sockets,
    the board and the models stay"""
    first = settled()
    before, sockets, had = pids(first), listening_inodes(), [loads(OUTSIDE), loads(STARTED)]
    kept, since = int(show('NFileDescriptorStore')), time.time()
    with Load() as load:
        for _ in range(KILLS):
            must('systemctl', 'reset-failed', 'tsa')    # StartLimitBurst is for those that cannot start
            old = main_pid()
            kill(old)
            load.more(10)
            s = supervisor_replaced(old)
            assert pids(s) == before, (before, pids(s))
    assert not load.bad(), load.bad()[:3]
    assert listening_inodes() == sockets, 'the listening sockets are others'
    assert [loads(OUTSIDE), loads(STARTED)] == had, 'a model was loaded or unloaded'
    assert int(show('NFileDescriptorStore')) == kept, (kept, show('NFileDescriptorStore'))
    assert not [m for m in messages(since) if 'is replaced' in m], 'the board was made anew'
    adopted = journal(f'MESSAGE_ID={EVENTS["CHILD_ADOPTED"]}', since=since)
    assert len(adopted) >= KILLS * 4, [e['MESSAGE'] for e in adopted]
    return f'{KILLS} times; {len(load.verdicts)} requests; {kept} descriptors kept'


# promise 4
@check
def supervisor_and_router_killed():
    """the supervisor and its only router killed at once: 0 refused, for systemd holds the sockets; what was in flight ends, the rest is served"""
    s = settled()
    sockets, since = listening_inodes(), time.time()
    with Load() as load:
        old, router = main_pid(), s['routers'][0]['pid']
        kill(old, router)
        n = len(load.verdicts)
        after = supervisor_replaced(old)
        load.more()
    assert after['routers'][0]['pid'] != router
    assert 'refused' not in load.verdicts, f'{load.verdicts.count("refused")} refused'
    assert len(load.bad()) <= len(load.threads), load.bad()
    assert listening_inodes() == sockets, 'the listening sockets are others'
    assert not [m for m in messages(since) if 'is replaced' in m], 'the board was made anew'
    return f'{len(load.bad())} of {len(load.verdicts)} cut, all in flight ({n} before)'


@check
def all_of_tsa_killed():
    """supervisor, router and all workers killed at once: 0 refused, at worst a 503 until a worker speaks; the Ollamas live on with their models"""
    before, had = pids(settled()), [loads(OUTSIDE), loads(STARTED)]
    with Load() as load:
        old = main_pid()
        kill(old, *(p for n, p in before.items() if n.startswith(('router', 'worker'))))
        after = pids(supervisor_replaced(old))
        n = len(load.verdicts) + len(load.threads)
        load.more(40)
        late = [v for v in load.verdicts[n:] if v != 'ok']
    cut = [v for v in load.bad() if not (v.startswith('503') and 'try again' in v)]
    assert 'refused' not in load.verdicts and len(cut) <= len(load.threads) and not late, (cut[:5], late[:3])
    for n, p in after.items():
        assert (p == before[n]) == n.startswith('ollama'), (n, before[n], p)
    assert [loads(OUTSIDE), loads(STARTED)] == had, 'a model was loaded or unloaded'
    return f'{len(cut)} cut, {len(load.bad()) - len(cut)} told to try again, {len(load.verdicts) - len(load.bad())} served'


# promise 3
@check
def worker_killed():
    """each worker killed with -9 under load: 0 failed, the same Ollamas"""
    before = pids(settled())
    with Load() as load:
        for name in ('worker ollama', 'worker started'):
            kill(before[name])
            load.more()
            wait_for(lambda: pids(settled())[name] != before[name], f'a new {name}')
    after = pids(settled())
    assert not load.bad(), load.bad()[:3]
    assert [after[n] for n in after if n.startswith('ollama')] == [before[n] for n in before if n.startswith('ollama')]
    died = [e['MESSAGE'] for e in journal(f'MESSAGE_ID={EVENTS["CHILD_DIED"]}') if 'worker started' in e['MESSAGE']]
    assert died, 'the death is not in the journal'
    return f'{len(load.verdicts)} requests; "{died[-1]}"'


# promise 2
@check
def router_killed():
    """the only router killed with -9 under load: 0 refused, only what was in flight is cut"""
    before = pids(settled())
    with Load() as load:
        kill(before['router 0'])
        wait_for(lambda: pids(settled())['router 0'] != before['router 0'], 'a new router')
        load.more()
    assert 'refused' not in load.verdicts and len(load.bad()) <= len(load.threads), load.bad()
    return f'{len(load.bad())} of {len(load.verdicts)} cut'


# promise 10
@check
def ollama_killed():
    """the started Ollama killed with -9: its worker starts it again, its runner is not left over; the journal has the cause if its parent lived"""
    for inherited in (True, False):
        before, since = pids(settled()), time.time()
        family = {p for p in in_cgroup() if 'ollama-sim' in command(p)}
        kill(before['ollama started'])
        after = wait_for(lambda: pids(settled()).get('ollama started') not in (0, None, before['ollama started']) and pids(status()), 'a new Ollama')
        assert after['worker started'] == before['worker started']
        wait_for(lambda: not any(alive(p) for p in family), 'the old runners have ended')
        said = journal('TSA_SLOT=started', f'MESSAGE_ID={EVENTS["OLLAMA_DIED"]}', since=since)
        assert said and (inherited or 'signal 9' in said[0]['MESSAGE']), [e['MESSAGE'] for e in said]
    return said[0]['MESSAGE']


# promise 5
@check
def watchdog():
    """the supervisor stopped with SIGSTOP: systemd ends and restarts it in WatchdogSec + RestartSec, and serving goes on meanwhile"""
    before, restarts = pids(settled()), int(show('NRestarts'))
    with Load(short=1, streams=1, pause_s=0.3) as load:
        old, t0 = main_pid(), time.monotonic()
        kill(old, sig=signal.SIGSTOP)
        wait_for(lambda: main_pid() not in (0, old), 'a new supervisor', WATCHDOG_S + PATIENCE)
        took = time.monotonic() - t0
        assert pids(settled()) == before
        load.more()
    assert not load.bad(), load.bad()[:3]
    assert took <= WATCHDOG_S + RESTART_S + SLOW_S, f'{took:.1f} s'
    assert int(show('NRestarts')) == restarts + 1
    return f'{took:.1f} s; {len(load.verdicts)} requests'


# promise 20
@check
def crash_with_bad_file():
    """a crash while a mistake is being typed into the configuration: serving goes on, and the supervisor is back when the mistake is gone"""
    before = pids(settled())
    bad = CONF_D / 'bad.conf'
    with Load() as load:
        bad.write_text('instance "bad" {\n')
        old = main_pid()
        kill(old)
        load.more(60)
        wait_for(lambda: int(show('NRestarts')) > 0 and any('bad.conf:' in m for m in messages(time.time() - 60)), 'the mistake is in the journal')
        bad.unlink()
        s = supervisor_replaced(old)
        load.more()
    assert not load.bad(), load.bad()[:3]
    assert pids(s) == before, (before, pids(s))
    return f'{len(load.verdicts)} requests'


@check
def crash_with_bad_file_for_long():
    """a crash while the configuration stays bad until systemd gives up (StartLimitBurst): serving goes on; systemctl start takes everybody over"""
    before, sockets = pids(settled()), listening_inodes()
    bad = CONF_D / 'bad.conf'
    drop_in('[Unit]\nStartLimitBurst=4\n')     # instead of 20, each of which takes seconds here
    with Load(short=1, streams=1) as load:
        bad.write_text('instance "bad" {\n')
        kill(main_pid())
        wait_for(lambda: show('Result') == 'start-limit-hit' or show('SubState') == 'failed', 'systemd gives up', 2 * PATIENCE)
        load.more()
        bad.unlink()
        drop_in('')
        must('systemctl', 'reset-failed', 'tsa')
        must('systemctl', 'start', 'tsa')
        s = settled()
        load.more()
    assert not load.bad(), load.bad()[:3]
    assert pids(s) == before and listening_inodes() == sockets, (before, pids(s))
    return f'{len(load.verdicts)} requests'
