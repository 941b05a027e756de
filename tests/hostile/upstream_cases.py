"""Hostile and odd answers of a model server: bytes that origin.py sends instead of a good answer to one inference request.

  expect 'ok'       the client gets a complete answer
  expect '502'      nothing was passed on yet, so the client gets a 502 in its dialect
  expect 'either'   'ok' or 'broken'
  expect 'broken'   output had begun: the client must see that the stream broke (an error object or a cut connection), and no final object;
                    a 502 will do as well, where the router had not begun to pass on

Whatever the case: the connection to the model server is not used again unless `reused`, nothing after the end of the answer reaches any
client, and the next request on a fresh connection is served.  Each case is played for a request with "stream": `stream`.
"""
from typing import NamedTuple


class Case(NamedTuple):
    id: str
    raw: list
    expect: str
    note: str = ''
    then: str = 'close'  # after the bytes: close, reset, hold (keep open and silent) or keep (as between requests)
    stream: bool = True
    reused: bool = False
    early: bool = False  # sent after the request's head, before its body was read


OK = b'HTTP/1.1 200 OK\r\n'
NDJSON = b'Content-Type: application/x-ndjson\r\n'
JSON = b'Content-Type: application/json; charset=utf-8\r\n'
TE = b'Transfer-Encoding: chunked\r\n'
LINE = b'{"model":"origin:latest","created_at":"2026-01-01T00:00:00Z","response":"one","done":false}\n'
LAST = b'{"model":"origin:latest","created_at":"2026-01-01T00:00:01Z","response":"","done":true,"done_reason":"stop","eval_count":1}\n'
ONE = b'{"model":"origin:latest","created_at":"2026-01-01T00:00:01Z","response":"one","done":true,"done_reason":"stop"}'


def chunk(data):
    return b'%x\r\n%s\r\n' % (len(data), data)


def head(*lines, status=OK):
    return status + b''.join(lines) + b'\r\n'


def single(*lines, body=ONE, status=OK):
    return head(JSON, *lines, status=status) + body


def length(n=len(ONE)):
    return b'Content-Length: %d\r\n' % n


STREAM = head(NDJSON, TE)
END = b'0\r\n\r\n'


def good():
    yield Case('stream', [STREAM, chunk(LINE), chunk(LAST), END], 'ok', then='keep', reused=True)
    yield Case('stream-in-single-bytes', [bytes([b]) for b in STREAM + chunk(LINE) + chunk(LAST) + END], 'ok', then='keep', reused=True)
    yield Case('stream-in-odd-chunks', [STREAM, chunk(LINE[:7]), chunk(LINE[7:] + LAST[:30]), chunk(LAST[30:]), END], 'ok', then='keep', reused=True)
    yield Case('single', [single(length())], 'ok', then='keep', stream=False, reused=True)
    yield Case('single-chunked', [head(JSON, TE) + chunk(ONE) + END], 'ok', then='keep', stream=False, reused=True)
    yield Case('single-until-close', [single()], 'ok', 'HTTP/1.0 manners; only the close tells the end', stream=False)
    yield Case('http10-until-close', [single(status=b'HTTP/1.0 200 OK\r\n')], 'ok', stream=False)
    yield Case('connection-close', [single(length(), b'Connection: close\r\n')], 'ok', stream=False)
    yield Case('continue-first', [b'HTTP/1.1 100 Continue\r\n\r\n', single(length())], 'ok', 'an interim answer nobody asked for is passed over',
               then='keep', stream=False, reused=True)
    yield Case('hints-first', [b'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n', single(length())], 'ok', then='keep', stream=False, reused=True)
    yield Case('many-cookies', [single(length(), *[b'Set-Cookie: a=%d; path=/\r\n' % i for i in range(40)])], 'ok',
               'CVE-2022-0711: a loop over response cookies', then='keep', stream=False, reused=True)


