"""`tsactl doctor`: what hurts is found on the running thing, each with a remedy."""
import json
import subprocess

from fabric import BUILD, free_port, wait_for


def doctor(f, *args):
    r = f.ctl('-j', 'doctor', *args, check=False)
    d = json.loads(r.stdout)
    for one in d['findings']:
        assert one['grade'] in ('fine', 'note', 'warning', 'problem') and one['about'] and one['what']
        assert one['remedy'] or one['grade'] in ('fine', 'note'), one
    for g in ('fine', 'note', 'warning', 'problem'):
        assert d[g] == sum(one['grade'] == g for one in d['findings'])
    return r.returncode, d['findings']


def said(findings, about, part, grade):
    return any(o['about'] == about and part in o['what'] and o['grade'] == grade for o in findings)


def test_a_healthy_service_has_no_problem(pair):
    _, f = pair
    rc, found = doctor(f)
    assert rc == 0, [o for o in found if o['grade'] == 'problem']
    assert said(found, 'service', 'answers and is ready', 'fine') and said(found, 'supervisor', f'pid {f.tsad.pid}', 'fine')
    for i in ('i0', 'i1'):
        assert said(found, f'instance {i}', 'not known to be bad', 'fine')
    text = f.ctl('doctor').stdout
    assert text.rstrip().endswith('0 problems') and 'instance i0' in text


def test_what_hurts_an_instance_is_found_with_its_remedy(fabrics):
    a, b = free_port(2), free_port()
    f = fabrics(ready=False, conf=f'''
        instance "a" {{ command = {{"{BUILD}/ollama-sim", "--listen", "127.0.0.1:{a}"}} listen = "127.0.0.1:{a}" models = {{"sim-chat", "not-there:7b"}}
            environment = {{"OLLAMA_DEBUG_LOG_REQUESTS=1", "OLLAMA_KEEP_ALIVE=0"}} cpus = "0" }}
        instance "b" {{ command = {{"/bin/false"}} listen = "127.0.0.1:{b}" models = {{"x:1b"}} }}''')
    wait_for(lambda: f.instance('a')['state'] == 'ready', 20, 'a is ready')
    wait_for(lambda: f.instance('b')['trouble'], 20, 'b is known to be in trouble')
    rc, found = doctor(f, '--config', f.conf)
    assert rc == 1
    for part, grade in (('body of every request', 'warning'), ('after every answer', 'warning'),
                        ('not-there:7b', 'problem'), ('not applied', 'note')):
        assert said(found, 'instance a', part, grade), (part, found)
    assert any(o['about'] == 'instance b' and o['grade'] == 'problem' for o in found)


def test_a_file_that_the_configuration_names_and_is_not_there_is_a_problem(tmp_path):
    conf = tmp_path / 'tsa.conf'
    conf.write_text(f'routing {{ registry = "{tmp_path}/absent.json" }}\ninstance "a" {{ url = "http://127.0.0.1:1" }}\n')
    r = subprocess.run([BUILD / 'tsactl', '--state', tmp_path, '--config', conf, '-j', 'doctor'], capture_output=True, text=True, timeout=30)
    found = json.loads(r.stdout)['findings']
    assert said(found, 'configuration', f'{tmp_path}/absent.json: it cannot be opened', 'problem')
    assert not said(found, 'configuration', 'can be used', 'fine')


def test_a_bad_configuration_and_a_missing_service_are_problems(tmp_path):
    conf = tmp_path / 'tsa.conf'
    conf.write_text('deadlines { queue = 5 }\n')
    r = subprocess.run([BUILD / 'tsactl', '--state', tmp_path, '--config', conf, '-j', 'doctor'], capture_output=True, text=True, timeout=30)
    found = json.loads(r.stdout)['findings']
    assert r.returncode == 1
    assert said(found, 'configuration', f'{conf}:1:', 'problem') and said(found, 'supervisor', 'no supervisor answers', 'problem')
