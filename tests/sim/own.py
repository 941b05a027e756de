"""Expectations written by hand: they need nothing but the simulator, and hold where the recordings are not at hand."""

import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import time

import wire
from server import Server, program

CHECKS = []


def check(fn):
    CHECKS.append(fn)
    return fn


def run(report, wanted):
    for fn in CHECKS:
        name = "own/" + fn.__name__.replace("_", "-")
        if not wanted(name):
            continue
        try:
            fn()
            error = None
        except Exception as failure:  # a check that breaks is a check that failed
            error = "%s: %s" % (type(failure).__name__, failure)
        report.result(name, error)


def equal(got, want, what=""):
    if got != want:
        raise AssertionError("%s %r instead of %r" % (what, got, want))


def post(path, body, extra=""):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ("POST %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %d\r\n\r\n" % (path, extra, len(data))).encode() + data


def get(path, headers="Host: localhost\r\n", method="GET", version="1.1"):
    return ("%s %s HTTP/%s\r\n%s\r\n" % (method, path, version, headers)).encode()


def ask(server, data, method="POST", **how):
    client = wire.Client(server.port)
    answer = wire.exchange(client, data, method, **how)
    client.close()
    return answer


def lines(answer):
    return [json.loads(line) for line in wire.body_of(answer).splitlines() if line]


def events(answer):
    """[(event, data)] of a stream of events."""
    out = []
    for block in wire.body_of(answer).split("\n\n"):
        if block:
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            data = fields["data"]
            out.append((fields.get("event"), data if data == "[DONE]" else json.loads(data)))
    return out


def prompt(text, model="sim-chat", **more):
    return {"model": model, "prompt": text, **more}


# --- it says what it is -------------------------------------------------------------------------------------------------


@check
def says_that_it_is_a_simulator():
    with Server() as server:
        assert "simulator" in server.call("GET", "/sim")["note"]
    text = subprocess.run([program(), "--help"], capture_output=True, text=True, check=True).stdout
    assert "SIMULATOR" in text.splitlines()[0]
    bad = subprocess.run([program(), "--prots", "2"], capture_output=True, text=True, check=False)
    equal((bad.returncode, bad.stderr), (1, "Error: --prots is not an option, or lacks its value; see --help\n"))
    bad = subprocess.run([program(), "--model", "x,size=2"], capture_output=True, text=True, check=False)
    equal(bad.returncode, 1)


def free_pair():
    """Two free ports in a row."""
    for _ in range(100):
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = first.getsockname()[1]
            try:
                with socket.create_server(("127.0.0.1", port + 1)):
                    return port
            except OSError:
                continue
    raise AssertionError("no two free ports in a row")


@check
def several_ports_are_several_instances():
    port = free_pair()
    with Server("--listen", "127.0.0.1:%d" % port, "--ports", "2", "--fast") as server:
        server.load("sim-chat")
        equal(len(server.call("GET", "/api/ps")["models"]), 1)
        server.port += 1
        equal(server.call("GET", "/api/ps")["models"], [])


@check
def serves_as_ollama_serve_with_its_environment():
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as probe:
        os.symlink(program(), os.path.join(folder, "ollama"))
        port = probe.getsockname()[1]
        probe.close()
        env = {"OLLAMA_HOST": "127.0.0.1:%d" % port, "OLLAMA_KEEP_ALIVE": "-1", "OLLAMA_NUM_PARALLEL": "3",
               "OLLAMA_SIM_ARGS": "--fast --model mine:1b"}
        proc = subprocess.Popen([os.path.join(folder, "ollama"), "serve"], env=env, stderr=subprocess.PIPE, text=True)
        try:
            for line in proc.stderr:
                if "models:" in line:
                    break
            server = Server.__new__(Server)
            server.port = port
            server.load("mine:1b")
            assert server.call("GET", "/api/ps")["models"][0]["expires_at"] > "2300"
            equal(server.stats()["runners"][0]["slots"], 3)
            second = subprocess.run([program(), "serve"], env=env, capture_output=True, text=True, check=False)
            equal(second.returncode, 1)
            assert "address already in use" in second.stderr, second.stderr
        finally:
            proc.terminate()
            equal(proc.wait(10), 0, "exit status after SIGTERM")
            proc.stderr.close()


# --- streams and answers ------------------------------------------------------------------------------------------------


