"""tsa's own hostile and odd requests: one per rule of the codec and one per published flaw of other HTTP software that it answers.

Each case is what one client sends on one connection, byte for byte, before it reads.

  expect 'reject'   the router answers 4xx or 5xx, closes the connection, and nothing of these bytes reaches an instance
  expect 'refuse'   well-formed HTTP that is not served: one 4xx, nothing reaches an instance; the connection may live on
  expect 'accept'   the client reads `answers` complete answers, and an instance receives `upstream` requests
                    (what the answers say is not the point: an unknown route may be a 404)

Every case that tries to hide a second request names it /smuggled, so that one look at the origin's record tells whether it got
through.  `python3 request_cases.py` prints the table as JSON lines, the bytes in base64.
"""
import base64
import json
import sys
from typing import NamedTuple


class Case(NamedTuple):
    id: str
    raw: bytes
    expect: str
    note: str = ''
    answers: int = 1
    upstream: int = 0


HOST = b'Host: localhost\r\n'
JSON = b'Content-Type: application/json\r\n'
BODY = b'{"model":"origin:latest","prompt":"x","stream":false}'
SMUGGLED = b'GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n'


def length(n):
    return b'Content-Length: %d\r\n' % n


def post(*headers, body=BODY, path=b'/api/generate', version=b'HTTP/1.1', host=HOST, method=b'POST'):
    return method + b' ' + path + b' ' + version + b'\r\n' + host + JSON + b''.join(headers) + b'\r\n' + body


def get(path=b'/api/version', *headers, version=b'HTTP/1.1', host=HOST):
    return b'GET ' + path + b' ' + version + b'\r\n' + host + b''.join(headers) + b'\r\n'


def chunked(*sizes_and_data, end=b'0\r\n\r\n'):
    return b''.join(b'%x\r\n%s\r\n' % (len(d), d) for d in sizes_and_data) + end


TE = b'Transfer-Encoding: chunked\r\n'
GOOD = post(length(len(BODY)))


