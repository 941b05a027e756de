"""The journal: a failed request in it by its id, every field and kind as tsad(8) has them, and a journald that stands still or is away."""
import errno
import http.client
import json
import os
import re
import signal
import socket

from world import (CONF_D, EVENTS, MODEL, PATIENCE, PORT, Load, chat, check, instance, journal, kill, main_pid, must, pids, run, settled, show,
                   supervisor_replaced, wait_for)

# What has happened by the end of the check, whichever others ran before.
SEEN = {'STARTED', 'READY', 'CHILD_STARTED', 'CHILD_DIED', 'RELOADED', 'RELOAD_REFUSED', 'SLOT_STATE', 'OLLAMA_STARTED', 'MODEL_LOADED', 'OPERATOR'}


@check
def journal_has_the_request():
    """a stream whose Ollama dies: journalctl TSA_REQUEST=... finds it by the id that the client has, with instance and model"""
    before = pids(settled())
    must('tsactl', 'drain', 'ollama')
    c = http.client.HTTPConnection('127.0.0.1', PORT, timeout=PATIENCE)
    try:
        wait_for(lambda: 'drained' in instance('ollama')['text'], 'the other instance takes nothing')
        c.request('POST', '/api/chat', json.dumps({'model': MODEL, 'messages': [{'role': 'user', 'content': 'sim:tokens=1000 sim:delay=50ms'}]}))
        r = c.getresponse()
        r.readline()
        kill(before['ollama started'])
        end = r.read().decode().strip().split('\n')[-1]
    finally:
        c.close()
        must('tsactl', 'undrain', 'ollama')
    assert 'error' in json.loads(end), end
    number = r.headers['X-TSA-Request-Id']
    e = wait_for(lambda: journal(f'TSA_REQUEST={number}'), 'the request in the journal')[0]
    assert (e['TSA_SLOT'], e['TSA_MODEL'], e['MESSAGE_ID']) == ('started', MODEL, EVENTS['UPSTREAM_FAILED']), e
    assert e['SYSLOG_IDENTIFIER'] == 'tsa-router' and e['PRIORITY'] == '4', e
    settled()
    return e['MESSAGE']


@check
def journal_is_as_documented():
    """journalctl -o json of all that tsa said until now: no field and no MESSAGE_ID but those of tsad(8), each well formed"""
    must('tsactl', 'drain', 'started')
    must('tsactl', 'undrain', 'started')
    must('systemctl', 'reload', 'tsa')
    bad = CONF_D / 'bad.conf'
    bad.write_text('instance "bad" {\n')
    refused = run('systemctl', 'reload', 'tsa').returncode
    bad.unlink()
    old = pids(settled())['worker started']
    kill(old)
    wait_for(lambda: pids(settled())['worker started'] != old, 'a new worker')
    rule = {'TSA_SLOT': r'[a-z]+', 'TSA_MODEL': r'[\w.:/-]+', 'TSA_GEN': r'[1-9]\d*', 'TSA_REQUEST': r'[0-9a-f]{16}'}
    names = {number: name for name, number in EVENTS.items() if number}
    programs = {'tsad', 'tsa-worker', 'tsa-router', 'tsactl'}
    # By systemd's own words about the unit, by the Ollamas' and by those of the shell, nothing is promised.
    ours = [e for e in journal('_SYSTEMD_UNIT=tsa.service') if e.get('SYSLOG_IDENTIFIER') in programs and e.get('_TRANSPORT') == 'journal']
    fields, kinds = {}, {}
    for e in ours:
        assert e['MESSAGE'] and e['PRIORITY'] in '34567', e
        kinds[e.get('MESSAGE_ID', '')] = kinds.get(e.get('MESSAGE_ID', ''), 0) + 1
        for k in (k for k in e if k.startswith('TSA_')):
            assert k in rule and re.fullmatch(rule[k], e[k]), (k, e[k], e['MESSAGE'])
            fields[k] = fields.get(k, 0) + 1
    assert set(kinds) - {''} <= set(names), set(kinds) - set(names)
    have = {names[k] for k in kinds if k}
    assert refused and SEEN <= have and set(rule) - {'TSA_REQUEST'} <= set(fields), (SEEN - have, fields)
    return f'{len(ours)} lines of {len(have)} kinds; ' + ', '.join(f'{k} {n}' for k, n in sorted(fields.items()))


def fill(path='/run/systemd/journal/socket'):
    """Until its queue takes no more; how many it took."""
    n = 0
    for _ in range(8):      # what one sender may have on its way is bounded, too
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as s:
            try:
                while True:
                    s.sendto(b'MESSAGE=nobody reads this\n', path)
                    n += 1
            except OSError as e:
                assert e.errno == errno.EAGAIN, e
    return n


def journald():
    return int(must('systemctl', 'show', 'systemd-journald', '-p', 'MainPID', '--value'))


# promise 16
@check
def journal_stands_still():
    """journald stopped with SIGSTOP and its socket full: a worker and the supervisor are replaced, a reload works, 0 failed;
    then the lost lines are counted"""
    before, old, stopped = pids(settled()), main_pid(), journald()
    os.kill(stopped, signal.SIGSTOP)
    try:
        n = fill()
        with Load() as load:
            kill(before['worker ollama'])
            wait_for(lambda: pids(settled())['worker ollama'] != before['worker ollama'], 'a new worker')
            load.more(10)
            kill(old)
            supervisor_replaced(old)
            for _ in range(3):
                assert run('systemctl', 'reload', 'tsa').returncode == 0
            load.more(10)
        assert not load.bad(), load.bad()[:3]
        assert fill() == 0, 'somebody has read it'
    finally:
        os.kill(stopped, signal.SIGCONT)

    def lost():
        must('systemctl', 'reload', 'tsa')
        told = [re.fullmatch(r'(\d+) lines of tsad are lost: nothing took them', e['MESSAGE']) for e in journal('SYSLOG_IDENTIFIER=tsad')]
        return [int(m[1]) for m in told if m]
    said = wait_for(lost, 'the number of lost lines')
    assert journald() == stopped and sum(said) >= 3, said
    return f'{n} lines filled it; {sum(said)} lines of tsad lost and counted; {len(load.verdicts)} requests'


# promise 16
@check
def journal_goes_away():
    """journald killed with -9 under load: 0 failed, and what is said after its restart is in the journal, of every program"""
    before, old = pids(settled()), journald()
    with Load() as load:
        kill(old)
        wait_for(lambda: journald() not in (0, old) and show('ActiveState') == 'active', 'a new journald')
        load.more(10)
        must('journalctl', '--sync')
        cursor = must('journalctl', '-n', '1', '-o', 'export', '--output-fields=MESSAGE').split('__CURSOR=')[1].split('\n')[0]
        kill(before['worker started'])
        wait_for(lambda: pids(settled())['worker started'] != before['worker started'], 'a new worker')
        heard = wait_for(lambda: (h := {e.get('SYSLOG_IDENTIFIER') for e in journal('_SYSTEMD_UNIT=tsa.service', f'--after-cursor={cursor}')})
                         >= {'tsad', 'tsa-worker'} and h, 'both programs are heard')
    assert not load.bad(), load.bad()[:3]
    assert chat('sim:tokens=1')[0] == 200
    return ', '.join(sorted(h for h in heard if h))
