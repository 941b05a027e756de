"""Rows of the replaced service's interface that show only in a fleet made for them: an instance that is away, one that fails, one that is full,
models that differ in size and in context; and the words of a refusal, written out."""
import contextlib
import http.client
import json

import pytest
from fabric import call, chat, free_port, wait_for
from test_api import SELECTED, ask, keys, route
from test_auto import PUZZLE, Auto

TOKEN = {'Authorization': 'Bearer eyJhbGciOiJIUzI1NiJ9.e30.x'}


# --- what a request may look like -------------------------------------------------------------------------------------------------------

MISSING = {'type': 'missing', 'msg': 'Field required'}
REFUSED = [  # a body, where it is wrong, and what is said of it; beside that its own words come back as `input`
    ('{}', ['body', 'query'], MISSING, {}),
    ('', ['body'], MISSING, None),
    ('{"query":"x",', ['body', 13], {'type': 'json_invalid', 'msg': 'JSON decode error'}, {}),
    ('[1]', ['body'], {'type': 'model_attributes_type', 'msg': 'Input should be a valid dictionary or object to extract fields from'}, [1]),
    ('7', ['body'], {'type': 'model_attributes_type', 'msg': 'Input should be a valid dictionary or object to extract fields from'}, 7),
    ('{"query":null}', ['body', 'query'], {'type': 'string_type', 'msg': 'Input should be a valid string'}, None),
    ('{"query":7}', ['body', 'query'], {'type': 'string_type', 'msg': 'Input should be a valid string'}, 7),
    ('{"query":"x","prefer_speed":"perhaps"}', ['body', 'prefer_speed'],
     {'type': 'bool_parsing', 'msg': 'Input should be a valid boolean, unable to interpret input'}, 'perhaps'),
    ('{"query":"x","require_context":null}', ['body', 'require_context'], {'type': 'bool_type', 'msg': 'Input should be a valid boolean'}, None),
    ('{"query":"x","require_context":[]}', ['body', 'require_context'], {'type': 'bool_type', 'msg': 'Input should be a valid boolean'}, []),
    ('{"query":"x","exclude_models":"y"}', ['body', 'exclude_models'], {'type': 'list_type', 'msg': 'Input should be a valid list'}, 'y'),
]


def test_the_words_of_a_refusal(pair):
    """Written out, so that they hold also where the framework that made them is not at hand (test_api.py compares with it)."""
    _, f = pair
    for body, loc, says, given in REFUSED:
        e, = ask(f.port, '/api/intelligent-route', body, 'POST', status=422)['detail']
        keys(e, 'type', 'loc', 'msg', 'input', *(['ctx'] if says['type'] == 'json_invalid' else []))
        assert (e['type'], e['loc'], e['msg'], e['input']) == (says['type'], loc, says['msg'], given), body
        assert set(e.get('ctx', {'error'})) == {'error'}


def test_tokens_and_members_that_nobody_asked_for(pair):
    """Load tests send a token with everything, callers a `context`; a path with a slash too many is the same for every method."""
    _, f = pair
    for path, body in (('/api/intelligent-route', {'query': 'hello'}), ('/api/classify-query', {'query': 'hello'}), ('/api/v1/model-router/route', {}),
                       ('/api/v1/model-router/auto-assign', {})):
        assert ask(f.port, path, {**body, 'context': {'a': [1]}}, headers=TOKEN)
        status, text, head = call(f.port, 'POST', path + '/', body)
        assert (status, text, head['location']) == (307, '', path)
    for path in ('/api/ollama-health', '/api/advanced-cache-stats', '/api/routing-metrics', '/health', '/health/details'):
        assert ask(f.port, path, headers=TOKEN)
        assert 'access-control-allow-origin' not in call(f.port, 'GET', path)[2]
    assert call(f.port, 'GET', '/metrics', headers=TOKEN)[0] == 200


# --- models that differ -----------------------------------------------------------------------------------------------------------------

SMALL, LARGE = 'llama3.2:3b', 'llama3.1:8b'
ROME = 'Explain why the Roman empire fell and compare it with the fall of the Ottoman empire step by step.'
YES = (True, 1, 1.0, '1', 't', 'true', 'y', 'yes', 'on', 'T', 'True', 'YES', 'oN')
NO = (False, 0, 0.0, '0', 'f', 'false', 'n', 'no', 'off', 'F', 'False', 'NO', 'oFf')


@pytest.fixture(scope='module')
def sizes(tmp_path_factory):
    """A large model with a short context and a small one with a long one."""
    f = Auto(tmp_path_factory.mktemp('sizes'), {'big': [f'{LARGE},tools'], 'little': [f'{SMALL},tools']}, context={'big': 4096, 'little': 16384})
    yield f
    f.stop()


def test_a_boolean_is_what_its_word_says(sizes):
    """`prefer_speed` in every form that was ever taken for true and for false: (fast) stands in the reasoning, or does not."""
    for words, fast in ((YES, True), (NO, False)):
        for word in words:
            m = SELECTED.match(route(sizes.port, PUZZLE, prefer_speed=word, exclude_models=[LARGE])['reasoning'])
            assert (m[1], bool(m[5])) == (SMALL, fast), word


