"""`auto`: the question decides which model, whatever dialect it is asked in; what is known of models is taken from files, or not at all."""
import http.client
import http.server
import json
import shutil
import signal
import subprocess
import threading

import pytest
from fabric import BUILD, ROOT, Fabric, Sim, call, free_port, wait_for

GENERAL, CODER, MATH, THINKER = 'llama3.1:8b', 'qwen2.5-coder:7b', 'qwen2.5:7b', 'deepseek-r1:8b'
EMBED, SEES, GUARD = 'nomic-embed-text:latest', 'llava:7b', 'llama-guard3:8b'
SPEC = 'load=5ms,prefill=0,decode=0,ctx=131072,tokens=3'
FLEET = {'talk': [f'{GENERAL},tools', EMBED + ',kind=embed', GUARD], 'work': [CODER + ',tools', MATH, f'{GENERAL},tools'], 'deep': [THINKER, SEES + ',vision']}

CODE = 'Write a Python function that parses a CSV file and returns a list of dictionaries'
SUM = 'Solve for x: 3x + 5 = 20. Then compute the integral of x^2 from 0 to 3.'
TALK = 'What is the capital of Mongolia?'
PUZZLE = ('Five houses in a row are painted in five colours, and five people of different trades live there. Using the clues, deduce who keeps the fish. '
          'If the baker lives left of the smith, and the smith is not next to the teacher, then prove step by step which statements must be true, '
          'explain why each alternative leads to a contradiction, and compare it with the case in which the third clue is false.')


class Auto(Fabric):
    def __init__(self, tmp, fleet=FLEET, more='', registry=True, own=None, context=None, **kw):
        self.sims = {}
        text = ''
        for name, models in fleet.items():
            args = [a for m in models for a in ('--model', m.replace(',', ',' + SPEC + ',', 1) if ',' in m else f'{m},{SPEC}')]
            self.sims[name] = Sim(tmp, args=args + (['--context-length', context[name]] if context else []))
            text += f'instance "{name}" {{\n\turl = "http://127.0.0.1:{self.sims[name].port}"\n\tslots = 2\n{(own or {}).get(name, "")}}}\n'
        self.instances = text
        self.registry, self.tree = tmp / 'models.json', tmp / 'categories.json'
        shutil.copy(ROOT / 'etc/models.json', self.registry)
        shutil.copy(ROOT / 'etc/task_categories.json', self.tree)
        self.files = f'registry = "{self.registry}"\n\tcategories = "{self.tree}"' if registry else ''
        super().__init__(tmp, conf=self.text(more), **kw)

    def text(self, more='', top=''):
        return f'routing {{\n\t{self.files}\n{more}}}\n{top}{self.instances}'

    def reload(self, more='', top=''):
        self.write_conf(self.text(more, top))
        return self.ctl('reload', check=False)

    def stop(self):
        rc = super().stop()
        for s in self.sims.values():
            s.end()
        return rc


@pytest.fixture(scope='module')
def fleet(tmp_path_factory):
    f = Auto(tmp_path_factory.mktemp('auto'))
    yield f
    f.stop()


def ask(f, text, model='auto', **kw):
    """(status, what the answer says, headers)"""
    status, body, headers = call(f.port, 'POST', '/api/chat', {'model': model, 'messages': [{'role': 'user', 'content': text}], 'stream': False, **kw})
    return status, json.loads(body), headers


def chosen(f, text, **kw):
    status, body, headers = ask(f, text, **kw)
    assert status == 200, body
    assert headers['x-tsa-model'] == body['model']
    return headers['x-tsa-model'], headers


def test_each_kind_of_question_goes_to_who_is_good_at_it(fleet):
    model, headers = chosen(fleet, CODE)
    assert model == CODER and headers['x-tsa-category'] == 'code' and headers['x-tsa-instance'] == 'work'
    assert 0.5 < float(headers['x-tsa-confidence']) <= 1
    assert 'model' in headers['x-tsa-adjusted']
    model, headers = chosen(fleet, SUM)
    assert model in (MATH, THINKER) and headers['x-tsa-category'] == 'math'
    model, headers = chosen(fleet, TALK)
    assert model == GENERAL and headers['x-tsa-category'] == 'general'


def test_a_named_model_is_left_alone(fleet):
    status, body, headers = ask(fleet, CODE, model=GENERAL)
    assert status == 200 and body['model'] == GENERAL and 'x-tsa-category' not in headers