def framing():
    n = len(BODY)
    yield Case('length', GOOD, 'accept', 'the plain case', upstream=1)
    yield Case('length-zeros', post(b'Content-Length: 00%d\r\n' % n), 'accept', 'leading zeros are digits', upstream=1)
    yield Case('chunked', post(TE, body=chunked(BODY[:9], BODY[9:])), 'accept', upstream=1)
    yield Case('chunked-capitals', post(b'transfer-ENCODING: CHUNKED\r\n', body=chunked(BODY)), 'accept', upstream=1)
    yield Case('chunked-leading-zeros', post(TE, body=b'000%x\r\n' % n + BODY + b'\r\n000\r\n\r\n'), 'accept', upstream=1)
    yield Case('pipelined', GOOD + get(), 'accept', 'two requests, two answers', answers=2, upstream=1)
    yield Case('crlf-between', GOOD + b'\r\n' + get(), 'accept', 'one CRLF too many', answers=2, upstream=1)
    yield Case('http10', post(length(n), version=b'HTTP/1.0'), 'accept', upstream=1)
    yield Case('http10-without-host', b'GET /api/version HTTP/1.0\r\n\r\n', 'accept')
    yield Case('upgrade-h2c', get(b'/api/version', b'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n'), 'accept',
               'the JDK client sends this with its first request; the answer is HTTP/1.1')
    yield Case('te-and-cl', post(length(n), TE, body=chunked(BODY)), 'reject', 'CVE-2026-63382, RELAYD-001: length kept beside coding')
    yield Case('cl-and-te', post(TE, length(6), body=b'0\r\n\r\n' + SMUGGLED), 'reject', 'CL.TE smuggling')
    yield Case('two-lengths', post(length(n), length(n + 1)), 'reject')
    yield Case('two-equal-lengths', post(length(n), length(n)), 'reject')
    yield Case('two-lengths-smuggling', post(length(5), length(5 + len(SMUGGLED)), body=b'12345' + SMUGGLED), 'reject', 'first wins, or last')
    yield Case('length-list', post(b'Content-Length: %d, %d\r\n' % (n, n)), 'reject')
    yield Case('length-plus', post(b'Content-Length: +%d\r\n' % n), 'reject', 'libevent takes it')
    yield Case('length-minus', post(b'Content-Length: -1\r\n'), 'reject')
    yield Case('length-hex', post(b'Content-Length: 0x%x\r\n' % n), 'reject')
    yield Case('length-blank-inside', post(b'Content-Length: 5 0\r\n'), 'reject')
    yield Case('length-fraction', post(b'Content-Length: %d.0\r\n' % n), 'reject')
    yield Case('length-vertical-tab', post(b'Content-Length: \x0b%d\r\n' % n), 'reject', 'libevent takes it')
    yield Case('length-empty', post(b'Content-Length:\r\n', body=SMUGGLED), 'reject', 'CVE-2023-40225: forwarded as it stood')
    yield Case('length-2-64', post(b'Content-Length: 18446744073709551616\r\n'), 'reject', 'wraps to 0')
    yield Case('length-2-64-more', post(b'Content-Length: %d\r\n' % (2 ** 64 + n)), 'reject', 'wraps to the right length')
    yield Case('length-2-63', post(b'Content-Length: 9223372036854775808\r\n'), 'reject', 'negative when signed')
    yield Case('length-2-32', post(b'Content-Length: %d\r\n' % 10 ** 18), 'reject', 'nineteen digits')
    yield Case('te-xchunked', post(b'Transfer-Encoding: xchunked\r\n', body=SMUGGLED), 'reject', 'CVE-2026-63382: ended as no body')
    yield Case('te-identity', post(b'Transfer-Encoding: identity\r\n', body=SMUGGLED), 'reject', 'CVE-2026-63382')
    yield Case('te-gzip-chunked', post(b'Transfer-Encoding: gzip, chunked\r\n', body=chunked(BODY)), 'reject')
    yield Case('te-chunked-identity', post(b'Transfer-Encoding: chunked, identity\r\n', body=chunked(BODY)), 'reject')
    yield Case('te-chunked-twice', post(b'Transfer-Encoding: chunked, chunked\r\n', body=chunked(BODY)), 'reject')
    yield Case('te-two-lines', post(TE, TE, body=chunked(BODY)), 'reject')
    yield Case('te-two-kinds', post(TE, b'Transfer-Encoding: identity\r\n', body=chunked(BODY)), 'reject')
    yield Case('te-parameter', post(b'Transfer-Encoding: chunked;p=1\r\n', body=chunked(BODY)), 'reject')
    yield Case('te-quoted', post(b'Transfer-Encoding: "chunked"\r\n', body=chunked(BODY)), 'reject')
    yield Case('te-empty', post(b'Transfer-Encoding:\r\n', body=chunked(BODY)), 'reject')
    yield Case('te-empty-element', post(b'Transfer-Encoding: ,chunked\r\n', body=chunked(BODY)), 'reject')
    yield Case('te-vertical-tab', post(b'Transfer-Encoding: \x0bchunked\r\n', body=chunked(BODY)), 'reject')
    yield Case('te-nul', post(b'Transfer-Encoding: chunked\x00\r\n', body=chunked(BODY)), 'reject', 'GHSA-g8g4-m98c-cwgh: a value cut at NUL')
    yield Case('te-blank-before-colon', post(b'Transfer-Encoding : chunked\r\n', length(5), body=chunked(BODY)), 'reject', 'TE.CL by an odd name')
    yield Case('te-tab-before-colon', post(b'Transfer-Encoding\t: chunked\r\n', body=chunked(BODY)), 'reject')
    yield Case('te-folded', post(b'Transfer-Encoding:\r\n chunked\r\n', body=chunked(BODY)), 'reject', 'CVE-2026-63385: obs-fold')
    yield Case('te-hidden-by-fold', post(b'X: a\r\n Transfer-Encoding: chunked\r\n', length(5), body=chunked(BODY)), 'reject')
    yield Case('te-by-bare-lf', post(b'X: a\nTransfer-Encoding: chunked\r\n', length(n)), 'reject')
    yield Case('te-by-bare-cr', post(b'X: a\rTransfer-Encoding: chunked\r\n', length(n)), 'reject')
    yield Case('te-http10', post(TE, body=chunked(BODY), version=b'HTTP/1.0'), 'reject', '1.0 knows no coding')
    yield Case('connection-length', post(b'Connection: close, content-length\r\n', length(n)), 'reject', 'hop-by-hop removal of framing')
    yield Case('connection-host', post(b'Connection: host\r\n', length(n)), 'reject')


