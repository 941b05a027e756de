"""Signs of life for those who wait with an event stream: what they look like, who gets none, and that official clients accept them."""
import json
import socket
import threading
import time

import anthropic
import openai
import pytest
from fabric import PATIENCE, chat, wait_for

MODEL = 'sim-chat:latest'
SHORT = [{'role': 'user', 'content': 'sim:tokens=5'}]
STREAMS = ('/v1/chat/completions', '/v1/responses', '/v1/messages')


@pytest.fixture
def busy(sims, fabrics):
    """busy(seconds, text): one place, taken for about so long, and signs of life ten times a second."""
    s = sims(1)
    held = []

    def make(seconds, text=''):
        f = fabrics(conf=f'routing {{ keepalive = 100ms }}\n{text}\ninstance "i0" {{ url = "http://127.0.0.1:{s.port}" slots = 1 }}\n')
        held.append(threading.Thread(target=chat, args=(f.port, f'sim:tokens={int(seconds * 20)} sim:delay=50ms')))
        held[-1].start()
        wait_for(lambda: f.counters()['active'] == 1, 5, 'the place is taken')
        return f
    yield make
    for t in held:
        t.join(60 * PATIENCE)


def raw(port, path, version='1.1', **more):
    """All bytes of an answer, and the seconds until the first of them."""
    body = {'model': MODEL, 'max_tokens': 50, 'messages': SHORT, 'input': 'sim:tokens=5', 'stream': True, **more}
    data = json.dumps(body).encode()
    with socket.create_connection(('127.0.0.1', port), timeout=60) as s:
        start = time.monotonic()
        s.sendall(f'POST {path} HTTP/{version}\r\nHost: localhost\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n'.encode() + data)
        got, first = b'', None
        while part := s.recv(65536):
            first = first or time.monotonic() - start
            got += part
    return got, first


@pytest.mark.parametrize('path', STREAMS)
def test_who_waits_with_an_event_stream_hears_of_it(busy, path):
    f = busy(1.5)
    got, first = raw(f.port, path)
    head, body = got.split(b'\r\n\r\n', 1)
    assert head.startswith(b'HTTP/1.1 200') and b'text/event-stream' in head and b'X-TSA-Queue-Position: 1' in head, head
    assert first < 1.4 * PATIENCE and body.count(b': waits, position 1, about ') >= 2, got
    assert (b'event: ping\ndata: {"type": "ping"}\n\n' in body) == (path == '/v1/messages')
    assert b'HTTP/1.1' not in body and body.endswith(b'\r\n0\r\n\r\n'), got
    c = f.wait_balance()
    assert (c['failed'], c['refused_429'], c['aborted']) == (0, 0, 0), c


@pytest.mark.parametrize('path, more', [('/api/chat', {}), ('/v1/messages', {'stream': False}), ('/v1/chat/completions', {'version': '1.0'})])
def test_where_the_dialect_has_none_there_is_silence(busy, path, more):
    """JSON lines, an answer in one piece, and a client of HTTP/1.0, to whom a length or an end of the connection must be announced."""
    got, _ = raw(busy(0.8).port, path, **more)
    assert b'position 1, about' not in got and b'ping' not in got and b' 200 ' in got[:20] and b'X-TSA-Instance: i0' in got, got


def test_official_clients_pass_over_them(busy):
    f = busy(1.5)
    o = openai.OpenAI(base_url=f'http://127.0.0.1:{f.port}/v1', api_key='x', max_retries=0)
    a = anthropic.Anthropic(base_url=f'http://127.0.0.1:{f.port}', api_key='x', max_retries=0)
    got = {}

    def run_chat():
        got['chat'] = ''.join(x.choices[0].delta.content or '' for x in o.chat.completions.create(model=MODEL, messages=SHORT, stream=True) if x.choices)

    def run_responses():
        got['responses'] = [x for x in o.responses.create(model=MODEL, input='sim:tokens=5', stream=True)][-1].response.output_text

    def run_messages():
        with a.messages.stream(model=MODEL, max_tokens=50, messages=SHORT) as s:
            got['messages'] = s.get_final_text()
    threads = [threading.Thread(target=x) for x in (run_chat, run_responses, run_messages)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60 * PATIENCE)
    assert set(got) == {'chat', 'responses', 'messages'} and all(got.values()), got


def test_what_goes_wrong_later_is_said_in_the_stream(busy):
    """The place is taken for longer than anybody may wait, and nobody could know: an error event, not an end."""
    f = busy(10, 'deadlines { total = 2s }')
    o = openai.OpenAI(base_url=f'http://127.0.0.1:{f.port}/v1', api_key='x', max_retries=0)
    a = anthropic.Anthropic(base_url=f'http://127.0.0.1:{f.port}', api_key='x', max_retries=0)
    with pytest.raises(openai.APIError) as e:
        list(o.chat.completions.create(model=MODEL, messages=SHORT, stream=True))
    assert 'no place became free' in str(e.value) and '(status 429)' in str(e.value)
    with pytest.raises(anthropic.APIStatusError) as e, a.messages.stream(model=MODEL, max_tokens=50, messages=SHORT) as s:
        s.get_final_text()
    assert 'no place became free' in str(e.value)
    assert f.wait_balance(10)['refused_429'] == 2


def test_an_error_of_the_instance_is_said_in_the_stream(sims, fabrics):
    s = sims(1)
    f = fabrics(conf=f'routing {{ keepalive = 100ms }}\ninstance "i0" {{ url = "http://127.0.0.1:{s.port}" slots = 1 }}\n')
    hold = threading.Thread(target=chat, args=(f.port, 'sim:tokens=20 sim:delay=50ms'))
    hold.start()
    wait_for(lambda: f.counters()['active'] == 1, 5, 'the place is taken')
    s.fault(kind='error', status=400, count=1, message='invalid format')
    got, _ = raw(f.port, '/v1/chat/completions')
    hold.join()
    body = got.split(b'\r\n\r\n', 1)[1]
    assert got.startswith(b'HTTP/1.1 200') and b'data: {"error":{"message":' in body and b'invalid format' in body and b'(status 400)' in body, got
    assert b'[DONE]' not in body and body.endswith(b'0\r\n\r\n')
