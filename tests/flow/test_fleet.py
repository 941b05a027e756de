"""Routes answered for the whole fleet, headers, methods, paths, browsers."""
import json
import os
import signal

from fabric import BUILD, call, chat, get, wait_for


def test_lists_are_the_union(sims, fabrics):
    a, b = sims(1, '--model', 'left:1b,size=1GB,kind=chat'), sims(1, '--model', 'right:2b,size=1GB,kind=chat')
    f = fabrics(adopt=[a.port, b.port])
    names = {m['name'] for m in json.loads(get(f.port, '/api/tags')[1])['models']}
    assert {'left:1b', 'right:2b'} <= names
    assert {'left:1b', 'right:2b'} <= {m['id'] for m in json.loads(get(f.port, '/v1/models')[1])['data']}
    for m in ('left:1b', 'right:2b'):
        s, body, h = chat(f.port, model=m)
        assert s == 200 and json.loads(body)['done'], body
    assert chat(f.port, model='left:1b')[2]['x-tsa-instance'] == 'i0'
    assert chat(f.port, model='RIGHT:2B')[2]['x-tsa-instance'] == 'i1'


def test_root_version_health(pair):
    _, f = pair
    assert get(f.port, '/')[1] == 'Ollama is running'
    s, body, h = call(f.port, 'HEAD', '/')
    assert (s, body, h['content-length']) == (200, '', '17')
    assert 'version' in json.loads(get(f.port, '/api/version')[1])
    assert get(f.port, '/healthz')[:2] == (200, 'ok\n')
    assert get(f.port, '/readyz')[0] == 200


def test_headers_tell_the_decision(pair):
    _, f = pair
    _, _, h = chat(f.port)
    assert len(h['x-tsa-request-id']) == 16 and h['x-tsa-instance'] in ('i0', 'i1')
    assert h['x-tsa-model'] == 'sim-chat:latest' and h['x-tsa-route-reason'] and int(h['x-tsa-queue-ms']) >= 0


def test_ties_rotate(pair):
    _, f = pair
    assert {chat(f.port, 'sim:tokens=1')[2]['x-tsa-instance'] for _ in range(20)} == {'i0', 'i1'}


def test_unknown_paths_and_methods(pair):
    _, f = pair
    assert get(f.port, '/nope')[:2] == (404, '404 page not found')
    s, body, h = get(f.port, '/api/chat')
    assert s == 405 and h['allow'] == 'POST'
    assert get(f.port, '/debug/pprof/')[0] == 400 and get(f.port, '/debug/pprof')[0] == 404
    assert call(f.port, 'POST', '/api/me', {})[0] == 403
    assert call(f.port, 'DELETE', '/api/%64elete', {'model': 'x'})[0] == 403


def test_client_options_that_would_reload_are_taken_out(pair):
    s, f = pair
    _, _, h = chat(f.port, keep_alive='30s', options={'num_ctx': 9999, 'temperature': 0.1})
    assert h['x-tsa-adjusted'] == 'keep_alive, num_ctx=4096'
    _, _, h = chat(f.port, options={'num_ctx': 2048, 'num_thread': 4})
    assert h['x-tsa-adjusted'] == 'num_ctx, num_thread'


def test_browser_origins(pair):
    _, f = pair
    s, _, h = get(f.port, '/api/version', headers={'Origin': 'http://localhost:3000'})
    assert s == 200 and h['access-control-allow-origin'] == 'http://localhost:3000'
    assert get(f.port, '/api/version', headers={'Origin': 'https://evil.example'})[:2] == (403, '')
    assert get(f.port, '/api/version', headers={'Origin': 'http://localhost:3000.evil.example'})[0] == 403
    s, _, h = call(f.port, 'OPTIONS', '/api/chat', headers={'Origin': 'http://127.0.0.1:8000', 'Access-Control-Request-Method': 'POST'})
    assert s == 204 and 'POST' in h['access-control-allow-methods']


def test_management_is_refused_unless_allowed(sims, fabrics):
    s = sims(2)
    f = fabrics(conf=''.join(f'instance "i{i}" {{ url = "http://127.0.0.1:{p}" }}\n' for i, p in enumerate(s.ports)))
    assert call(f.port, 'POST', '/api/pull', {'model': 'new'})[0] == 403
    f2 = fabrics(conf='management = allow\n' + ''.join(f'instance "i{i}" {{ url = "http://127.0.0.1:{p}" }}\n' for i, p in enumerate(s.ports)))
    st, body, _ = call(f2.port, 'POST', '/api/pull', {'model': 'new:1b'})
    lines = [json.loads(x) for x in body.strip().split('\n')]
    assert st == 200 and lines[-1] == {'status': 'success'} and sum(x == {'status': 'success'} for x in lines) == 1
    for p in s.ports:
        assert any(m['name'] == 'new:1b' for m in json.loads(get(p, '/api/tags')[1])['models'])
    wait_for(lambda: chat(f2.port, model='new:1b')[0] == 200, 20, 'a pulled model is served')
    assert call(f2.port, 'DELETE', '/api/delete', {'model': 'new:1b'})[0] == 200
    for p in s.ports:
        assert not any(m['name'] == 'new:1b' for m in json.loads(get(p, '/api/tags')[1])['models'])


def test_programs_know_their_version():
    import subprocess
    want = (BUILD.parent / 'VERSION')
    for p in ('tsad', 'tsa-worker', 'tsa-router', 'tsactl', 'tsa-load'):
        out = subprocess.run([BUILD / p, '--version'], capture_output=True, text=True, timeout=10)
        assert out.returncode == 0 and any(c.isdigit() for c in out.stdout), (p, out)
        if want.exists():
            assert want.read_text().strip() in out.stdout


def test_a_model_is_not_called_unknown_before_every_store_was_read(sims, fabrics):
    """A cold start, and later a crash of everything: clients may hear 503 for a while, never 404."""
    s = sims(1)
    os.kill(s.pid, signal.SIGSTOP)
    f = fabrics(adopt=s.ports, ready=False)
    seen = set()
    wait_for(lambda: get(f.port, '/healthz')[0] == 200, 10, 'the router answers')
    for _ in range(3):
        seen.add(chat(f.port, 'sim:tokens=1')[0])
    os.kill(s.pid, signal.SIGCONT)

    def answered():
        seen.add(chat(f.port, 'sim:tokens=1')[0])
        return 200 in seen
    wait_for(answered, 20, 'it is served in the end')
    assert seen == {200, 503}
    assert chat(f.port, model='really-unknown')[0] == 404