@check
def native_streams_by_default():
    with Server("--fast") as server:
        got = ask(server, post("/api/generate", prompt("x sim:tokens=3")))
        equal(got["headers"][0], ["Content-Type", "application/x-ndjson"])
        equal([o["response"] for o in lines(got)], ["tok0", " tok1", " tok2", ""])
        equal(len(got["chunks"]), 4)
        last = lines(got)[-1]
        equal((last["done"], last["done_reason"], last["eval_count"]), (True, "stop", 3))
        whole = ask(server, post("/api/generate", prompt("x sim:tokens=3", stream=False)))
        equal((whole["framing"], lines(whole)[0]["response"]), ("length", "tok0 tok1 tok2"))


@check
def limits_and_stop_strings_end_an_answer():
    with Server("--fast") as server:
        got = lines(ask(server, post("/api/generate", prompt("x", options={"num_predict": 2}))))
        equal((got[-1]["done_reason"], got[-1]["eval_count"], len(got)), ("length", 2, 3))
        got = lines(ask(server, post("/api/generate", prompt("x", stream=False, options={"stop": ["tok2"]}))))[0]
        equal((got["response"], got["done_reason"]), ("tok0 tok1 ", "stop"))


@check
def markers_steer_length_text_and_pace():
    with Server("--fast") as server:
        began = time.monotonic()
        got = lines(ask(server, post("/api/chat", {"model": "sim-chat", "messages": [
            {"role": "user", "content": "sim:tokens=50"}, {"role": "user", "content": "sim:tokens=4 sim:echo=ab sim:delay=30ms"}]})))
        equal("".join(o["message"]["content"] for o in got), "abababab")
        assert time.monotonic() - began > 0.09


@check
def nothing_comes_before_the_first_token():
    with Server("--model", "m,load=100ms,prefill=100,decode=1000", "--ping", "1ms") as server:
        got = ask(server, post("/api/generate", prompt("x" * 76, model="m", options={"num_predict": 1})))
        assert got["t_head"] > 0.29, got["t_head"]


@check
def openai_stream():
    with Server("--fast") as server:
        body = {"model": "sim-chat", "messages": [{"role": "user", "content": "sim:tokens=2"}], "stream": True,
                "stream_options": {"include_usage": True}}
        got = ask(server, post("/v1/chat/completions", body))
        data = [d for _, d in events(got)]
        equal([d["choices"][0]["delta"]["content"] for d in data[:2]], ["tok0", " tok1"])
        equal(data[2]["choices"][0]["finish_reason"], "stop")
        equal(data[3]["usage"]["completion_tokens"], 2)
        equal(data[4], "[DONE]")
        equal(len(got["chunks"]), 3, "finish, usage and [DONE] share a chunk:")
        equal(all(d["choices"][0]["delta"].get("role") for d in data[:2]), True)


@check
def the_new_generation_words_streams_differently():
    with Server("--fast", "--generation", "new") as server:
        equal(server.call("GET", "/api/version"), {"version": "0.33.0"})
        body = {"model": "sim-chat", "messages": [{"role": "user", "content": "sim:tokens=2"}], "stream": True}
        data = [d for _, d in events(ask(server, post("/v1/chat/completions", body)))]
        equal([d["choices"][0]["delta"].get("role") for d in data[:3]], ["assistant", None, None])
        equal(data[2]["choices"][0], {"index": 0, "delta": {}, "finish_reason": "stop"})
        tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
        got = lines(ask(server, post("/api/chat", {"model": "sim-chat", "messages": [{"role": "user", "content": "x"}], "tools": tools})))
        equal([("tool_calls" in o["message"], o["done"]) for o in got], [(True, True)])
        equal(ask(server, post("/v1/images/generations", {"model": "sim-chat", "prompt": "x"}))["status"], 404)
        got = ask(server, post("/api/generate", prompt("x" * 20000)))
        equal((got["status"], json.loads(json.loads(got["body"])["error"])["error"]["type"]), (400, "exceed_context_size_error"))


@check
def anthropic_stream():
    with Server("--fast") as server:
        body = {"model": "sim-chat", "max_tokens": 9, "messages": [{"role": "user", "content": "sim:tokens=1"}], "stream": True}
        got = ask(server, post("/v1/messages", body))
        equal([e for e, _ in events(got)], ["message_start", "content_block_start", "content_block_delta", "content_block_stop",
                                            "message_delta", "message_stop"])
        assert ["Cache-Control", "no-cache"] in got["headers"]


@check
def responses_stream_counts_its_events():
    with Server("--fast") as server:
        got = events(ask(server, post("/v1/responses", {"model": "sim-chat", "input": "sim:tokens=2", "stream": True})))
        equal([d["sequence_number"] for _, d in got], list(range(len(got))))
        equal(got[-1][0], "response.completed")
        equal(got[-1][1]["response"]["output"][0]["content"][0]["text"], "tok0 tok1")