@pytest.mark.parametrize('path, body', [
    ('/api/generate', {'prompt': CODE, 'stream': False}),
    ('/api/generate', {'model': '', 'prompt': CODE, 'stream': False}),
    ('/v1/chat/completions', {'model': 'AUTO', 'messages': [{'role': 'system', 'content': TALK}, {'role': 'user', 'content': [{'type': 'text', 'text': CODE}]}]}),
    ('/v1/completions', {'model': 'auto', 'prompt': CODE}),
    ('/v1/responses', {'model': 'auto', 'input': [{'role': 'user', 'content': [{'type': 'input_text', 'text': CODE}]}]}),
    ('/v1/messages', {'model': 'auto', 'max_tokens': 9, 'messages': [{'role': 'user', 'content': TALK}, {'role': 'assistant', 'content': 'x'},
                                                                       {'role': 'user', 'content': [{'type': 'text', 'text': CODE}]}]}),
    ('/api/chat', {'stream': True, 'messages': [{'role': 'user', 'content': CODE}]}),
])
def test_every_dialect(fleet, path, body):
    status, text, headers = call(fleet.port, 'POST', path, body)
    assert status == 200, text
    assert headers['x-tsa-model'] == CODER and headers['x-tsa-category'] == 'code'


def test_embedding_models_never_chat_and_others_never_embed(fleet):
    for text in ('embedding', 'make a vector of this', '', 'nomic'):
        assert chosen(fleet, text)[0] != EMBED
    status, body, headers = call(fleet.port, 'POST', '/api/embed', {'model': 'auto', 'input': CODE})
    assert status == 200 and headers['x-tsa-model'] == EMBED and json.loads(body)['embeddings']


def test_a_model_for_tools_and_one_that_sees(fleet):
    tool = {'type': 'function', 'function': {'name': 'f', 'description': 'd', 'parameters': {'type': 'object', 'properties': {}}}}
    for text in (TALK, CODE, SUM, PUZZLE):
        assert chosen(fleet, text, tools=[tool])[0] in (GENERAL, CODER)
    picture = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
    status, body, headers = call(fleet.port, 'POST', '/api/chat',
                                 {'model': 'auto', 'stream': False, 'messages': [{'role': 'user', 'content': 'what is this?', 'images': [picture]}]})
    assert status == 200 and headers['x-tsa-model'] == SEES, body


@pytest.mark.parametrize('text', ['', ' ', '\x01\x02\x7f', 'a' * 300000, '\U0001f600' * 5000, '多谢你的帮助，今天天气怎么样', 'Как приготовить борщ дома', '"\\' * 999])
def test_whatever_is_asked_is_answered(fleet, text):
    model, headers = chosen(fleet, text)
    assert model not in (EMBED, GUARD) and headers['x-tsa-category']
    if ord(max(text or ' ')) > 0x400 and ord(max(text)) < 0x10000:
        assert headers['x-tsa-category'] == 'general'


def test_bodies_without_a_question(fleet):
    for body in ({'model': 'auto', 'stream': False}, {'model': 'auto', 'messages': [], 'stream': False}, {'model': 'auto', 'messages': 7, 'stream': False}):
        status, text, headers = call(fleet.port, 'POST', '/api/chat', body)
        assert status in (200, 400) and headers['x-tsa-category'] == 'general', text


def test_counters_of_kinds(fleet):
    before = fleet.counters()
    chosen(fleet, CODE)
    for _ in range(128):  # of those that name a model one in 64 counts, for all
        ask(fleet, SUM, model=GENERAL)
    after = fleet.counters()
    assert after['auto_asked'] == before['auto_asked'] + 1
    assert after['kind_code'] == before['kind_code'] + 1
    assert after['kind_math'] == before['kind_math'] + 128


def test_reasoning_models_get_their_share_and_no_more(tmp_path):
    f = Auto(tmp_path, more='\tauto { complexity = 10%  confidence = 100%  reasoning_share = 20%  window = 20 }\n')
    try:
        models = [chosen(f, PUZZLE)[0] for _ in range(60)]
        share = models.count(THINKER) / len(models)
        assert models[0] == THINKER and 0.05 <= share <= 0.3, models
        assert f.counters()['auto_reasoning'] == models.count(THINKER)
        assert f.reload('\tauto { complexity = 10%  confidence = 100%  reasoning_share = 0% }\n').returncode == 0
        wait_for(lambda: chosen(f, PUZZLE)[0] != THINKER, 5)
        assert all(chosen(f, PUZZLE)[0] != THINKER for _ in range(10))
    finally:
        f.stop()


