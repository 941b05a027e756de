"""Published flaws of other software that a router for model servers must answer for, and where tsa does.

  requests   a case of request_cases.py names the id in its note
  answers    a case of upstream_cases.py does
  fuzz X     the target tests/fuzz/X.c looks for its like
  test F::T  the test T of the file F shows it
  fixed V    in every version of the library that tsa builds with
  absent W   tsa has no such part; W says what keeps it so

tests/hostile/test_rules.py holds the table and the cases against each other, and against promises.md where that is at hand.
"""

FLAWS = {
    # HTTP heads and bodies
    'CVE-2026-63382': 'requests, answers',  # libevent: transfer codings that are no coding, a length beside one
    'GHSA-q39v-w2g7-gr8j': 'same as CVE-2026-63382',
    'CVE-2026-63379': 'requests, answers',  # libevent: trailers become headers
    'GHSA-2gmv-p5m7-98p6': 'same as CVE-2026-63379',
    'CVE-2026-63385': 'requests, answers',  # libevent: CR LF and folded lines in values
    'GHSA-jcwh-pvf2-73p2': 'same as CVE-2026-63385',
    'GHSA-g8g4-m98c-cwgh': 'requests, answers',  # libevent: a value ends at NUL
    'libevent-1810': 'requests',
    'libevent-1686': 'requests',  # a header without a name
    'libevent-1541': 'requests',  # the version overflows
    'libevent-1542': 'requests, answers',  # chunk sizes by strtoll
    'CVE-2021-40346': 'requests',  # HAProxy: the length of a name overflows
    'CVE-2023-25725': 'requests, answers',  # HAProxy: what follows an empty name is lost
    'CVE-2023-40225': 'requests, answers',  # HAProxy: an empty length is passed on
    'CVE-2023-45539': 'requests',  # HAProxy: # in the path
    'CVE-2025-11230': 'requests',  # HAProxy: a number in JSON that costs for ever
    'CVE-2022-0711': 'answers',  # HAProxy: a loop over cookies
    'haproxy-chunk-line': 'requests, answers',  # HAProxy: a chunk-size line without end
    'CVE-2013-2028': 'requests, answers',  # nginx: a chunk size becomes a length on the stack
    'CVE-2013-4547': 'requests',  # nginx: a blank in the path
    'CVE-2017-7529': 'requests',  # nginx: a range that overflows
    'CVE-2019-20372': 'requests',  # nginx: an error page, and the body becomes a request
    'RELAYD-001': 'requests, answers',  # relayd: a length kept beside a coding
    'openbsd-httpd-7.8-013': 'fuzz http_stream',  # chunks and a connection that ends in the middle
    # what model servers and other gateways were broken by
    'CVE-2024-28224': 'requests',  # Ollama: DNS rebinding
    'CVE-2024-37032': 'requests',  # Ollama: a digest that is a path
    'CVE-2026-7020': 'requests',
    'CVE-2024-39719': 'requests',  # Ollama: create looks at files, crashes, hangs, tells paths
    'CVE-2024-39720': 'requests',
    'CVE-2024-39721': 'requests',
    'CVE-2024-39722': 'requests',
    'CVE-2024-45436': 'requests',  # Ollama: archives and models of strangers
    'CVE-2024-8063': 'requests',
    'CVE-2025-0312': 'requests',
    'CVE-2025-0315': 'requests',
    'CVE-2025-0317': 'requests',
    'CVE-2024-12886': 'test tests/flow/test_hostile_upstream.py::test_a_compressed_answer_is_passed_on_as_it_is',
    'CVE-2025-51471': 'requests',  # Ollama: a registry of the client's choice gets the token
    'CVE-2025-63389': 'requests',  # Ollama: management without a key
    'GO-2025-4251': 'same as CVE-2025-63389',
    'CVE-2026-7482': 'requests',  # Ollama: what others wrote leaks through create and push
    'CVE-2026-42208': 'requests',  # LiteLLM: an injection through the key
    'CVE-2024-6587': 'requests',  # LiteLLM: the body names a destination
    'CVE-2020-12762': 'fuzz probes_parse',  # json-c: a large document
    # parts that tsa does not have
    'CVE-2026-63388': 'absent event2/http.h',  # evhttp on a unix socket
    'GHSA-cvq5-vrvr-j338': 'same as CVE-2026-63388',
    'CVE-2026-63381': 'absent evbuffer_add_buffer_reference',
    'CVE-2026-63383': 'absent event2/tag.h',
    'CVE-2026-63384': 'absent event2/rpc.h',
    'CVE-2026-63387': 'absent event2/dns.h',
    'CVE-2014-6272': 'fixed libevent 2.0.22, before any that builds tsa',  # sizes of evbuffers that overflow
    'CVE-2016-10195': 'absent event2/dns.h',
    'CVE-2016-10196': 'absent event2/dns.h',
    'CVE-2016-10197': 'absent event2/dns.h',
    'CVE-2025-32464': 'absent regex.h',
    'CVE-2026-33555': 'absent nghttp3/',
    'CVE-2021-23017': 'absent getaddrinfo',
    'CVE-2026-1642': 'absent openssl/',
    'CVE-2026-42945': 'absent regex.h',
    'CVE-2026-9256': 'absent regex.h',
    'CVE-2026-42533': 'absent regex.h',
    'CVE-2021-32765': 'absent hiredis/',
    'CVE-2024-25189': 'absent jwt.h',
}

# What a lenient parser (libevent's evhttp) was seen to take, row by row, and the cases of it.
PROBES = {
    'two lengths': ('two-lengths', 'two-equal-lengths', 'two-lengths-smuggling'),
    'a length beside a coding': ('te-and-cl', 'cl-and-te'),
    'a length with a sign or a control byte': ('length-plus', 'length-vertical-tab'),
    'a coding that is none': ('te-xchunked', 'te-identity'),
    'a coding beside chunked, or with a parameter': ('te-gzip-chunked', 'te-parameter'),
    'a blank before the colon': ('te-blank-before-colon', 'te-tab-before-colon', 'blank-before-colon'),
    'a coding in HTTP/1.0': ('te-http10',),
    'chunk sizes that strtoll takes': ('chunk-0x', 'chunk-plus', 'chunk-blank-before', 'chunk-blank-inside', 'chunk-size-lf'),
    'chunk data that does not end': ('chunk-data-lf', 'chunk-data-longer', 'chunk-data-two-bytes'),
    'bare LF, folded lines, empty names': ('lf-only', 'obs-fold', 'obs-fold-tab', 'empty-name'),
    'NUL in a value': ('nul-in-value', 'te-nul'),
    'control bytes and odd names': ('bell-in-value', 'brackets-in-name'),
    'no Host, two Hosts': ('no-host', 'two-hosts'),
    'versions and blanks in the request line': ('http19', 'blank-in-target'),
    'heads without end': ('large-head', 'many-headers'),
    'paths that are two': ('path-escaped-dot-dot', 'path-two-slashes', 'path-escaped-nul'),
}