def chunks():
    n = len(BODY)

    def one(size_line, data=BODY, after=b'\r\n', end=b'0\r\n\r\n'):
        return post(TE, body=size_line + data + after + end)
    yield Case('chunk-0x', one(b'0x%x\r\n' % n), 'reject', 'libevent-1542: strtoll takes it')
    yield Case('chunk-plus', one(b'+%x\r\n' % n), 'reject')
    yield Case('chunk-minus', one(b'-%x\r\n' % n), 'reject')
    yield Case('chunk-blank-before', one(b' %x\r\n' % n), 'reject')
    yield Case('chunk-blank-after', one(b'%x \r\n' % n), 'reject')
    yield Case('chunk-blank-inside', one(b'3 5\r\n'), 'reject')
    yield Case('chunk-empty-size', one(b'\r\n'), 'reject')
    yield Case('chunk-letters', one(b'zz\r\n'), 'reject')
    yield Case('chunk-underscore', one(b'3_5\r\n'), 'reject')
    yield Case('chunk-extension', one(b'%x;a=b\r\n' % n), 'reject', 'no client of a model server sends one')
    yield Case('chunk-extension-lf', one(b'%x;a\nb\r\n' % n), 'reject', 'a newline in an extension (TERM.EXT smuggling)')
    yield Case('chunk-size-lf', one(b'%x\n' % n), 'reject', 'Go takes it')
    yield Case('chunk-size-cr', one(b'%x\r' % n), 'reject')
    yield Case('chunk-data-lf', one(b'%x\r\n' % n, after=b'\n'), 'reject')
    yield Case('chunk-data-longer', one(b'%x\r\n' % (n - 1)), 'reject', 'libevent takes it')
    yield Case('chunk-data-two-bytes', one(b'%x\r\n' % n, after=b'xx'), 'reject', 'two bytes swallowed where CRLF should stand')
    yield Case('chunk-size-overflow', one(b'1' + b'0' * 14 + b'%02x\r\n' % n), 'reject', 'CVE-2013-2028: a size that wraps')
    yield Case('chunk-size-2-64', one(b'100000000000000%02x\r\n' % n), 'reject')
    yield Case('chunk-size-negative', one(b'fffffffffffffff0\r\n'), 'reject', 'negative when signed')
    yield Case('chunk-size-long-line', one(b'0' * 40 + b'%x\r\n' % n), 'reject', 'haproxy-chunk-line: a chunk-size line without end')
    yield Case('trailer', post(TE, body=chunked(BODY, end=b'0\r\nX-Trailer: a\r\n\r\n')), 'reject', 'CVE-2026-63379: trailers became headers')
    yield Case('trailer-length', post(TE, body=chunked(BODY, end=b'0\r\nContent-Length: 5\r\n\r\n') + SMUGGLED), 'reject', 'CVE-2026-63379')
    yield Case('chunk-data-cr-x', one(b'%x\r\n' % n, after=b'\rx'), 'reject', 'two bytes swallowed where CRLF should stand')
    yield Case('last-chunk-cr-x', post(TE, body=chunked(BODY, end=b'0\r\n\rx')), 'reject')
    yield Case('last-chunk-lf', post(TE, body=chunked(BODY, end=b'0\r\n\n')), 'reject')
    yield Case('last-chunk-junk', post(TE, body=chunked(BODY, end=b'0\r\nxx')), 'reject')