@check
def thinking_and_tools():
    with Server("--fast", "--model", "m,thinking,tools") as server:
        got = lines(ask(server, post("/api/chat", {"model": "m", "messages": [{"role": "user", "content": "sim:tokens=1"}], "stream": False})))[0]
        equal(got["message"]["thinking"], "think0 think1 think2 think3")
        got = lines(ask(server, post("/api/chat", {"model": "m", "messages": [{"role": "user", "content": "x"}], "think": False, "stream": False,
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"n": {"type": "integer"}}}}}]})))[0]
        equal(got["message"]["tool_calls"][0]["function"], {"index": 0, "name": "f", "arguments": {"n": 1}})
        got = ask(server, post("/api/chat", {"model": "m", "messages": [{"role": "user", "content": "x"}], "think": "very"}))
        equal(got["status"], 400)


@check
def embeddings_are_stable_and_normal():
    with Server("--fast") as server:
        one = server.call("POST", "/api/embed", {"model": "sim-embed", "input": ["a", "b"]})["embeddings"]
        two = server.call("POST", "/v1/embeddings", {"model": "sim-embed", "input": "a"})["data"][0]["embedding"]
        equal(one[0], two)
        assert one[0] != one[1]
        assert abs(sum(v * v for v in one[0]) - 1) < 1e-5
        equal(len(server.call("POST", "/api/embed", {"model": "sim-embed", "input": "a", "dimensions": 7})["embeddings"][0]), 7)
        equal(server.call("POST", "/api/embed", {"model": "sim-embed"}), {"model": "sim-embed", "embeddings": []})


# --- errors -------------------------------------------------------------------------------------------------------------


@check
def errors_speak_the_dialect_of_their_route():
    with Server("--fast") as server:
        cases = [
            ("/api/generate", {"model": "nope", "prompt": "x"}, 404, '{"error":"model \'nope\' not found"}'),
            ("/api/embed", {"model": "nope", "input": "x"}, 404, '{"error":"model \\"nope\\" not found, try pulling it first"}'),
            ("/api/chat", {}, 400, '{"error":"model is required"}'),
            ("/api/generate", {"model": "a b"}, 400, '{"error":"invalid model name"}'),
            ("/api/generate", b"", 400, '{"error":"missing request body"}'),
            ("/api/generate", b'{"model":"x"', 400, '{"error":"unexpected EOF"}'),
            ("/api/generate", b'{"model":5}', 400,
             '{"error":"json: cannot unmarshal number into Go struct field GenerateRequest.model of type string"}'),
            ("/api/generate", {"model": "sim-chat", "options": {"num_ctx": "x"}}, 500, '{"error":"option \\"num_ctx\\" must be of type integer"}'),
            ("/api/generate", {"model": "sim-chat", "keep_alive": "5"}, 400, '{"error":"time: missing unit in duration \\"5\\""}'),
            ("/v1/chat/completions", {"model": "nope", "messages": [{"role": "user", "content": "x"}]}, 404,
             '{"error":{"message":"model \'nope\' not found","type":"not_found_error","param":null,"code":null}}\n'),
            ("/api/chat", {"model": "sim-embed", "messages": [{"role": "user", "content": "x"}]}, 400,
             '{"error":"\\"sim-embed\\" does not support chat"}'),
        ]
        for path, body, status, text in cases:
            got = ask(server, post(path, body))
            equal((got["status"], got["body"]), (status, text), path)


@check
def json_is_read_as_go_reads_it():
    with Server("--fast") as server:
        for body in (b'{"model":"nope","MODEL":"sim-chat"}', b'{"model":"sim-chat"} tail', b' {"mo\\u0064el":"SIM-chat:latest"}',
                     b'{"model":"sim-chat","\xe2\x84\xaaeep_alive":5}'):
            equal(ask(server, post("/api/generate", body))["status"], 200, body)
        for body in (b'\xef\xbb\xbf{"model":"sim-chat"}', b'{"model":"sim-chat",}', b'{"model":NaN}', b"[]", b'{"a":"\x01"}'):
            equal(ask(server, post("/api/generate", body))["status"], 400, body)


