"""What an operator types, and what goes wrong."""
import contextlib
import json
import os
import shutil
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


def test_what_is_shipped_starts_as_it_stands(tmp_path):
    """The registry and the tree of categories are in use, and nothing of the three files earns a message."""
    text = (ROOT / 'etc/tsa.conf').read_text()
    for name in ('models.json', 'task_categories.json'):
        assert f'= "/etc/tsa/{name}"' in text
        shutil.copy(ROOT / 'etc' / name, tmp_path)
    conf = tmp_path / 'tsa.conf'
    conf.write_text(text.replace('"/etc/tsa/', f'"{tmp_path}/'))
    r = subprocess.run([BUILD / 'tsad', '-n', '-c', conf], capture_output=True, text=True, timeout=10)
    assert r.returncode == 0 and r.stderr.count('\n') == 1 and 'the configuration is good: 1 instance' in r.stderr, r
    (tmp_path / 'models.json').write_text('{"models": 5}')
    r = subprocess.run([BUILD / 'tsad', '-n', '-c', conf], capture_output=True, text=True, timeout=10)
    assert r.returncode == 1 and 'models.json:1:' in r.stderr, r


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


def test_wait_ready_answers_a_wrong_name_at_once(pair):
    _, f = pair
    r = f.ctl('wait', 'ready', 'nobody', '--timeout', '60s', check=False)
    assert r.returncode == 1 and 'there is no instance "nobody"; write i0 or i1' in r.stderr
    r = f.ctl('wait', 'ready', 'i', '--timeout', '60s', check=False)
    assert r.returncode == 1 and '"i" may mean i0 or i1' in r.stderr


@pytest.mark.parametrize('key', ['user', 'group'])
def test_a_check_finds_a_user_and_a_group_that_are_not_there(tmp_path, key):
    conf = tmp_path / 'tsa.conf'
    conf.write_text(f'{key} = "tsa-nobody-is-called-so"\ninstance "a" {{ url = "http://127.0.0.1:1" }}\n')
    r = subprocess.run([BUILD / 'tsad', '-n', '-c', conf], capture_output=True, text=True, timeout=20)
    assert r.returncode == 1 and f'there is no {key} tsa-nobody-is-called-so' in r.stderr


def test_wait_ready_times_out_with_its_own_status(tmp_path):
    p = Process([BUILD / 'tsad', '--listen', f'127.0.0.1:{free_port()}', '--adopt', 'http://127.0.0.1:9', '--state', tmp_path / 's'], tmp_path / 'log')
    try:
        wait_for(lambda: subprocess.run([BUILD / 'tsactl', '--state', tmp_path / 's', 'version'], capture_output=True, timeout=10).returncode == 0, 10)
        r = subprocess.run([BUILD / 'tsactl', '--state', tmp_path / 's', 'wait', 'ready', '--timeout', '1s'], capture_output=True, text=True, timeout=20)
        assert r.returncode == 4, r
    finally:
        p.end()


def test_json_everywhere(pair):
    """The same objects, whichever verb shows them, and an error as an object."""
    _, f = pair
    said = {words: json.loads(f.ctl('-j', *words.split()).stdout) for words in ('status', 'instances', 'instance i0', 'routers', 'version')}
    assert [i['name'] for i in said['status']['instances']] == [i['name'] for i in said['instances']] == ['i0', 'i1']
    assert set(said['status']['instances'][0]) <= set(said['instance i0']) and said['instance i0']['name'] == 'i0'
    assert [r['pid'] for r in said['routers']] == [r['pid'] for r in said['status']['routers']]
    assert set(said['version'].values()) == {said['status']['version']}
    r = f.ctl('-j', 'instance', 'nobody', check=False)
    assert r.returncode and json.loads(r.stdout) == {'ok': False, 'error': r.stderr.removeprefix('tsactl: ').strip()}


def started(ports, slots, load):
    """Instances that tsa starts itself; a model takes `load` to be read."""
    return ''.join(f'instance "i{i}" {{ command = {{"{BUILD}/ollama-sim", "serve", "--model", "sim-chat,load={load},decode=0"}} '
                   f'listen = "127.0.0.1:{p}" models = {{"sim-chat"}} slots = {slots} }}\n' for i, p in enumerate(ports))


