"""What an operator types, and what goes wrong."""
import json
import os
import signal
import subprocess
import threading

import pytest
from fabric import BUILD, ROOT, Process, chat, free_port, get, wait_for


def conf_of(ports, extra='', **per):
    return extra + ''.join(f'instance "i{i}" {{ url = "http://127.0.0.1:{p}" {per.get(f"i{i}", "")} }}\n' for i, p in enumerate(ports))


def test_status_has_what_scripts_need(pair):
    _, f = pair
    s = f.status()
    assert s['supervisor']['pid'] == f.tsad.pid
    assert all(r['pid'] for r in s['routers']) and len(s['routers']) == 1
    for i in s['instances']:
        assert {'name', 'url', 'state', 'slots', 'in_flight', 'queued', 'worker_pid', 'ollama_pid', 'models'} <= set(i)
        assert any(m['name'] == 'sim-chat:latest' and m['resident'] for m in i['models'])


def test_words_shorten_and_wrong_ones_name_the_valid(pair):
    _, f = pair
    assert f.ctl('st').stdout == f.ctl('status').stdout or 'i0' in f.ctl('st').stdout
    r = f.ctl('frobnicate', check=False)
    assert r.returncode == 2 and 'status' in r.stderr and 'drain' in r.stderr
    r = f.ctl('drain', 'nobody', check=False)
    assert r.returncode != 0 and 'i0' in r.stderr + r.stdout and 'i1' in r.stderr + r.stdout


def test_no_supervisor_says_so(tmp_path):
    r = subprocess.run([BUILD / 'tsactl', '--state', tmp_path, 'status'], capture_output=True, text=True, timeout=10)
    assert r.returncode == 3 and 'tsad' in r.stderr


def test_drain_and_undrain(pair):
    _, f = pair
    f.ctl('drain', 'i0')
    wait_for(lambda: {chat(f.port, 'sim:tokens=1')[2]['x-tsa-instance'] for _ in range(6)} == {'i1'}, 5, 'only i1 is asked')
    f.ctl('drain', 'i1')
    wait_for(lambda: chat(f.port, 'sim:tokens=1')[0] == 503, 5, 'nothing can serve it: 503')
    f.ctl('undrain', 'i0')
    f.ctl('undrain', 'i1')
    wait_for(lambda: {chat(f.port, 'sim:tokens=1')[2].get('x-tsa-instance') for _ in range(10)} == {'i0', 'i1'}, 5, 'both again')


def test_unload_and_warm(pair):
    s, f = pair
    resident = lambda: [m['name'] for m in f.instance('i0')['models'] if m['resident']]  # noqa: E731
    f.ctl('warm', 'i0', 'sim-embed')
    wait_for(lambda: 'sim-embed:latest' in resident(), 10, 'warmed')
    f.ctl('unload', 'i0', 'sim-embed')
    wait_for(lambda: 'sim-embed:latest' not in resident(), 10, 'unloaded')


def test_reload_changes_what_changed_and_nothing_else(sims, fabrics):
    s = sims(3)
    f = fabrics(conf=conf_of(s.ports[:2]))
    before = {i['name']: i['worker_pid'] for i in f.status()['instances']}
    router = f.status()['routers'][0]['pid']
    f.write_conf(conf_of(s.ports[:3], i0='slots = 3'))
    f.ctl('reload')
    wait_for(lambda: len(f.status()['instances']) == 3 and f.instance('i2')['state'] == 'ready', 20, 'the new instance is ready')
    assert f.instance('i0')['slots'] == 3
    assert {n: f.instance(n)['worker_pid'] for n in before} == before, 'living workers go on'
    assert f.status()['routers'][0]['pid'] == router
    f.write_conf(conf_of(s.ports[:1], i0='slots = 3'))
    os.kill(f.tsad.pid, signal.SIGHUP)
    wait_for(lambda: [i['name'] for i in f.status()['instances']] == ['i0'], 20, 'two are gone')
    assert chat(f.port, 'sim:tokens=1')[0] == 200


@pytest.mark.promise(20)
@pytest.mark.parametrize('bad,says', [
    ('deadlines { queue = 5 }', 'no unit'), ('frobnicate = 1', 'frobnicate'), ('instance "i9" { }', 'command'), ('{', ':'),
])
def test_a_bad_reload_changes_nothing_and_says_where(sims, fabrics, bad, says):
    s = sims(1)
    f = fabrics(conf=conf_of(s.ports))
    before = f.pids()
    f.write_conf(conf_of(s.ports) + bad + '\n')
    r = f.ctl('reload', check=False)
    assert r.returncode == 1 and 'tsa.conf:' in r.stderr + r.stdout and says in r.stderr + r.stdout, r
    assert f.pids() == before and chat(f.port, 'sim:tokens=1')[0] == 200
    assert 'tsa.conf:' in f.ctl('status').stdout, 'the failed reload is shown'