def lines():
    yield Case('lf-only', GOOD.replace(b'\r\n', b'\n'), 'reject', 'Go and libevent take it')
    yield Case('lf-request-line', GOOD.replace(b'HTTP/1.1\r\n', b'HTTP/1.1\n'), 'reject')
    yield Case('lf-header', get(b'/api/version', b'X: a\nY: b\r\n'), 'reject')
    yield Case('cr-alone', get(b'/api/version', b'X: a\rY: b\r\n'), 'reject')
    yield Case('cr-cr-lf', get(b'/api/version', b'X: a\r\r\n'), 'reject')
    yield Case('lf-before', b'\n' + get(), 'reject')
    yield Case('two-crlf-before', b'\r\n\r\n' + get(), 'reject')
    yield Case('obs-fold', get(b'/api/version', b'X: a\r\n b\r\n'), 'reject', 'CVE-2026-63385')
    yield Case('obs-fold-tab', get(b'/api/version', b'X: a\r\n\tb\r\n'), 'reject')
    yield Case('fold-first', b'GET /api/version HTTP/1.1\r\n X: a\r\n' + HOST + b'\r\n', 'reject', 'blank before the first header')
    yield Case('empty-name', get(b'/api/version', b': a\r\n'), 'reject', 'CVE-2023-25725, libevent-1686')
    yield Case('empty-name-hides-length', post(b':\r\n', length(len(BODY))), 'reject', 'CVE-2023-25725: what follows was dropped')
    yield Case('no-colon', get(b'/api/version', b'Xabc\r\n'), 'reject')
    yield Case('blank-before-colon', get(b'/api/version', b'X : a\r\n'), 'reject')
    yield Case('brackets-in-name', get(b'/api/version', b'X[]: a\r\n'), 'reject')
    yield Case('high-byte-in-name', get(b'/api/version', b'X\xe9: a\r\n'), 'reject')
    yield Case('nul-in-name', get(b'/api/version', b'X\x00: a\r\n'), 'reject')
    yield Case('nul-in-value', get(b'/api/version', b'X: a\x00b\r\n'), 'reject', 'GHSA-g8g4-m98c-cwgh, libevent-1810')
    yield Case('bell-in-value', get(b'/api/version', b'X: \x07\r\n'), 'reject')
    yield Case('del-in-value', get(b'/api/version', b'X: \x7f\r\n'), 'reject')
    yield Case('tab-in-value', get(b'/api/version', b'X: a\tb\r\n'), 'accept')
    yield Case('high-bytes-in-value', get(b'/api/version', b'X: D\xfcsseldorf\r\n'), 'accept')
    yield Case('empty-value', get(b'/api/version', b'X:\r\n'), 'accept')
    yield Case('two-content-types', post(b'Content-Type: text/html\r\n', length(len(BODY))), 'reject')
    yield Case('long-name', post(b'Content-Length0' + b'a' * 270 + b':\r\n', length(len(BODY)), b'Content-Length: %d\r\n' % len(SMUGGLED)),
               'reject', 'CVE-2021-40346: the length of a name overflows into that of the value')
    yield Case('long-name-alone', get(b'/api/version', b'Content-Length0' + b'a' * 270 + b': 5\r\n'), 'accept', 'CVE-2021-40346: just a long name')
    yield Case('many-headers', get(b'/api/version', b'X: a\r\n' * 100), 'reject')
    yield Case('large-head', get(b'/api/version', b'X: ' + b'a' * 20000 + b'\r\n'), 'reject')
    yield Case('long-target', get(b'/api/version?' + b'a' * 20000), 'reject')
    yield Case('tls-hello', b'\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03' + bytes(range(64)), 'reject')


