"""The strict origin is itself strict, and the tables are sound: what is proved with them is proved with sharp tools."""
import json
import pathlib
import socket
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import request_cases  # noqa: E402
import upstream_cases  # noqa: E402
from origin import Origin  # noqa: E402

HOST = b'Host: 127.0.0.1:1\r\n'
GENERATE = b'{"model":"origin:latest","prompt":"x"}'


@pytest.fixture
def origin():
    o = Origin().start()
    yield o
    o.stop()


def talk(o, raw, until=b''):
    """What comes back before the connection ends, or before `until` was seen."""
    with socket.create_connection(('127.0.0.1', o.port), timeout=10) as s:
        s.sendall(raw)
        out = b''
        while not until or until not in out:
            data = s.recv(65536)
            if not data:
                break
            out += data
        return out


def post(path, body, *headers):
    return b'POST %s HTTP/1.1\r\n%s%sContent-Length: %d\r\n\r\n%s' % (path, HOST, b''.join(headers), len(body), body)


def wait_for(fact):
    deadline = time.monotonic() + 10
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize('path', [b'/api/version', b'/api/tags', b'/api/ps', b'/'])
def test_status_routes(origin, path):
    out = talk(origin, b'GET %s HTTP/1.1\r\n%sConnection: close\r\n\r\n' % (path, HOST))
    assert out.startswith(b'HTTP/1.1 200 OK\r\n') and not origin.unclean


def test_streams(origin):
    out = talk(origin, post(b'/api/generate', GENERATE), b'0\r\n\r\n')
    assert out.count(b'"done":false') == 3 and b'"done":true' in out
    assert [r.json()['prompt'] for r in origin.requests] == ['x'] and origin.requests[0].target == '/api/generate'


def test_chat_single_embed_show_load(origin):
    chat = json.dumps({'model': 'origin:latest', 'messages': [{'role': 'user', 'content': 'x'}], 'stream': False}).encode()
    for path, body, mark in ((b'/api/chat', chat, b'one two three'), (b'/api/embed', b'{"model":"m","input":["a","b"]}', b'[0.6,0.8],[0.6,0.8]'),
                             (b'/api/show', b'{"model":"m"}', b'capabilities'), (b'/api/generate', b'{"model":"m"}', b'"done_reason":"load"')):
        assert mark in talk(origin, post(path, body, b'Connection: close\r\n'))
    assert not origin.unclean


def test_chunked_request(origin):
    head = b'POST /api/generate HTTP/1.1\r\n' + HOST + b'Transfer-Encoding: chunked\r\n\r\n'
    talk(origin, head + b'%x\r\n%s\r\n0\r\n\r\n' % (len(GENERATE), GENERATE), b'0\r\n\r\n')
    assert origin.requests[0].body == GENERATE and not origin.unclean


@pytest.mark.parametrize('raw', [
    b'GET /api/tags HTTP/1.0\r\n' + HOST + b'\r\n',
    b'GET /api/tags HTTP/1.1\r\n\r\n',
    b'GET /api/tags HTTP/1.1\r\n' + HOST + HOST + b'\r\n',
    b'GET /api/tags HTTP/1.1\r\nHost: u@h\r\n\r\n',
    b'GET  /api/tags HTTP/1.1\r\n' + HOST + b'\r\n',
    b'GET /api/t#gs HTTP/1.1\r\n' + HOST + b'\r\n',
    b'GET http://h/ HTTP/1.1\r\n' + HOST + b'\r\n',
    b'\r\nGET /api/tags HTTP/1.1\r\n' + HOST + b'\r\n',
    b'GET /api/tags HTTP/1.1\r\n' + HOST + b'X : a\r\n\r\n',
    b'GET /api/tags HTTP/1.1\r\n' + HOST + b'X: a\r\n b\r\n\r\n',
    b'GET /api/tags HTTP/1.1\r\n' + HOST + b'X: a\x00\r\n\r\n',
    b'GET /api/tags HTTP/1.1\r\n' + HOST + b'X: a\nY: b\r\n\r\n',
    b'GET /api/tags HTTP/1.1\r\n' + HOST + b'Upgrade: h2c\r\n\r\n',
    b'GET /api/tags HTTP/1.1\r\n' + HOST + b'Authorization: Bearer x\r\n\r\n',
    b'GET /api/tags HTTP/1.1\r\n' + HOST + b'\r\nGET /smuggled HTTP/1.1\r\n' + HOST + b'\r\n',
    b'POST /api/generate HTTP/1.1\r\n' + HOST + b'\r\n',
    b'POST /api/generate HTTP/1.1\r\n' + HOST + b'Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}',
    b'POST /api/generate HTTP/1.1\r\n' + HOST + b'Content-Length: 02\r\n\r\n{}',
    b'POST /api/generate HTTP/1.1\r\n' + HOST + b'Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    b'POST /api/generate HTTP/1.1\r\n' + HOST + b'Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n',
    b'POST /api/generate HTTP/1.1\r\n' + HOST + b'Transfer-Encoding: chunked\r\n\r\n02\r\n{}\r\n0\r\n\r\n',
    b'POST /api/generate HTTP/1.1\r\n' + HOST + b'Transfer-Encoding: chunked\r\n\r\n2;a\r\n{}\r\n0\r\n\r\n',
    b'POST /api/generate HTTP/1.1\r\n' + HOST + b'Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n',
    b'POST /api/generate HTTP/1.1\r\n' + HOST + b'Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n',
])
def test_unclean(origin, raw):
    talk(origin, raw)
    wait_for(lambda: origin.unclean)


def test_cut_is_not_unclean(origin):
    with socket.create_connection(('127.0.0.1', origin.port)) as s:
        s.sendall(post(b'/api/generate', GENERATE)[:-3])
    wait_for(lambda: origin.cut)
    assert not origin.unclean and not origin.requests


def test_script(origin):
    origin.answer_next([b'HTTP/1.1 500 ', b'x\r\n\r\n'])
    assert b'200 OK' in talk(origin, post(b'/api/generate', b'{"model":"m"}', b'Connection: close\r\n'))  # a warm-up is not for the script
    assert talk(origin, post(b'/api/generate', GENERATE)) == b'HTTP/1.1 500 x\r\n\r\n'
    origin.answer_next([b'early'], early=True)
    assert talk(origin, b'POST /api/chat HTTP/1.1\r\n' + HOST + b'Content-Length: 5\r\n\r\n') == b'early'


def test_tables():
    assert len(request_cases.CASES) > 150 and {c.expect for c in request_cases.CASES} == {'reject', 'refuse', 'accept'}
    assert {c.expect for c in upstream_cases.CASES} == {'ok', '502', 'broken', 'either'}
    assert {c.then for c in upstream_cases.CASES} == {'close', 'reset', 'hold', 'keep'}
    for c in request_cases.CASES:
        assert c.expect == 'accept' or c.upstream == 0