@pytest.mark.promise(21)
def test_reloads_under_load_lose_nothing(sims, fabrics):
    from test_kill import Load
    s = sims(2)
    f = fabrics(conf=conf_of(s.ports, i0='slots = 8', i1='slots = 8'))
    fds = lambda: len(os.listdir(f'/proc/{f.tsad.pid}/fd'))  # noqa: E731
    load = Load(f.port)
    try:
        load.wait_more(10)
        f.ctl('reload')
        before = fds()
        for n in range(100):
            f.write_conf(conf_of(s.ports, i0=f'slots = {8 + n % 2}', i1='slots = 8'))
            f.ctl('reload')
        assert fds() <= before + 2
        load.wait_more(10)
    finally:
        load.stop()
    assert not load.bad(), load.bad()[:3]


def test_new_listener_by_reload(sims, fabrics):
    s = sims(1)
    f = fabrics(conf=conf_of(s.ports))
    other = free_port()
    f.conf.write_text(f'listen = {{"127.0.0.1:{f.port}", "127.0.0.1:{other}"}}\nstate_dir = "{f.state}"\n' + conf_of(s.ports))
    f.ctl('reload')
    wait_for(lambda: get(other, '/healthz')[0] == 200, 5, 'it listens there, too')
    assert get(f.port, '/healthz')[0] == 200


def test_check_only(tmp_path):
    good = tmp_path / 'good.conf'
    good.write_text('instance "a" { url = "http://127.0.0.1:11434" }\n')
    assert subprocess.run([BUILD / 'tsad', '-n', '-c', good], capture_output=True, timeout=10).returncode == 0
    bad = tmp_path / 'bad.conf'
    bad.write_text('instance "a" {\n url = "http://127.0.0.1:11434"\n slots = many\n}\n')
    r = subprocess.run([BUILD / 'tsad', '-n', '-c', bad], capture_output=True, text=True, timeout=10)
    assert r.returncode == 1 and 'bad.conf:3:' in r.stderr + r.stdout


def test_the_shipped_example_is_good():
    r = subprocess.run([BUILD / 'tsad', '-n', '-c', ROOT / 'etc/tsa.conf'], capture_output=True, text=True, timeout=10)
    assert r.returncode == 0, r.stdout + r.stderr


def test_two_routers_share_the_port_and_the_places(sims, fabrics):
    s = sims(1)
    f = fabrics(conf='routers = 2\n' + conf_of(s.ports, i0='slots = 2'))
    assert len([r for r in f.status()['routers'] if r['pid']]) == 2
    peak, stop, results = [], threading.Event(), []

    def watch():
        while not stop.wait(0.01):
            peak.append(s.stats()['active'])
    w = threading.Thread(target=watch)
    w.start()
    threads = [threading.Thread(target=lambda: results.append(chat(f.port, 'sim:tokens=5 sim:delay=10ms')[0])) for _ in range(30)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    stop.set()
    w.join()
    assert results == [200] * 30 and max(peak) - 1 <= 2


def test_wait_ready_times_out_with_its_own_status(tmp_path):
    p = Process([BUILD / 'tsad', '--listen', f'127.0.0.1:{free_port()}', '--adopt', 'http://127.0.0.1:9', '--state', tmp_path / 's'], tmp_path / 'log')
    try:
        wait_for(lambda: subprocess.run([BUILD / 'tsactl', '--state', tmp_path / 's', 'version'], capture_output=True, timeout=10).returncode == 0, 10)
        r = subprocess.run([BUILD / 'tsactl', '--state', tmp_path / 's', 'wait', 'ready', '--timeout', '1s'], capture_output=True, text=True, timeout=20)
        assert r.returncode == 4, r
    finally:
        p.end()


def test_json_everywhere(pair):
    _, f = pair
    for words in (['status'], ['instances'], ['instance', 'i0'], ['routers'], ['version']):
        json.loads(f.ctl('-j', *words).stdout)


def test_instances_restarted_by_a_reload_are_waited_for(sims, fabrics):
    """A change that restarts every instance at once makes requests wait; it refuses none."""
    from fabric import free_port
    from test_kill import Load
    ports = [free_port(), free_port()]

    def conf(slots):
        return ''.join(f'instance "i{i}" {{ command = {{"{BUILD}/ollama-sim", "serve"}} listen = "127.0.0.1:{p}" models = {{"sim-chat"}} slots = {slots} }}\n'
                       for i, p in enumerate(ports))
    f = fabrics(conf=conf(1))
    load = Load(f.port)
    try:
        load.wait_more(10)
        f.write_conf(conf(2))
        f.ctl('reload')
        wait_for(lambda: all(f.instance(n)['slots'] == 2 and f.instance(n)['state'] == 'ready' for n in ('i0', 'i1')), 30, 'both are back')
        load.wait_more(10)
    finally:
        load.stop()
    assert not load.bad(), load.bad()[:3]


def test_an_address_where_nothing_listens_is_told(tmp_path):
    dead = free_port()
    p = Process([BUILD / 'tsad', '--listen', f'127.0.0.1:{free_port()}', '--adopt', f'wrong=http://127.0.0.1:{dead}', '--state', tmp_path / 's'],
                tmp_path / 'log')
    try:
        wait_for(lambda: f'127.0.0.1:{dead}' in p.text() and 'correct the url' in p.text(), 10, 'the log says it')
        show = lambda: subprocess.run([BUILD / 'tsactl', '--state', tmp_path / 's', 'status'], capture_output=True, text=True, timeout=10).stdout  # noqa: E731
        wait_for(lambda: '! wrong:' in show(), 15, 'tsactl status says it')
    finally:
        p.end()