def request_lines():
    yield Case('blank-in-target', get(b'/api/version x'), 'reject', 'CVE-2013-4547')
    yield Case('blank-and-nul-in-target', get(b'/api/version \x00x'), 'reject', 'CVE-2013-4547')
    yield Case('nul-in-target', get(b'/api/version\x00x'), 'reject')
    yield Case('one-word', b'hello\r\n' + HOST + b'\r\n', 'reject')
    yield Case('blank-first', b' ' + get(), 'reject')
    yield Case('two-blanks', b'GET  /api/version HTTP/1.1\r\n' + HOST + b'\r\n', 'reject')
    yield Case('blank-at-the-end', b'GET /api/version HTTP/1.1 \r\n' + HOST + b'\r\n', 'reject')
    yield Case('tab-for-blank', b'GET\t/api/version HTTP/1.1\r\n' + HOST + b'\r\n', 'reject')
    yield Case('fragment', get(b'/api/version#x'), 'reject', 'CVE-2023-45539: past the rules for paths')
    yield Case('fragment-in-query', get(b'/api/version?a#b'), 'reject')
    yield Case('high-byte-in-target', get(b'/api/versi\xc3\xb6n'), 'reject')
    yield Case('control-byte-in-target', get(b'/api/version\x01'), 'reject')
    yield Case('empty-target', b'GET  HTTP/1.1\r\n' + HOST + b'\r\n', 'reject')
    yield Case('target-without-slash', get(b'api/version'), 'reject')
    yield Case('asterisk-get', get(b'*'), 'reject')
    yield Case('no-version', b'GET /api/version\r\n' + HOST + b'\r\n', 'reject')
    yield Case('http09', b'GET /api/version\r\n\r\n', 'reject')
    yield Case('http19', get(version=b'HTTP/1.9'), 'reject')
    yield Case('http20', get(version=b'HTTP/2.0'), 'reject')
    yield Case('http110', get(version=b'HTTP/1.10'), 'reject')
    yield Case('http-overflow', get(version=b'HTTP/4294967297.1'), 'reject', 'libevent-1541: the version overflows')
    yield Case('http-small-letters', get(version=b'http/1.1'), 'reject')
    yield Case('http2-preface', b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'reject')
    yield Case('bad-method', b'G{T /api/version HTTP/1.1\r\n' + HOST + b'\r\n', 'reject')
    yield Case('connect', b'CONNECT localhost:11434 HTTP/1.1\r\n' + HOST + b'\r\n', 'reject')
    yield Case('upgrade-websocket', get(b'/api/version', b'Connection: Upgrade\r\nUpgrade: websocket\r\n'), 'reject')
    yield Case('expect-other', post(b'Expect: 200-ok\r\n', length(len(BODY))), 'reject')
    yield Case('query-twice', get(b'/api/version?a?b'), 'accept')
    yield Case('absolute', get(b'http://localhost/api/version'), 'accept')
    yield Case('absolute-other-host', get(b'http://other/api/version'), 'reject')
    yield Case('absolute-https', get(b'https://localhost/api/version'), 'reject')
    yield Case('absolute-userinfo', get(b'http://u:p@localhost/api/version'), 'reject')
    yield Case('absolute-userinfo-matching', get(b'http://u@localhost/api/version', host=b'Host: u@localhost\r\n'), 'reject')


def hosts():
    def with_host(name, value, note=''):
        return Case(name, get(host=b'Host: ' + value + b'\r\n'), 'reject', note)
    yield Case('no-host', get(host=b''), 'reject')
    yield Case('two-hosts', get(host=HOST + b'Host: other\r\n'), 'reject')
    yield Case('two-equal-hosts', get(host=HOST + HOST), 'reject')
    yield with_host('host-empty', b'')
    yield with_host('host-long', b'a' * 262)
    yield with_host('host-userinfo', b'u@localhost')
    yield with_host('host-path', b'localhost/x')
    yield with_host('host-query', b'localhost?x')
    yield with_host('host-comma', b'localhost,other')
    yield with_host('host-blank', b'localhost other')
    yield with_host('host-escape', b'local%68ost')
    yield with_host('host-empty-port', b'localhost:')
    yield with_host('host-port-0', b'localhost:0')
    yield with_host('host-port-65536', b'localhost:65536')
    yield with_host('host-port-overflow', b'localhost:4294978730', '2^32 + 11434')
    yield with_host('host-port-letters', b'localhost:80x')
    yield with_host('host-two-ports', b'localhost:80:80')
    yield with_host('host-bracket', b'[::1')
    yield with_host('host-bad-ipv6', b'[::1::2]')
    yield Case('host-foreign', get(host=b'Host: evil.example\r\n'), 'refuse', 'CVE-2024-28224: a name whose owner pointed it at 127.0.0.1')
    yield Case('host-foreign-with-its-origin', post(length(len(BODY)), b'Origin: http://evil.example:8480\r\n', host=b'Host: evil.example:8480\r\n'),
               'refuse', 'CVE-2024-28224: the page is of the name it asks for')
    yield Case('host-foreign-absolute', get(b'http://evil.example/api/version', host=b'Host: evil.example\r\n'), 'refuse', 'CVE-2024-28224')
    yield Case('origin-foreign', post(length(len(BODY)), b'Origin: http://evil.example\r\n'), 'refuse', 'CVE-2024-28224: a foreign page')
    yield Case('host-ipv6', get(host=b'Host: [::1]:11434\r\n'), 'accept')