def test_another_model_when_one_cannot_answer(tmp_path):
    f = Auto(tmp_path)
    try:
        assert chosen(f, CODE)[0] == CODER
        f.sims['work'].kill(signal.SIGKILL)
        model, headers = chosen(f, CODE)  # nobody knows yet: found out by the request itself
        assert model == GENERAL and headers['x-tsa-instance'] == 'talk'
        assert f.counters()['auto_moved'] >= 1
        wait_for(lambda: f.instance('work')['state'] != 'ready', 15)
        assert chosen(f, CODE)[0] != CODER
        f.wait_balance()
    finally:
        f.stop()


class Hook(http.server.BaseHTTPRequestHandler):
    """Says what it was asked."""

    def do_POST(self):
        n = int(self.headers['Content-Length'])
        self.server.seen.append((self.path, dict(self.headers.items()), json.loads(self.rfile.read(n))))
        if self.server.status is None:
            return  # closes without an answer
        body = b'{"message":{"role":"assistant","content":"looked up"},"done":true}'
        self.send_response(self.server.status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_the_hook_is_asked_when_no_model_will_do(tmp_path):
    hook = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Hook)
    hook.seen, hook.status = [], 200
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    f = Auto(tmp_path, fleet={'one': [CODER]}, more=f'\tauto {{ hook = "http://127.0.0.1:{hook.server_port}/augment"  hook_timeout = 3s }}\n')
    try:
        assert chosen(f, CODE)[0] == CODER and not hook.seen
        f.ctl('drain', 'one')
        wait_for(lambda: f.instance('one')['wanted'] == 'drain', 5)
        status, body, headers = ask(f, TALK)
        assert status == 200 and body['message']['content'] == 'looked up' and headers['x-tsa-route-reason'] == 'hook'
        path, said, asked = hook.seen[-1]
        assert path == '/augment' and asked['messages'][0]['content'] == TALK
        assert said['X-TSA-Path'] == '/api/chat' and said['X-TSA-Category'] == 'general' and said['X-TSA-Request-Id'] == headers['x-tsa-request-id']
        assert f.counters()['auto_hook'] == 1
        n = len(hook.seen)
        assert ask(f, TALK, model=CODER)[0] == 503 and len(hook.seen) == n  # whoever names a model wants that model
        hook.status = 500
        status, body, headers = ask(f, TALK)
        assert status == 503 and 'the hook did not: it said 500' in body['error'] and headers['retry-after']
        hook.status = None
        assert ask(f, TALK)[0] == 503
        hook.shutdown()
        hook.server_close()
        status, body, headers = ask(f, TALK)
        assert status == 503 and 'no connection' in body['error'] or 'cannot connect' in body['error']
        f.wait_balance()
    finally:
        hook.shutdown()
        hook.server_close()
        f.stop()


def test_the_operators_word_counts(tmp_path):
    f = Auto(tmp_path, registry=False)
    try:
        assert chosen(f, CODE)[0] == CODER  # by its name alone
        top = f'model "{CODER}" {{\n\tauto = no\n}}\nmodel "{MATH}" {{\n\tcategories = {{code}}\n}}\ndefault_model = "{SEES}"\n'
        assert f.reload(top=top).returncode == 0
        wait_for(lambda: chosen(f, CODE)[0] == MATH, 5)
        assert chosen(f, TALK)[0] == SEES
    finally:
        f.stop()


def test_the_choice_can_be_switched_off_and_on(tmp_path):
    f = Auto(tmp_path)
    try:
        assert chosen(f, CODE)[0] == CODER
        assert f.reload('\tauto {\n\t\tenabled = no\n\t}\n', top=f'default_model = "{MATH}"\n').returncode == 0
        wait_for(lambda: chosen(f, CODE)[0] == MATH, 5)
        for text in (CODE, SUM, TALK):
            model, headers = chosen(f, text)
            assert model == MATH and 'x-tsa-category' not in headers
        status, body, _ = call(f.port, 'POST', '/api/embed', {'model': 'auto', 'input': CODE})
        assert status == 200 and json.loads(body)['model'] == EMBED
        status, body, _ = call(f.port, 'POST', '/api/intelligent-route', {'query': CODE})
        assert status == 200 and json.loads(body)['selected_model'] == MATH
        said = json.loads(f.ctl('-j', 'explain', CODE).stdout)
        assert said['model'] == MATH and 'models' not in said and 'routing.auto.enabled' in said['note']
        assert f.reload().returncode == 0
        wait_for(lambda: chosen(f, CODE)[0] == CODER, 5)
    finally:
        f.stop()