def test_speed_and_what_is_excluded_decide_the_model(sizes):
    for speed, model in ((False, LARGE), (True, SMALL)):
        assert route(sizes.port, ROME, prefer_speed=speed)['selected_model'] == model
    assert route(sizes.port, PUZZLE, exclude_models=[LARGE])['selected_model'] == SMALL
    assert route(sizes.port, PUZZLE, exclude_models=['llama3.1', 'llama'])['selected_model'] == LARGE, 'names are whole'
    # Five words or fewer and nothing hard are a hurry of themselves.
    assert SELECTED.match(route(sizes.port, 'Hello there!')['reasoning'])[5]


def test_a_context_that_is_asked_for(sizes):
    """8192 tokens or more: the better model is left out if it has less, and comes back where there is no other."""
    wait_for(lambda: route(sizes.port, PUZZLE, exclude_models=[LARGE])['context_length'] == 16384, 10, 'the contexts in force are known')
    o = route(sizes.port, PUZZLE)
    assert (o['selected_model'], o['context_length']) == (LARGE, 4096)
    o = route(sizes.port, PUZZLE, require_context=True)
    assert (o['selected_model'], o['selected_instance'], o['context_length']) == (SMALL, 'little', 16384)
    assert route(sizes.port, PUZZLE, require_context=True, exclude_models=[SMALL])['selected_model'] == LARGE


# --- an instance that is away, one that fails, one that is full -------------------------------------------------------------------------

def test_one_that_never_came(sims, fabrics):
    """Nothing is known of it, it is no way out, and the others are that in their order, two of them."""
    s = sims(4)
    ports = [s.ports[0], free_port(), *s.ports[1:]]
    f = fabrics(adopt=ports, ready=False)
    f.wait_ready(n=4)
    o = ask(f.port, '/api/ollama-health')
    assert (o['status'], o['healthy_instances'], o['total_instances']) == ('healthy', 4, 5)
    away = o['instances'][1]
    assert (away['name'], away['healthy'], away['response_time'], away['load_score']) == ('i1', False, 'unknown', 'unknown')
    assert isinstance(away['last_check'], float)
    left = ['i0', 'i2', 'i3', 'i4']
    for _ in range(4):
        o = route(f.port, 'hello')
        assert [b['instance'] for b in o['fallback_options']] == [n for n in left if n != o['selected_instance']][:2], o
        assert all(b['url'] == f'http://127.0.0.1:{ports[int(b["instance"][1])]}' for b in o['fallback_options'])


def test_failures_in_figures(sims, fabrics):
    """What failed is counted as the percentage that it is; a probe is no request, however many there are."""
    s = sims(1)
    f = fabrics(adopt=s.ports)
    assert chat(f.port)[0] == 200
    s.fault(kind='crash-stream', after_chunks=2, count=1, route='/api/chat')
    chat(f.port, 'sim:tokens=50', stream=True)
    f.wait_balance()
    before = s.stats()['routes']['GET /api/version']['requests']
    wait_for(lambda: s.stats()['routes']['GET /api/version']['requests'] > before + 2, 15, 'it is probed')
    o = ask(f.port, '/api/load-balancer-stats')
    i, = o['instances'].values()
    assert (i['successful_requests'], i['failed_requests'], i['total_requests']) == (1, 1, 2)
    assert i['success_rate'] == '50.0%' == o['overall']['overall_success_rate']
    assert i['load_score'] == 'inf' or float(i['load_score']) == pytest.approx(float(i['average_response_time'][:-2]) + 50, abs=0.02)


def test_a_fleet_that_is_full(sims, fabrics):
    """The one place taken and one request waiting, as figures have it; afterwards nothing of it is left."""
    s = sims(1)
    f = fabrics(adopt=s.ports, slots=1)
    body = json.dumps({'model': 'sim-chat:latest', 'messages': [{'role': 'user', 'content': 'sim:tokens=10000 sim:delay=50ms'}]})
    with contextlib.ExitStack() as clients:
        for _ in range(2):
            c = clients.enter_context(contextlib.closing(http.client.HTTPConnection('127.0.0.1', f.port)))
            c.request('POST', '/api/chat', body)
        o = wait_for(lambda: (o := ask(f.port, '/api/capacity-status'))['queued'] and o, 10, 'one of two waits')
        assert (o['status'], o['active_generations'], o['max_active_generations'], o['queued']) == ('saturated', 1, 1, 1)
        assert (o['instances'][0]['slots'], o['instances'][0]['slots_in_use']) == (1, 1)
        i, = ask(f.port, '/api/routing-metrics')['instances']
        assert (i['active_sessions'], i['queue_depth'], i['decisions_total']) == (1, 1, 1)
    f.wait_balance(20)
    o = ask(f.port, '/api/capacity-status')
    assert (o['status'], o['active_generations'], o['queued'], o['instances'][0]['slots_in_use']) == ('ok', 0, 0, 0)