def test_a_reload_restarts_one_instance_after_another(fabrics):
    """At every moment one of them serves, no request waits for a start, and --wait returns when all are back."""
    from test_kill import Load
    ports = [free_port(), free_port()]
    f = fabrics(conf=started(ports, 4, '2s'))
    pids = {i['name']: i['ollama_pid'] for i in f.status()['instances']}
    over, looks = threading.Event(), []

    def look():
        while not over.wait(0.05):
            looks.append([i['name'] for i in f.status()['instances'] if i['state'] == 'ready' and i['wanted'] in ('run', 'restart')])
    watcher = threading.Thread(target=look)
    with Load(f.port, short=3, streams=0) as load:
        load.wait_more(10)
        watcher.start()
        f.write_conf(started(ports, 5, '2s'))
        try:
            r = f.ctl('reload', '--wait')
        finally:
            over.set()
            watcher.join()
        after = f.status()['instances']
        load.wait_more(10)
    assert '2 to restart one after another' in r.stdout
    assert all(i['state'] == 'ready' and i['slots'] == 5 and i['ollama_pid'] != pids[i['name']] for i in after), after
    assert looks and all(looks), 'one served at every look'
    assert {tuple(x) for x in looks} >= {('i0',), ('i1',)}, 'each of them was away'
    assert not load.bad(), load.bad()[:3]
    assert max(end - begin for begin, end, *_ in load.done) < 2, 'nobody waited for a model to be read'


@pytest.mark.parametrize('moved', [False, True], ids=['same-address', 'another-address'])
def test_a_rolling_restart_goes_on_under_the_next_supervisor(fabrics, moved):
    """tsad is killed while the first of three instances is away: the next one waits for it and takes the others one after another."""
    from test_kill import Load
    ports = [free_port() for _ in range(3)]
    f = fabrics(conf=started(ports, 4, '1s'))
    pids = {i['name']: i['ollama_pid'] for i in f.status()['instances']}
    over, looks = threading.Event(), []  # who is away

    def look():
        while not over.wait(0.05):
            with contextlib.suppress(ValueError):
                looks.append({i['name'] for i in f.status()['instances']  # a new board knows nobody for a moment
                              if i['state'] not in ('ready', 'unknown') or i['wanted'] not in ('run', 'restart')})
    watcher = threading.Thread(target=look)
    with Load(f.port, short=3, streams=0) as load:
        load.wait_more(10)
        watcher.start()
        try:
            f.write_conf(started([free_port() for _ in range(3)] if moved else ports, 5, '1s'))
            f.ctl('reload')
            wait_for(lambda: any(looks), 10, 'the first one is away')
            f.tsad.kill()
            f.tsad.p.wait()
            f.start()
            wait_for(lambda: all(i['state'] == 'ready' and i['slots'] == 5 and i['ollama_pid'] not in (0, pids[i['name']])
                                 for i in f.status()['instances']), 30, 'all are restarted')
        finally:
            over.set()
            watcher.join()
        load.wait_more(10)
    assert max(map(len, looks)) == 1, 'one was away at a time'
    assert set().union(*looks) == set(pids), 'each of them was'
    assert not load.bad(), load.bad()[:3]


def test_the_only_instance_restarted_by_a_reload_is_waited_for(fabrics):
    """A change that restarts everything there is makes requests wait; it refuses none."""
    from test_kill import Load
    port = free_port()
    f = fabrics(conf=started([port], 1, '300ms'))
    with Load(f.port) as load:
        load.wait_more(10)
        f.write_conf(started([port], 2, '300ms'))
        f.ctl('reload', '--wait')
        assert f.instance('i0')['slots'] == 2
        load.wait_more(10)
    assert not load.bad(), load.bad()[:3]


def test_a_reload_there_and_back_restarts_only_what_had_its_turn(fabrics):
    ports = [free_port(), free_port(), free_port()]
    f = fabrics(conf=started(ports, 4, '1s'))
    pids = {i['name']: i['ollama_pid'] for i in f.status()['instances']}
    f.write_conf(started(ports, 5, '1s'))
    f.ctl('reload')
    due = [i['name'] for i in f.status()['instances'] if i['wanted'] == 'restart']
    assert len(due) == 2 and 'restart due' in f.ctl('status').stdout
    f.write_conf(started(ports, 4, '1s'))
    f.ctl('reload', '--wait')
    after = {i['name']: i['ollama_pid'] for i in f.status()['instances']}
    assert all(after[n] == pids[n] for n in due) and {i['slots'] for i in f.status()['instances']} == {4}
    assert sum(after[n] != pids[n] for n in after) == 1