def test_tags_of_instances_reach_the_decision(tmp_path):
    """One model everywhere: who carries the tag of a category that is sure gets its questions; whoever lacks a tag gets the others as well."""
    f = Auto(tmp_path, fleet={'a': [GENERAL], 'b': [GENERAL]}, own={'b': '\ttags = {code}\n'})
    try:
        for name in ('a', 'b'):
            f.ctl('warm', name, GENERAL, '--wait')
        def where(text):
            return {chosen(f, text)[1]['x-tsa-instance'] for _ in range(8)}
        wait_for(lambda: where(TALK) == {'a', 'b'}, 10)
        assert where(CODE) == {'b'}
        f.ctl('drain', 'b')
        wait_for(lambda: where(CODE) == {'a'}, 5)  # wanted, not needed
    finally:
        f.stop()


@pytest.fixture
def pair(tmp_path):
    """One model on a and b, and only b carries the tag of code; asks(text) sends a request and leaves it open."""
    f, asked = Auto(tmp_path, fleet={'a': [GENERAL], 'b': [GENERAL]}, own={'b': '\ttags = {code}\n'}), []

    def asks(text, model='auto'):
        c = http.client.HTTPConnection('127.0.0.1', f.port, timeout=60)
        c.request('POST', '/api/chat', json.dumps({'model': model, 'messages': [{'role': 'user', 'content': text}], 'stream': False}))
        asked.append(c)
        return c

    def answer(c):
        r = c.getresponse()
        return r.status, r.headers['x-tsa-instance']
    f.asks, f.answer = asks, answer
    yield f
    for c in asked:
        c.close()
    f.stop()


LONG = ' sim:tokens=600 sim:delay=100ms'


def waiting(f, n):
    wait_for(lambda: f.counters()['waiting'] == n, 10)


def test_a_crowd_for_one_instance_leaves_the_other_alone(pair):
    """More than one turn of the queue looks at wait for the only instance with their tag: who may go elsewhere does."""
    f = pair
    for name in ('a', 'b'):
        f.ctl('warm', name, GENERAL, '--wait')
    for n in range(2):
        f.asks(CODE + LONG)
        wait_for(lambda n=n: f.instance('b')['in_flight'] == n + 1, 10)
    holders = [f.asks('hello sim:tokens=20 sim:delay=100ms', model=GENERAL) for _ in range(2)]
    wait_for(lambda: f.instance('a')['in_flight'] == 2, 10)
    for n in range(40):
        f.asks(CODE)
    waiting(f, 40)
    last = f.asks('hello again', model=GENERAL)
    waiting(f, 41)
    assert [f.answer(c) for c in holders] == [(200, 'a')] * 2
    assert f.answer(last) == (200, 'a')
    assert f.counters()['waiting'] == 40 and f.instance('b')['in_flight'] == 2


def test_what_only_a_cold_instance_may_do_is_loaded_there(pair):
    f = pair
    f.ctl('warm', 'a', GENERAL, '--wait')
    f.ctl('unload', 'b', GENERAL, '--wait')
    for n in range(2):
        f.asks('hello' + LONG, model=GENERAL)
    wait_for(lambda: f.instance('a')['in_flight'] == 2, 10)
    assert f.answer(f.asks(CODE)) == (200, 'b')


@pytest.mark.parametrize('spread', ['off', '1h'])
def test_a_tag_that_nobody_has_any_more_is_given_up(pair, spread):
    f = pair
    assert f.reload(f'\tspread = {spread}\n').returncode == 0
    for name in ('a', 'b'):
        f.ctl('warm', name, GENERAL, '--wait')
    for n in range(2):
        f.asks(CODE + LONG)
        wait_for(lambda n=n: f.instance('b')['in_flight'] == n + 1, 10)
    c = f.asks(CODE)
    waiting(f, 1)
    f.ctl('drain', 'b')
    assert f.answer(c) == (200, 'a')