def paths():
    def path(name, p, note=''):
        return Case(name, post(length(len(BODY)), path=p), 'refuse', note)
    yield Case('path-escaped-letter', post(length(len(BODY)), path=b'/api/%67enerate'), 'accept', 'decoded once, as Ollama does', upstream=1)
    yield path('path-two-slashes', b'//api/generate')
    yield path('path-dot', b'/api/./generate')
    yield path('path-dot-dot', b'/v1/../api/generate')
    yield path('path-escaped-dot-dot', b'/v1/%2e%2e/api/generate')
    yield path('path-escaped-slash', b'/api%2Fgenerate')
    yield path('path-escaped-nul', b'/api/generate%00')
    yield path('path-escaped-newline', b'/api/generate%0d%0a')
    yield path('path-backslash', b'/api\\generate')
    yield path('path-bad-escape', b'/api/%zz')
    yield path('path-cut-escape', b'/api/generate%2')
    yield Case('path-escaped-twice', post(length(len(BODY)), path=b'/api/%2567enerate'), 'accept', 'a 404: decoded once and no more')
    yield Case('path-slash-at-the-end', post(length(len(BODY)), path=b'/api/generate/'), 'refuse')
    yield Case('delete-in-disguise', b'DELETE /api/%64elete HTTP/1.1\r\n' + HOST + length(25) + b'\r\n{"model":"origin:latest"}', 'refuse',
               'CVE-2025-63389: management is refused on the decoded path')
    yield Case('blob-traversal-plain', post(length(len(BODY)), path=b'/api/blobs/sha256:../../../etc/passwd'), 'refuse', 'CVE-2024-37032, CVE-2026-7020')
    for name, note in (('create', 'CVE-2026-7482, CVE-2024-39719, CVE-2024-39720, CVE-2024-39721, CVE-2024-39722, CVE-2024-45436, CVE-2024-8063, CVE-2025-0312, '
                                  'CVE-2025-0315, CVE-2025-0317: files made by a stranger are parsed'),
                       ('pull', 'CVE-2025-51471: a registry chosen by the client'), ('push', 'CVE-2026-7482: what was read goes out')):
        text = b'{"model":"evil.example/a/b:c","from":"x","files":{"a":"sha256:' + b'0' * 64 + b'"},"path":"/dev/random"}'
        yield Case(f'manage-{name}', post(length(len(text)), body=text, path=b'/api/' + name.encode()), 'refuse', note)
    for method, name in ((b'POST', 'me'), (b'POST', 'signout'), (b'DELETE', 'user/keys/a'), (b'POST', 'experimental/web_fetch')):
        yield Case(f'account-{name.replace("/", "-")}', post(length(len(BODY)), path=b'/api/' + name.encode(), method=method), 'refuse', 'CVE-2025-63389: no door to the account')
    yield Case('blob-traversal', post(length(len(BODY)), path=b'/api/blobs/..%2f..%2fetc%2fpasswd'), 'refuse', 'CVE-2024-37032, CVE-2026-7020')


