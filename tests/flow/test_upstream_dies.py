"""An Ollama that dies at every byte of its answer, or says nothing at all: what the client is told, and that its place is free again."""
import concurrent.futures
import json
import socket
import sys

import pytest
from fabric import LONG, ROOT, Stopwatch, wait_for
from test_edges import front, generate, one, origins  # noqa: F401 - fixtures
from test_hostile_upstream import LANES, fleet  # noqa: F401 - fixture

sys.path.insert(0, str(ROOT / 'tests' / 'hostile'))
from origin import chunk  # noqa: E402

LINES = [b'{"response":"one","done":false}\n', b'{"response":" two","done":false}\n', b'{"response":"","done":true,"done_reason":"stop"}\n']
HEAD = b'HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n'
STREAM = HEAD + b''.join(map(chunk, LINES)) + b'0\r\n\r\n'
BODY = b'{"response":"one two","done":true}'
FULL = STREAM.index(LINES[2]) + len(LINES[2]) - 1  # the object is whole; the newline after it says nothing
WHOLE = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n' % len(BODY) + BODY


def line_of(text):
    try:
        return json.loads(text)
    except ValueError:
        return {'torn': text}


def lines_of(t):
    body = t.answers[0].body if t.answers else t.rest.partition(b'\r\n\r\n')[2]
    return [line_of(x) for x in body.replace(b'\r\n', b'\n').split(b'\n') if x.startswith(b'{')]


def judge_stream(at, t):
    """What is wrong with what the client got of a stream that died there, or None."""
    got = lines_of(t)
    text, done = ''.join(x.get('response', '') for x in got), [x for x in got if x.get('done')]
    if not done:
        told = got and 'error' in got[-1] or t.end in ('closed', 'reset')
        return None if told and at <= len(STREAM) - 5 and 'one two three' not in text else ('not told', at, t)
    if len(done) > 1 or done[0] != got[-1] or [x for x in got if 'error' in x]:
        return 'an end beside an error', at, t
    again = text == 'one two three' and at < len(HEAD) + len(chunk(LINES[0]))
    return None if again or text == 'one two' and at >= FULL else ('an end that is none', at, t)


def judge_answer(at, t):
    if not t.answers:
        return None if t.end in ('closed', 'reset') and at < len(WHOLE) else ('no word', at, t)
    if t.answers[0].status != 200:
        return None if t.answers[0].status == 502 and t.answers[0].error() else ('another error', at, t)
    text = json.loads(t.answers[0].body)['response']
    return None if text == 'one two three' and at < len(WHOLE) or text == 'one two' and at == len(WHOLE) else ('part of an answer', at, t)


def play(lane, cases):
    wrong = []
    for raw, at, how in cases:
        wait_for(lane.clean, 20, 'the pause after the last failure is over')
        lane.origin.answer_next([raw[:at]] if at else [], how)
        t = lane.ask(stream=raw is STREAM)
        lane.origin.script.clear()
        wrong.append((judge_stream if raw is STREAM else judge_answer)(at, t))
    return [w for w in wrong if w]


@pytest.mark.promise(10)
def test_an_answer_that_dies_at_every_byte(fleet):  # noqa: F811
    """The end mark of a stream reaches the client only if all of it came; an answer is whole or visibly none; before the first byte another attempt may
    succeed.  By default at every eleventh byte."""
    cases = [(raw, at, how) for raw in (STREAM, WHOLE) for how in ('close', 'reset') for at in range(0, len(raw) + 1, 1 if LONG else 11)]
    cases += [(STREAM, FULL - 1, 'close'), (STREAM, FULL, 'close'), (WHOLE, len(WHOLE), 'close')]
    with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
        wrong = [w for ws in pool.map(play, fleet.lanes, [cases[i::LANES] for i in range(LANES)]) for w in ws]
    assert not wrong, wrong[:3]
    fleet.check()


@pytest.mark.promise(11)
def test_silence_of_every_instance_is_504_and_costs_no_place(front):  # noqa: F811
    """They take the request and say nothing: 504 within `total`, and the places are free again."""
    f = front('deadlines { first_byte = 1s total = 2s }\nrouting { breaker { failures = 1000 pause = 10ms longest = 10ms } }', n=2, places=1)
    for o in f.origins:
        for _ in range(4):
            o.answer_next([], 'hold')
    since = Stopwatch()
    t = one(f.port, generate(stream=True), quiet=20)
    assert t.answers[0].status == 504 and t.answers[0].error() and since.seconds() < 4, t
    for o in f.origins:
        o.script.clear()
    wait_for(lambda: all(i['in_flight'] == 0 for i in f.status()['instances']), 5, 'the places are free')
    wait_for(lambda: one(f.port, generate()).answers[0].status == 200, 10, 'and used')


@pytest.mark.promise(11)
def test_a_client_that_leaves_a_silent_instance(front):  # noqa: F811
    """Upstream is closed within a second or two, as parking allows, and the place is free."""
    f = front('deadlines { first_byte = 60s }', places=1)
    f.origins[0].answer_next([], 'hold')
    with socket.create_connection(('127.0.0.1', f.port)) as s:
        s.sendall(generate(stream=True))
        wait_for(lambda: f.origins[0].played, 5, 'the instance has it')
    since = Stopwatch()
    wait_for(lambda: f.origins[0].played[-1] not in f.origins[0].open, 10, 'upstream is closed')
    print(f'closed after {since.wall():.1f} s')
    wait_for(lambda: one(f.port, generate(), quiet=5).answers[0].status == 200, 10, 'the next one has the place')


@pytest.mark.promise(12)
def test_a_stream_that_stops_in_the_middle_frees_its_place(front):  # noqa: F811
    f = front('deadlines { gap = 1s }', places=1)
    f.origins[0].answer_next([HEAD + chunk(LINES[0])], 'hold')
    since = Stopwatch()
    t = one(f.port, generate(stream=True), quiet=20)
    assert lines_of(t)[0]['response'] == 'one' and 'gap' in lines_of(t)[-1]['error'] and since.seconds() < 3
    assert f.origins[0].played[-1] not in f.origins[0].open or wait_for(lambda: f.origins[0].played[-1] not in f.origins[0].open, 5, 'upstream is closed')
    assert one(f.port, generate()).answers[0].status == 200