def test_a_start_with_a_broken_file_is_refused(tmp_path):
    conf, tree = tmp_path / 'tsa.conf', tmp_path / 'tree.json'
    conf.write_text(f'listen = {{"127.0.0.1:{free_port()}"}}\nstate_dir = "{tmp_path}/state"\nrouting {{ categories = "{tree}" }}\n'
                    'instance "a" { url = "http://127.0.0.1:9" }\n')
    for text, place in ((None, f'{tree}: '), ('{"categories": [}', f'{tree}:1:'), ('[]', f'{tree}:1:1: ')):
        if text:
            tree.write_text(text)
        for options in (['-n'], []):
            r = subprocess.run([BUILD / 'tsad', '-c', conf, *options], capture_output=True, text=True, timeout=60)
            assert r.returncode == 1 and place in r.stderr, r
    tree.write_text('{"categories": {}}')
    assert subprocess.run([BUILD / 'tsad', '-n', '-c', conf], capture_output=True, timeout=60).returncode == 0


def test_explain_a_prompt(fleet):
    said = json.loads(fleet.ctl('-j', 'explain', CODE).stdout)
    assert said['model'] == CODER and said['prompt']['category'] == 'code' and said['prompt']['cues']
    assert said['models'][0]['model'] == CODER and said['models'][0]['link'] == 'parent-category' and said['models'][0]['registry'] == 'qwen2.5-coder-7b-instruct'
    excluded = {m['model']: m['excluded'] for m in said['models'] if m['excluded']}
    assert excluded[EMBED] == 'embedding-only' and excluded[GUARD] == 'tool'
    d = said['decision']
    assert d['verdict'] in ('take', 'load') and d['winner'] == 'work' and set(d['weights']) == set(d['instances'][0]['terms'])
    before = fleet.counters()
    text = fleet.ctl('explain', TALK).stdout
    assert 'category    general' in text and GENERAL in text and 'embedding-only' in text and 'talk' in text and 'latency' in text
    assert fleet.counters()['auto_asked'] == before['auto_asked']  # nobody has asked for anything
    for odd in ('x' * 3000, 'é' * 1000, '\x01', '-'):
        assert fleet.ctl('explain', '--', odd).stdout


def test_explain_a_request(fleet):
    headers = chosen(fleet, CODE)[1]
    said = json.loads(fleet.ctl('-j', 'explain', '--request', headers['x-tsa-request-id']).stdout)
    assert said['auto'] and said['category'] == 'code' and said['decision']['model'] == CODER and said['decision']['winner'] == headers['x-tsa-instance']
    assert said['decision']['reason'] == headers['x-tsa-route-reason']
    assert headers['x-tsa-request-id'] in fleet.ctl('explain', '--request', headers['x-tsa-request-id']).stdout
    r = fleet.ctl('explain', '--request', '0123456789abcdef', check=False)
    assert r.returncode == 1 and 'no router remembers' in r.stderr
    for malformed in ('nonsense', '0', '0123456789abcdeg'):
        r = fleet.ctl('explain', '--request', malformed, check=False)
        assert r.returncode == 2 and 'is no id of a request' in r.stderr
    assert fleet.ctl('explain', '', check=False).returncode == 2
    assert fleet.ctl('explain', check=False).returncode == 2
    assert fleet.ctl('explain', '--request', '1', 'and a prompt', check=False).returncode == 2


def test_a_reload_with_a_broken_file_changes_nothing(fleet):
    good = fleet.registry.read_text()
    try:
        fleet.registry.write_text('{"models": [{"name": "x",}]}')
        r = fleet.reload()
        assert r.returncode != 0 and f'{fleet.registry}:1:' in r.stderr + r.stdout
        assert chosen(fleet, CODE)[0] == CODER
        fleet.registry.write_text(good.replace('"gpu_memory": "4GB"', '"gpu_memory": "a lot"', 1))
        assert fleet.reload().returncode == 0  # an entry that cannot be used is a warning
        assert f'{fleet.registry}:' in fleet.tsad.text() and 'a lot' in fleet.tsad.text()
        fleet.registry.unlink()
        r = fleet.reload()
        assert r.returncode != 0 and str(fleet.registry) in r.stderr + r.stdout
    finally:
        fleet.registry.write_text(good)
    weights = fleet.tmp / 'weights'
    weights.write_bytes((ROOT / 'etc/classifier.weights').read_bytes()[:-1] + b'\xff')
    r = fleet.reload(f'\tclassifier = "{weights}"\n')
    assert r.returncode != 0 and str(weights) in r.stderr + r.stdout
    assert fleet.reload().returncode == 0
    assert chosen(fleet, CODE)[0] == CODER