def bodies():
    def body(name, text, note=''):
        return Case(name, post(length(len(text)), body=text), 'refuse', note)
    yield body('json-key-twice', b'{"model":"a","model":"origin:latest","prompt":"x"}', 'two readers, two models')
    yield body('json-key-twice-case', b'{"model":"a","MODEL":"origin:latest","prompt":"x"}', 'Go folds case, the last one wins')
    yield body('json-key-twice-escape', b'{"model":"a","\\u006dodel":"origin:latest"}')
    yield body('json-key-twice-long-s', '{"stream":true,"\u017ftream":false,"model":"origin:latest"}'.encode(), 'Go folds U+017F to s')
    yield body('json-key-twice-kelvin', '{"keep_alive":1,"\u212aeep_alive":-1,"model":"origin:latest"}'.encode(), 'Go folds U+212A to k')
    yield body('json-option-twice', b'{"model":"origin:latest","options":{"num_ctx":1,"num_ctx":999999}}')
    yield body('json-trailing', b'{"model":"origin:latest","prompt":"x"}{"model":"b"}', 'Ollama ignores the second value')
    yield body('json-bom', b'\xef\xbb\xbf' + BODY)
    yield body('json-comma', b'{"model":"origin:latest",}')
    yield body('json-nan', b'{"model":"origin:latest","x":NaN}')
    yield body('json-newline-in-string', b'{"model":"origin:latest","prompt":"a\nb"}')
    yield body('json-deep', b'{"model":"origin:latest","x":' + b'[' * 5000 + b']' * 5000 + b'}')
    yield body('json-array', b'[' + BODY + b']')
    text = b'{"model":"http://evil.example/a:latest","prompt":"x","stream":false,"api_base":"http://evil.example","host":"evil.example"}'
    yield Case('json-names-a-destination', post(length(len(text)), body=text), 'refuse', 'CVE-2024-6587: the body says where to send it')
    text = BODY[:-1] + b',"api_base":"http://evil.example"}'
    yield Case('json-api-base', post(length(len(text)), body=text), 'accept', 'CVE-2024-6587: a field that means nothing here', upstream=1)
    yield Case('authorization-quotes', post(length(len(BODY)), b"Authorization: Bearer ' OR 1=1; --\r\n"), 'accept',
               'CVE-2026-42208: an injection in the key; it ends here', upstream=1)
    yield Case('range-overflow', post(length(len(BODY)), b'Range: bytes=-17208,-9223372036854758792\r\n'), 'accept', 'CVE-2017-7529', upstream=1)
    yield Case('json-empty', post(length(0), body=b''), 'refuse')
    huge = b'{"model":"origin:latest","prompt":"x","stream":false,"x":1e%s,"y":%s}' % (b'9' * 100, b'1' * 50000)
    yield Case('json-huge-number', post(length(len(huge)), body=huge), 'accept', 'CVE-2025-11230: a number that costs for ever', upstream=1)


def desync():
    yield Case('refused-with-a-hidden-request', post(length(len(SMUGGLED)), body=SMUGGLED, path=b'/api/delete'), 'refuse',
               'CVE-2019-20372: an error answer without reading the body must close')
    yield Case('unknown-route-with-a-hidden-request', post(length(len(SMUGGLED)), body=SMUGGLED, path=b'/nowhere'), 'accept',
               'a 404; the body is not a second request')
    yield Case('get-with-a-hidden-request', get(b'/api/version', length(len(SMUGGLED))) + SMUGGLED, 'accept', 'a body on GET is a body')
    yield Case('length-0-then-a-request', post(length(0), body=b'', path=b'/api/version', method=b'GET') + get(), 'accept', answers=2)
    yield Case('bad-second-request', get() + b'GET /smuggled\r\n\r\n', 'accept', 'one answer, then a refusal', answers=2)


CASES = [c for part in (framing, chunks, lines, request_lines, hosts, paths, bodies, desync) for c in part()]

assert len({c.id for c in CASES}) == len(CASES), 'ids repeat'


if __name__ == '__main__':
    for c in CASES:
        json.dump(c._replace(raw=base64.b64encode(c.raw).decode())._asdict(), sys.stdout)
        print()