@check
def routes_methods_hosts_and_origins():
    with Server("--fast") as server:
        cases = [
            (get("/nope"), 404), (get("/api/generate"), 405), (get("/api/tags/"), 301), (get("//api/tags"), 307),
            (get("/api/%76ersion"), 200), (get("/API/version"), 404), (get("/api/%zz"), 400), (get("/api/version", ""), 400),
            (get("/api/version", "", version="1.0"), 200), (get("/api/version", "Host: example.com\r\n"), 403),
            (get("/api/version", "Host: 10.1.2.3\r\n"), 200), (get("/api/version", "Host: a\r\nOrigin: https://example.com\r\n"), 403),
            (get("/api/version", "Host: localhost\r\nOrigin: http://localhost:1\r\n"), 200), (get("/", version="2.0"), 505),
            (get("/", "Host: a\r\nTransfer-Encoding: gzip\r\n"), 501), (b"hello\r\n\r\n", 400),
        ]
        for data, status in cases:
            equal(ask(server, data, "GET")["status"], status, data)
        equal(ask(server, get("/api/generate"), "GET")["headers"][0], ["Allow", "POST"])


@check
def keep_alive_pipelines_and_chunked_bodies():
    with Server("--fast") as server:
        client = wire.Client(server.port)
        client.send(get("/api/version") + get("/"))
        equal(wire.exchange(client, b"", "GET")["body"], '{"version":"0.24.0"}')
        equal(wire.exchange(client, b"", "GET")["body"], "Ollama is running")
        body = b"8;x=y\r\n{\"model\"\r\nb\r\n:\"sim-chat\"\r\n1\r\n}\r\n0\r\nT: 1\r\n\r\n"
        got = wire.exchange(client, b"POST /api/generate HTTP/1.1\r\nHost: a.local\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        equal((got["status"], lines(got)[0]["done_reason"]), (200, "load"))
        big = wire.exchange(client, post("/api/generate", prompt("x" * 3000000, stream=False)))
        equal(big["status"], 200)
        client.close()


# --- scheduling ---------------------------------------------------------------------------------------------------------


@check
def loads_are_serial_and_slots_are_a_queue():
    with Server("--model", "a,load=150ms,decode=100,tokens=10", "--model", "b,load=150ms,decode=100,tokens=10") as server:
        clients = [wire.Client(server.port) for _ in range(3)]
        for client, model in zip(clients, "aab"):
            client.send(post("/api/generate", prompt("x", model=model)))
        server.wait(lambda s: s["queued"] == 2, "two waiting loads")
        answers = [wire.exchange(c, b"") for c in clients]
        equal([a["status"] for a in answers], [200, 200, 200])
        equal(server.stats()["loads"]["finished"], 2)
        total = lines(answers[1])[-1]
        assert total["total_duration"] - total["load_duration"] > 0.15e9, "the second waited for the slot in silence"


@check
def only_the_load_queue_overflows():
    with Server("--model", "a,load=300ms", "--max-queue", "1") as server:
        clients = [wire.Client(server.port) for _ in range(4)]
        for client in clients:
            client.send(post("/api/generate", prompt("sim:tokens=1", model="a")))
        got = sorted(wire.exchange(c, b"")["status"] for c in clients)
        equal(got, [200, 200, 503, 503])
        clients = [wire.Client(server.port) for _ in range(20)]
        for client in clients:
            client.send(post("/api/generate", prompt("sim:tokens=1", model="a")))
        equal({wire.exchange(c, b"")["status"] for c in clients}, {200})


@check
def the_owner_of_a_load_takes_it_along():
    with Server("--model", "a,load=400ms") as server:
        client = wire.Client(server.port)
        client.send(post("/api/generate", {"model": "a"}))
        server.wait(lambda s: s["loads"]["started"] == 1, "the load")
        client.close()
        server.wait(lambda s: not s["runners"], "the end of the load")
        server.load("a")
        equal((server.stats()["loads"]["started"], server.stats()["loads"]["finished"]), (2, 1))


@check
def other_options_reload_when_idle_and_traffic_starves_them():
    with Server("--model", "a,load=50ms,decode=100", "--parallel", "2") as server:
        server.load("a")
        server.fault(kind="hang-stream", after_chunks=1)
        slow = wire.Client(server.port)
        slow.send(post("/api/generate", prompt("sim:tokens=60", model="a")))
        server.wait(lambda s: s["held"] == 1, "the long answer")
        seen = server.stats()["routes"]["POST /api/generate"]["requests"]
        reload = wire.Client(server.port)
        reload.send(post("/api/generate", {"model": "a", "options": {"num_ctx": 1024}}))
        server.wait(lambda s: s["routes"]["POST /api/generate"]["requests"] == seen + 1, "the one that wants another context")
        fits = ask(server, post("/api/generate", prompt("sim:tokens=1", model="a")))
        equal(fits["status"], 200, "a request that fits is admitted past the reload:")
        equal(server.stats()["loads"]["finished"], 1)
        server.call("POST", "/sim/release")
        equal(wire.exchange(slow, b"")["status"], 200)
        equal(wire.exchange(reload, b"")["status"], 200)
        equal(server.call("GET", "/api/ps")["models"][0]["context_length"], 1024)


@check
def a_client_that_leaves_before_admission_leaks_its_descriptor():
    with Server("--ping", "50ms", "--model", "a,load=1ms") as server:
        server.load("a")
        server.wait(lambda s: s["open_connections"] == 1, "the end of the load's connection")
        before = server.stats()["open_fds"]
        for _ in range(5):
            client = wire.Client(server.port)
            client.send(post("/api/generate", prompt("x", model="a")))
            client.close()
        server.wait(lambda s: s["leaked_fds"] == 5 and s["open_fds"] == before + 5, "five leaks")
        server.call("POST", "/sim/reset")
        equal(server.stats()["leaked_fds"], 5, "nothing brings them back:")


@check
def a_client_that_leaves_later_frees_its_slot():
    with Server("--model", "a,load=1ms,decode=50,tokens=1000") as server:
        server.load("a")
        client = wire.Client(server.port)
        client.send(post("/api/generate", prompt("x", model="a")))
        client.line(time.monotonic() + 5)
        client.close()
        server.wait(lambda s: not s["runners"][0]["slots_used"] and s["generations"]["cancelled"] == 1, "the free slot")
        equal(server.stats()["leaked_fds"], 0)


@check
def an_abandoned_prompt_keeps_an_old_runner_busy():
    for generation, waits in (("old", True), ("new", False)):
        with Server("--model", "a,load=1ms,prefill=1000,decode=0", "--generation", generation) as server:
            server.load("a")
            client = wire.Client(server.port)
            client.send(post("/api/generate", prompt("x" * 6000, model="a")))
            server.wait(lambda s: s["runners"][0]["slots_used"], "the prompt")
            client.close()
            server.wait(lambda s: not s["runners"][0]["slots_used"], "the free slot")
            got = ask(server, post("/api/generate", prompt("x", model="a")))
            equal(got["t"] > 0.8, waits, "%s generation waited %.2f s:" % (generation, got["t"]))


@check
def a_stream_closed_while_a_token_is_handed_over_keeps_its_slot_for_ever():
    with Server("--hand-over", "20ms", "--model", "a,load=1ms,decode=200,tokens=1000", "--parallel", "2") as server:
        server.load("a")
        client = wire.Client(server.port)
        client.send(post("/api/generate", prompt("x", model="a")))
        client.line(time.monotonic() + 5)
        client.close()
        server.wait(lambda s: s["generations"]["cancelled"] == 1, "the end of the generation")
        runner = server.stats()["runners"][0]
        equal((runner["slots_used"], runner["slots_lost"], runner["refs"]), (0, 1, 0))
        equal(ask(server, post("/api/generate", prompt("sim:tokens=1", model="a")))["status"], 200, "the other slot serves:")
        client = wire.Client(server.port)
        client.send(post("/api/generate", prompt("x", model="a")))
        client.line(time.monotonic() + 5)
        client.close()
        server.wait(lambda s: s["runners"][0]["slots_lost"] == 2, "the second loss")
        equal(ask(server, post("/api/generate", prompt("x", model="a")), timeout=0.3)["end"], "timeout")
        equal(ask(server, post("/api/generate", {"model": "a"}))["status"], 200, "an empty request needs no slot:")
        server.call("POST", "/api/generate", {"model": "a", "keep_alive": 0})
        server.wait(lambda s: not s["runners"], "the unload")
        equal(ask(server, post("/api/generate", prompt("sim:tokens=1", model="a")))["status"], 200, "a new runner has all its slots:")


@check
def a_stream_closed_between_two_tokens_gives_its_slot_back():
    with Server("--hand-over", "5ms", "--model", "a,load=1ms,tokens=1000") as server:
        server.load("a")
        client = wire.Client(server.port)
        client.send(post("/api/generate", prompt("sim:delay=10s", model="a")))
        client.line(time.monotonic() + 5)
        time.sleep(0.1)
        client.close()
        server.wait(lambda s: s["generations"]["cancelled"] == 1, "the end of the generation")
        equal(server.stats()["runners"][0]["slots_lost"], 0)


@check
def slots_can_be_lost_on_command():
    with Server("--fast", "--parallel", "3") as server:
        server.load("sim-chat")
        server.fault(kind="lose-place", count=2)
        equal(server.stats()["runners"][0]["slots_lost"], 2)
        server.fault(kind="lose-place", count=0)
        equal(server.stats()["runners"][0]["slots_lost"], 3)


@check
def a_load_whose_owner_left_is_taken_down_before_the_next():
    with Server("--model", "a,load=2s", "--load-abort", "300ms") as server:
        client = wire.Client(server.port)
        client.send(post("/api/generate", {"model": "a"}))
        server.wait(lambda s: s["loads"]["started"] == 1, "the load")
        behind = wire.Client(server.port)
        behind.send(post("/api/generate", {"model": "a"}))
        server.wait(lambda s: s["queued"] == 1, "the one behind it")
        left = time.monotonic()
        client.close()
        server.wait(lambda s: s["loads"]["started"] == 2, "the next load")
        assert time.monotonic() - left >= 0.29
        behind.close()


@check
def a_queue_without_room_hangs_a_model_that_does_not_stay():
    with Server("--fast", "--max-queue", "0") as server:
        equal(ask(server, post("/api/generate", prompt("x")))["status"], 200)
        equal(ask(server, post("/api/generate", prompt("x")))["status"], 200)
        equal(ask(server, post("/api/generate", prompt("x", keep_alive=0)))["status"], 200)
        client = wire.Client(server.port)
        equal(wire.exchange(client, post("/api/generate", prompt("x")), timeout=0.3)["end"], "timeout")
        client.close()
        server.wait(lambda s: s["leaked_fds"] == 1, "the leak of who waited")


@check
def origins_of_the_environment():
    def answer(server, origin):
        got = ask(server, get("/api/version", "Host: localhost\r\nOrigin: %s\r\n" % origin), "GET")
        return got["status"], dict(got["headers"]).get("Access-Control-Allow-Origin")

    with Server("--fast", env={"OLLAMA_ORIGINS": "https://a.example,https://*.b.example"}) as server:
        equal(answer(server, "https://a.example"), (200, "https://a.example"))
        equal(answer(server, "https://x.b.example"), (200, "https://x.b.example"))
        equal(answer(server, "https://c.example")[0], 403)
        equal(answer(server, "http://localhost")[0], 200, "the built-in ones stay:")
    with Server("--fast", env={"OLLAMA_ORIGINS": "*"}) as server:
        equal(answer(server, "https://c.example"), (200, "*"))
    env = dict(os.environ, OLLAMA_ORIGINS="a.example")
    equal(subprocess.run([program(), "--listen", "127.0.0.1:0"], env=env, capture_output=True, timeout=10, check=False).returncode, 2)


@check
def keep_alive_is_sticky_and_zero_unloads():
    with Server("--fast") as server:
        server.load("sim-chat", keep_alive=-1)
        server.load("sim-chat")
        assert server.call("GET", "/api/ps")["models"][0]["expires_at"] > "2300"
        got = server.call("POST", "/api/generate", {"model": "sim-chat", "keep_alive": 0})
        equal(got["done_reason"], "unload")
        server.wait(lambda s: not s["runners"], "the unload")


@check
def a_reader_that_does_not_read_holds_its_slot():
    with Server("--fast", "--model", "a") as server:
        server.load("a")
        client = wire.Client(server.port)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(post("/api/generate", prompt("sim:tokens=1000000", model="a")))
        server.wait(lambda s: s["runners"] and s["runners"][0]["slots_used"], "the generation")
        time.sleep(0.2)
        equal(server.stats()["runners"][0]["slots_used"], 1)
        client.close()
        server.wait(lambda s: not s["runners"][0]["slots_used"], "the free slot")


# --- faults -------------------------------------------------------------------------------------------------------------


@check
def faults_strike_once_and_as_told():
    with Server("--fast") as server:
        server.load("sim-chat")
        body = post("/api/generate", prompt("x"))
        for spec, status, end in (({"kind": "busy"}, 503, "clean"), ({"kind": "error", "status": 502, "message": "boo"}, 502, "clean"),
                                  ({"kind": "cut", "after_chunks": 3}, 200, "cut"), ({"kind": "cut"}, None, "cut"),
                                  ({"kind": "reset"}, None, "reset"), ({"kind": "hang-before"}, None, "timeout"),
                                  ({"kind": "hang-stream", "after_chunks": 2}, 200, "timeout")):
            server.fault(**spec)
            # silence is waited for; what is to come before it, or instead of it, has time
            got = ask(server, body, timeout=30 if end != "timeout" else 1 if status else 0.3)
            equal((got["status"], got["end"]), (status, end), spec)
            if spec.get("after_chunks"):
                equal(len(got["chunks"]), spec["after_chunks"])
            equal(ask(server, body)["status"], 200, "afterwards:")


@check
def what_hangs_goes_on_when_it_is_released():
    with Server("--fast", "--tokens", "9") as server:
        server.load("sim-chat")
        for stream in (True, False):
            server.fault(kind="hang-stream", after_chunks=2 if stream else 0)
            client = wire.Client(server.port)
            client.send(post("/api/generate", {**prompt("x"), "stream": stream}))
            server.wait(lambda s: s["held"] == 1, "silence")
            server.call("POST", "/sim/release")
            got = wire.exchange(client, b"", "POST")
            client.close()
            equal((lines(got)[-1]["done"], lines(got)[-1]["eval_count"]), (True, 9))
            equal(server.stats()["held"], 0)


@check
def faults_can_be_meant_for_a_model_or_a_route():
    with Server("--fast", "--fault", "kind=busy,model=sim-chat,count=0") as server:
        equal(ask(server, post("/api/generate", {"model": "sim-chat"}))["status"], 503)
        equal(ask(server, post("/api/embed", {"model": "sim-embed"}))["status"], 200)
        server.call("POST", "/sim/reset")
        server.fault(kind="error", route="/api/tags", status=500)
        equal(ask(server, get("/api/tags"), "GET")["status"], 500)
        equal(ask(server, get("/api/tags"), "GET")["status"], 200)
        bad = ask(server, post("/sim/fault", {"kind": "nonsense"}))
        equal(bad["status"], 400)
        assert "crash-stream" in bad["body"]


@check
def a_crashed_stream_ends_cleanly_without_its_last_object():
    with Server("--fast") as server:
        server.load("sim-chat")
        server.fault(kind="crash-stream", after_chunks=2)
        got = ask(server, post("/api/generate", prompt("x")))
        equal((got["end"], lines(got)[-1]), ("clean", {"error": "an error was encountered while running the model: unexpected EOF"}))
        equal(len(server.call("GET", "/api/ps")["models"]), 1, "the dead runner stays listed:")
        server.fault(kind="crash-stream", after_chunks=1)
        got = ask(server, post("/v1/chat/completions", {"model": "sim-chat", "messages": [{"role": "user", "content": "x"}], "stream": True}))
        equal((events(got)[-1][1]["model"], got["end"]), ("", "clean"))
        server.fault(kind="crash-stream")
        got = ask(server, post("/api/generate", prompt("x")))
        equal((got["status"], got["framing"]), (500, "chunked"))


@check
def a_failed_load_is_a_500_and_the_next_one_works():
    with Server("--fast") as server:
        server.fault(kind="crash-load")
        got = ask(server, post("/api/generate", {"model": "sim-chat"}))
        equal((got["status"], got["body"]), (500, '{"error":"llama runner process has terminated with exit code -1"}'))
        equal(ask(server, post("/api/generate", {"model": "sim-chat"}))["status"], 200)


@check
def a_wedged_runner_is_silent_while_status_is_healthy():
    with Server("--model", "a,load=1ms,decode=100", "--ping-timeout", "50ms") as server:
        server.load("a")
        server.fault(kind="wedge", after_chunks=2)
        client = wire.Client(server.port)
        client.send(post("/api/generate", prompt("x", model="a")))
        server.wait(lambda s: s["runners"] and s["runners"][0]["wedged"], "the wedge")
        equal(ask(server, get("/api/version"), "GET")["status"], 200)
        equal(len(server.call("GET", "/api/ps")["models"]), 1)
        behind = wire.Client(server.port)
        behind.send(post("/api/generate", prompt("sim:tokens=1", model="a")))
        stuck = wire.exchange(client, b"", timeout=1)
        equal((stuck["end"], len(stuck["chunks"])), ("timeout", 2))
        client.close()
        equal(wire.exchange(behind, b"")["status"], 200, "closing the stuck stream heals it:")


@check
def hang_all_silences_everything_until_reset():
    with Server("--fast") as server:
        server.fault(kind="hang-all")
        equal(ask(server, get("/api/version"), "GET", timeout=0.2)["end"], "timeout")
        server.call("POST", "/sim/reset")
        equal(ask(server, get("/api/version"), "GET")["status"], 200)


@check
def exit_takes_the_process_along():
    with Server("--fast") as server:
        server.fault(kind="exit", after_chunks=1)
        got = ask(server, post("/api/generate", prompt("x")))
        assert got["end"] in ("cut", "reset")
        equal(server.proc.wait(10), 1)


def cpu_ticks(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as stat:
        words = stat.read().rsplit(")", 1)[1].split()
    return int(words[11]) + int(words[12])


@check
def a_runner_uses_processor_time_while_it_works_and_none_when_wedged():
    with Server("--runners", "--model", "a,load=1ms,tokens=100000") as server:
        server.load("a")
        pid = server.stats()["runners"][0]["pid"]
        client = wire.Client(server.port)
        client.send(post("/api/generate", prompt("x", model="a")))
        server.wait(lambda s: cpu_ticks(pid) > 6, "its work")
        server.fault(kind="wedge")
        time.sleep(0.1)
        before = cpu_ticks(pid)
        time.sleep(1)
        assert cpu_ticks(pid) - before <= 1, "a wedged one works"
        client.close()


def answers_health(port):
    """Wait until the runner on that port is up."""
    until = time.monotonic() + 10
    while True:
        try:
            client = wire.Client(port)
            break
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
    equal(wire.exchange(client, get("/health"), "GET")["status"], 200)
    client.close()


@check
def runners_are_real_processes():
    with Server("--runners", "--model", "a,load=10ms") as server:
        server.load("a")
        runner = server.stats()["runners"][0]
        answers_health(runner["port"])
        with open("/proc/%d/cmdline" % runner["pid"], "rb") as cmdline:
            argv = cmdline.read().split(b"\0")
        equal(argv[:3] + argv[4:6], [b"ollama", b"runner", b"--model", b"--port", b"%d" % runner["port"]])
        with open("/proc/%d/comm" % runner["pid"], encoding="ascii") as comm:
            equal(comm.read(), "ollama\n")
        os.kill(runner["pid"], signal.SIGKILL)
        server.wait(lambda s: s["runners"][0]["dead"], "the death of the runner")
        equal(len(server.call("GET", "/api/ps")["models"]), 1)
        server.load("a")
        pid = server.stats()["runners"][0]["pid"]
        server.proc.kill()
        server.proc.wait()
        os.kill(pid, signal.SIGKILL)  # it outlived its server; without that this fails


# --- the store and the counters -----------------------------------------------------------------------------------------


@check
def the_store_can_be_changed():
    with Server("--fast") as server:
        equal(ask(server, post("/api/copy", {"source": "sim-chat", "destination": "ns/mine:v1"}))["status"], 200)
        names = [m["name"] for m in server.call("GET", "/api/tags")["models"]]
        assert "ns/mine:v1" in names, names
        got = lines(ask(server, post("/api/pull", {"model": "fresh:1b"})))
        equal((got[0]["status"], got[-1]), ("pulling manifest", {"status": "success"}))
        assert any(o.get("completed") for o in got)
        server.load("fresh:1b")
        body = b'{"model":"fresh:1b"}'
        got = ask(server, b"DELETE /api/delete HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        equal((got["status"], got["body"]), (200, ""))
        equal(ask(server, post("/api/show", {"model": "fresh:1b"}))["status"], 404)
        blob = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        equal(ask(server, post("/api/blobs/sha256:" + blob, b"hello"))["status"], 201)
        equal(ask(server, get("/api/blobs/sha256-" + blob, method="HEAD"), "HEAD")["status"], 200)


@check
def counters_tell_what_reached_the_server():
    with Server("--fast") as server:
        ask(server, post("/api/generate", prompt("sim:tokens=2"), "X-Mark: 7\r\n"))
        stats = server.stats()
        route = stats["routes"]["POST /api/generate"]
        equal(route["requests"], 1)
        assert "X-Mark: 7" in route["headers"]
        equal(json.loads(route["body"])["prompt"], "sim:tokens=2")
        equal((stats["generations"]["started"], stats["generations"]["finished"], stats["generations"]["tokens"]), (1, 1, 2))
        server.call("POST", "/sim/reset")
        assert "POST /api/generate" not in server.stats()["routes"]


@check
def a_reset_by_the_client_is_survived():
    with Server("--fast") as server:
        for cut in range(1, 120, 7):
            client = wire.Client(server.port)
            client.send(post("/api/generate", prompt("x" * 50))[:cut])
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        equal(ask(server, get("/"), "GET")["status"], 200)
        server.wait(lambda s: s["open_connections"] == 1, "the end of all connections")