def heads():
    def bad(name, raw, note='', **more):
        return Case(name, [raw], '502', note, stream=False, **more)
    n = length()
    yield bad('two-lengths', single(n, length(5)))
    yield bad('two-equal-lengths', single(n, n))
    yield bad('length-list', single(b'Content-Length: 5, 5\r\n'))
    yield bad('length-plus', single(b'Content-Length: +5\r\n'))
    yield bad('length-empty', single(b'Content-Length:\r\n'), 'CVE-2023-40225')
    yield bad('length-overflow', single(b'Content-Length: 18446744073709551621\r\n'))
    yield bad('length-and-coding', single(n, TE, body=chunk(ONE) + END), 'RELAYD-001, CVE-2026-63382')
    yield bad('two-codings', single(TE, TE, body=chunk(ONE) + END))
    yield bad('coding-gzip', single(b'Transfer-Encoding: gzip, chunked\r\n', body=chunk(ONE) + END))
    yield bad('coding-identity', single(b'Transfer-Encoding: identity\r\n'))
    yield bad('coding-http10', single(TE, body=chunk(ONE) + END, status=b'HTTP/1.0 200 OK\r\n'))
    yield bad('obs-fold', single(n, b'X: a\r\n b\r\n'), 'CVE-2026-63385')
    yield bad('nul-in-value', single(n, b'X: a\x00b\r\n'), 'GHSA-g8g4-m98c-cwgh')
    yield bad('control-byte-in-value', single(n, b'X: \x1b[2J\r\n'))
    yield bad('empty-name', single(n, b': a\r\n'), 'CVE-2023-25725')
    yield bad('no-colon', single(n, b'Xabc\r\n'))
    yield bad('blank-before-colon', single(b'Content-Length : 5\r\n'))
    yield bad('lf-only', single(n).replace(b'\r\n', b'\n'))
    yield bad('cr-in-value', single(n, b'X: a\rSet-Cookie: b\r\n'), 'response splitting')
    yield bad('many-headers', single(n, *[b'X-%d: a\r\n' % i for i in range(500)]))
    yield bad('large-header', single(n, b'X: ' + b'a' * 300000 + b'\r\n'))
    yield Case('endless-header', [OK + b'X: '] + [b'a' * 4096] * 200, '502', 'never ends', then='hold', stream=False)
    yield Case('endless-headers', [OK] + [b'X: a\r\n' * 100] * 100, '502', then='hold', stream=False)
    yield Case('continue-flood', [b'HTTP/1.1 100 Continue\r\n\r\n' * 500] * 20, '502', '1xx without end', then='hold', stream=False)
    yield bad('switching', b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n')
    yield bad('continue-with-length', b'HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n' + single(n))
    yield bad('no-content-with-length', head(length(5), status=b'HTTP/1.1 204 No Content\r\n') + b'hello')
    yield bad('http09', b'hello, this is a body and nothing else\n')
    yield bad('http20', single(n, status=b'HTTP/2.0 200 OK\r\n'))
    yield bad('http19', single(n, status=b'HTTP/1.9 200 OK\r\n'))
    yield bad('status-two-digits', single(n, status=b'HTTP/1.1 20 OK\r\n'))
    yield bad('status-four-digits', single(n, status=b'HTTP/1.1 2000 OK\r\n'))
    yield bad('status-letters', single(n, status=b'HTTP/1.1 2x0 OK\r\n'))
    yield bad('status-zero', single(n, status=b'HTTP/1.1 000 OK\r\n'))
    yield bad('status-no-blank', single(n, status=b'HTTP/1.1 200\r\n'))
    yield bad('status-two-blanks', single(n, status=b'HTTP/1.1  200 OK\r\n'))
    yield bad('empty-line-first', b'\r\n' + single(n))
    yield bad('tls-alert', b'\x15\x03\x01\x00\x02\x02\x46')
    yield Case('nothing', [], '502', 'closed without a byte', stream=False)
    yield Case('nothing-reset', [], '502', 'reset without a byte', then='reset', stream=False)
    yield Case('half-a-status-line', [b'HTTP/1.1 20'], '502', stream=False)
    yield Case('half-a-head', [OK + JSON], '502', stream=False)
    yield Case('head-reset', [OK + JSON], '502', then='reset', stream=False)


def bodies():
    def bad(name, *raw, note='', then='close', stream=True):
        return Case(name, [STREAM, *raw] if stream else list(raw), 'broken', note, then=then, stream=stream)
    yield bad('close-in-a-chunk', chunk(LINE), b'50\r\n{"model"')
    yield bad('reset-in-a-chunk', chunk(LINE), b'50\r\n{"model"', then='reset')
    yield bad('close-between-chunks', chunk(LINE))
    yield bad('close-before-any-chunk')
    yield bad('clean-end-without-final', chunk(LINE), END, note='what Ollama does when its runner dies: perfect framing, no final object', then='keep')
    yield bad('clean-end-in-a-line', chunk(LINE), chunk(LAST[:40]), END, then='keep')
    yield bad('error-line', chunk(LINE), chunk(b'{"error":"an error was encountered while running the model: unexpected EOF"}\n'), END, then='keep',
              note='is passed on')
    yield bad('final-only-in-text', chunk(LINE), chunk(b'{"response":"\\"done\\":true}","done":false}\n'), END, then='keep')
    yield bad('final-one-level-down', chunk(LINE), chunk(b'{"a":{"done":true},"done":false}\n'), END, then='keep')
    yield bad('chunk-0x', chunk(LINE), b'0x5\r\nhello\r\n', END, note='libevent-1542')
    yield bad('chunk-plus', chunk(LINE), b'+5\r\nhello\r\n', END)
    yield bad('chunk-letters', chunk(LINE), b'zz\r\nhello\r\n', END)
    yield bad('chunk-empty-size', chunk(LINE), b'\r\nhello\r\n', END)
    yield bad('chunk-negative', chunk(LINE), b'-5\r\nhello\r\n', END, note='CVE-2013-2028')
    yield bad('chunk-overflow', chunk(LINE), b'10000000000000005\r\nhello\r\n', END, note='2^64 + 5')
    yield bad('chunk-endless-size', chunk(LINE), b'0' * 5000, then='hold', note='haproxy-chunk-line')
    yield bad('chunk-extension', chunk(LINE), b'5;a=b\r\nhello\r\n', END)
    yield bad('chunk-size-lf', chunk(LINE), b'5\nhello\r\n', END)
    yield bad('chunk-data-lf', chunk(LINE), b'5\r\nhello\n', END)
    yield bad('chunk-longer', chunk(LINE), b'4\r\nhello\r\n', END)
    yield bad('chunk-first-is-bad', b'xyz\r\n', note='before anything was passed on')
    yield Case('trailer-after-final', [STREAM, chunk(LINE), chunk(LAST), b'0\r\nSet-Cookie: a\r\n\r\n'], 'either',
               'CVE-2026-63379; the final object came, the framing broke after it')
    yield bad('short-length', head(JSON, length(len(ONE) + 10)) + ONE, stream=False, note='the length promises more than comes')
    yield bad('short-length-reset', head(JSON, length(len(ONE) + 10)) + ONE, stream=False, then='reset')
    yield bad('chunked-cut', head(JSON, TE) + chunk(ONE), stream=False, note='the last chunk never comes')


def after_the_end():
    evil = b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled'
    yield Case('junk-after-length', [single(length()) + evil], 'ok', 'an answer to a request that was never sent', then='hold', stream=False)
    yield Case('junk-after-chunks', [STREAM, chunk(LINE), chunk(LAST), END + evil], 'ok', then='hold')
    yield Case('junk-later', [single(length()), evil], 'ok', 'arrives while the connection is idle: it must leave the pool', then='keep', stream=False)
    yield Case('junk-after-no-content', [b'HTTP/1.1 204 No Content\r\n\r\n' + evil], 'ok', then='hold', stream=False)
    yield Case('one-byte-after', [single(length()) + b'\n'], 'ok', then='hold', stream=False)
    yield Case('early-answer', [single(length())], 'ok', 'answers while the request is still coming in', then='hold', stream=False, early=True)


CASES = [c for part in (good, heads, bodies, after_the_end) for c in part()]

assert len({c.id for c in CASES}) == len(CASES), 'ids repeat'