def test_a_reload_is_not_over_when_the_last_restart_has_just_been_ordered(fabrics):
    """The worker has not heard of it yet and calls its instance ready still: whoever waits must not be let go."""
    port = free_port()
    f = fabrics(conf=started([port], 1, '100ms'))
    worker = f.instance('i0')['worker_pid']
    os.kill(worker, signal.SIGSTOP)
    try:
        f.write_conf(started([port], 2, '100ms'))
        r = f.ctl('reload', '--wait', '--timeout', '500ms', check=False)
    finally:
        os.kill(worker, signal.SIGCONT)
    assert r.returncode == 4, r
    f.ctl('wait', 'ready', 'i0')
    assert f.instance('i0')['slots'] == 2 and f.instance('i0')['worker_pid'] != worker


def test_a_reload_is_waited_for_until_it_had_its_effect(sims, fabrics):
    """A new instance is ready, one that left is gone, and the router listens at the new address when --wait returns."""
    s = sims(3, '--start-delay', '700ms')
    f = fabrics(conf=conf_of(s.ports[:2]))
    other = free_port()
    rest = conf_of(s.ports).split('\n', 1)[1]
    f.conf.write_text(f'listen = {{"127.0.0.1:{f.port}", "127.0.0.1:{other}"}}\nstate_dir = "{f.state}"\n' + rest)
    r = f.ctl('reload', '--wait')
    assert {i['name']: i['state'] for i in f.status()['instances']} == {'i1': 'ready', 'i2': 'ready'}
    assert get(other, '/healthz')[0] == 200
    assert 'instances: 1 added, 1 removed' in r.stdout and 'listeners: 1 added, 0 removed' in r.stdout
    assert f'listening on 127.0.0.1:{other}' in f.tsad.text()
    f.write_conf(rest)
    assert 'listeners: 0 added, 1 removed' in f.ctl('reload', '--wait').stdout
    with pytest.raises(ConnectionRefusedError):
        get(other, '/healthz')


def test_a_drained_instance_is_not_ready(pair):
    _, f = pair
    f.ctl('drain', 'i0', '--wait')
    for words in (['ready'], ['ready', 'i0']):
        r = f.ctl('wait', *words, check=False)
        assert r.returncode == 1 and 'undrain i0' in r.stderr, r
    f.ctl('wait', 'ready', 'i1')
    f.ctl('wait', 'serving')
    f.ctl('undrain', 'i0', '--wait')
    f.ctl('wait', 'ready')


def test_an_unknown_model_is_refused_at_once(pair):
    _, f = pair
    for verb in ('warm', 'unload'):
        r = f.ctl(verb, 'i0', 'nonsense', '--wait', check=False, timeout=5)
        assert r.returncode == 2 and 'sim-chat:latest' in r.stderr and 'sim-embed:latest' in r.stderr, r


def test_a_stop_is_no_trouble(sims, fabrics):
    """While it stops, status shows no line of trouble for a router that does what it was told."""
    s = sims(1)
    f = fabrics(adopt=s.ports)
    t = threading.Thread(target=chat, args=(f.port, 'sim:tokens=40 sim:delay=50ms'))
    t.start()
    wait_for(lambda: f.counters()['active'] == 1, 5, 'a request is on its way')
    f.tsad.kill(signal.SIGTERM)
    shown = wait_for(lambda: [x for x in [f.ctl('status').stdout] if 'stopping' in x], 5, 'it stops')[0]
    t.join()
    assert '! router' not in shown, shown


def test_the_breaker_is_a_word_wherever_it_is_shown(pair):
    _, f = pair
    i = json.loads(f.ctl('-j', 'instance', 'i0').stdout)
    assert i['breaker'] == 'closed' and [r['breaker'] for r in i['routers']] == ['closed']


def test_a_configuration_without_instance_is_refused(tmp_path):
    empty = tmp_path / 'tsa.conf'
    empty.write_text('')
    for args in (['-n'], []):
        r = subprocess.run([BUILD / 'tsad', *args, '-c', empty, '--state', tmp_path / 's'], capture_output=True, text=True, timeout=10)
        assert r.returncode == 1 and 'there is no instance' in r.stderr, r


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
