"""The recorded sequences: for each scenario, how to bring a simulator into its situation and play its steps."""

import datetime
import json
import os
import signal
import threading
import time

import wire
from server import Server

LONG = "<|go-long|>"


PLAYS = []


class Play:
    """A server, the recorded steps, and the answers to them."""

    def __init__(self, steps, *args, env=None, profile="wire"):
        self.steps = steps
        self.server = Server("--profile", profile, *args, env=env)
        self.answers = {}
        self.threads = []
        PLAYS.append(self)

    def ask(self, step, **how):
        """Play one step in the foreground."""
        record = self.steps[step]
        request = dict(record["request"])
        body = request.get("body") or ""
        if body.endswith('[<150 strings of 480 bytes>]}'):
            request["body"] = body.replace("[<150 strings of 480 bytes>]", json.dumps(["x" * 480] * 150))
        client = wire.Client(self.server.port)
        if "client" in how:
            how.pop("client").append(client)
        got = wire.exchange(client, wire.request_bytes(request, self.server.port), request["method"], **how)
        got["answered_at"] = time.time()
        client.close()
        self.answers[step] = got
        return got

    def begin(self, step, **how):
        """Play one step in the background."""
        thread = threading.Thread(target=self.ask, args=(step,), kwargs=how, daemon=True)
        thread.start()
        self.threads.append(thread)
        return thread

    def busy(self, tokens, model="script", **more):
        """Occupy a slot with a long generation; returns when it has it."""
        before = self.server.stats()["generations"]["started"]
        body = {"model": model, "prompt": LONG, "stream": False, "options": {"num_predict": tokens}, **more}
        thread = threading.Thread(target=self.server.call, args=("POST", "/api/generate", body), daemon=True)
        thread.start()
        self.threads.append(thread)
        self.server.wait(lambda s: s["generations"]["started"] > before, "the long generation")

    def runner_pid(self, model):
        stats = self.server.wait(lambda s: any(r["name"] == model + ":latest" and r["pid"] for r in s["runners"]), "a runner of " + model)
        return next(r["pid"] for r in stats["runners"] if r["name"] == model + ":latest")

    def kill_runner(self, model, number=signal.SIGKILL):
        os.kill(self.runner_pid(model), number)

    def active(self, model):
        """Wait until somebody generates on that model."""
        self.server.wait(lambda s: any(r["name"] == model + ":latest" and r["slots_used"] for r in s["runners"]), "a generation on " + model)

    def resident(self, *models):
        self.server.wait(
            lambda s: {r["name"] for r in s["runners"] if r["state"] == "ready"} == {m if ":" in m else m + ":latest" for m in models},
            "residence of exactly %s" % (models,),
        )

    def finish(self):
        for thread in self.threads:
            thread.join(30)
        self.server.stop()
        return self.answers


SCENARIOS = {}


def scenario(name):
    def keep(fn):
        SCENARIOS[name] = fn
        return fn

    return keep


def run(name, steps):
    """{step: answer, or a sentence why there is none}"""
    fn = SCENARIOS.get(name)
    if fn is None:
        fn = crash if name.startswith("crash-") else server_killed if name.startswith("server-SIG") else None
    try:
        return fn(steps, name) if fn in (crash, server_killed) else fn(steps)
    except Exception as error:  # one broken scenario must not hide the others
        return {step: "the scenario failed: %r" % error for step in steps}
    finally:
        for play in PLAYS:
            play.server.stop()
        PLAYS.clear()


def times_compare(record, got):
    """The times that a recording promises: expiries, and what was answered during a load."""
    wanted = record.get("expires_in_s")
    if record.get("answered_during_load") is not None and got.get("during") != record["answered_during_load"]:
        return "answered during the load: %s instead of %s" % (got.get("during"), record["answered_during_load"])
    if not wanted:
        return None
    listed = {m["name"]: m["expires_at"] for m in json.loads(wire.body_of(got))["models"]}
    for name, seconds in wanted.items():
        if seconds == "forever":
            if int(listed[name][:4]) < 2200:
                return "%s expires at %s instead of never" % (name, listed[name])
            continue
        at = datetime.datetime.fromisoformat(listed[name][:19] + "+00:00").timestamp()
        offset = listed[name][-6:]
        if offset[0] in "+-":
            at -= (1 if offset[0] == "+" else -1) * (int(offset[1:3]) * 3600 + int(offset[4:]) * 60)
        if abs(at - got["answered_at"] - seconds) > 1.5:
            return "%s expires in %.1f s instead of %.1f s" % (name, at - got["answered_at"], seconds)
    return None


# --- lifecycle ------------------------------------------------------------------------------------------------------------


@scenario("cold-load")
def cold_load(steps):
    play = Play(steps)
    for step in ("ps-before", "load", "ps-after", "warm"):
        play.ask(step)
    return play.finish()


@scenario("one-slot")
def one_slot(steps):
    play = Play(steps)
    play.server.load("script")
    play.busy(600)
    play.begin("waiter")
    play.server.wait(lambda s: s["runners"][0]["waiting"] == 1, "the waiter")
    play.ask("probe-while-busy")
    play.ask("ps-while-busy")
    return play.finish()


@scenario("busy-past-expiry")
def busy_past_expiry(steps):
    play = Play(steps)
    play.server.load("script", keep_alive=1)
    play.busy(1000)
    time.sleep(2.2)
    play.ask("ps")
    play.server.wait(lambda s: not s["runners"][0]["refs"], "the end of the generation")
    play.ask("ps-idle")
    play.resident()
    play.ask("ps-gone")
    return play.finish()


@scenario("unload-while-busy")
def unload_while_busy(steps):
    play = Play(steps)
    play.server.load("script")
    play.busy(400)
    play.ask("unload")
    play.ask("ps")
    play.ask("slips-in")
    play.resident()
    play.ask("ps-gone")
    return play.finish()


@scenario("reload")
def reload(steps):
    play = Play(steps)
    play.server.load("tiny")
    for step in ("same-ctx", "other-ctx", "ps", "back", "too-big", "ps2"):
        play.ask(step)
    return play.finish()


@scenario("keep-alive")
def keep_alive(steps):
    play = Play(steps)
    for step in list(steps):
        if not step.startswith("ps-after"):
            play.server.load("tiny", keep_alive="5m")
        elif not steps[step]["expires_in_s"]:
            play.resident()
        play.ask(step)
    return play.finish()


@scenario("sticky")
def sticky(steps):
    play = Play(steps)
    play.server.load("tiny", keep_alive=-1)
    for step in list(steps):
        play.ask(step)
    return play.finish()


@scenario("alias")
def alias(steps):
    play = Play(steps)
    for step in list(steps):
        play.ask(step)
    return play.finish()


@scenario("evict")
def evict(steps):
    play = Play(steps)
    play.server.load("tiny", keep_alive=100)
    play.server.load("script", keep_alive=-1)
    play.server.load("mid", keep_alive=200)
    for step in ("ps-three", "fourth", "ps-evicted"):
        play.ask(step)
    return play.finish()


@scenario("three-slots")
def three_slots(steps):
    play = Play(steps, env={"OLLAMA_NUM_PARALLEL": "3"})
    play.server.load("script")
    for i in range(5):
        play.begin("r%d" % i)
    for thread in play.threads:
        thread.join(30)
    play.ask("ps")
    return play.finish()


def loading(steps, overlap):
    play = Play(steps, env={"OLLAMA_NEW_ENGINE": "1"} if overlap else None)
    play.begin("owner")
    play.server.wait(lambda s: s["runners"] and s["runners"][0]["state"] == "loading", "the load")
    play.ask("ps")
    if overlap:
        play.begin("unload")
    else:
        play.ask("unload")
    play.begin("second")
    play.begin("other")
    answers = play.finish()
    done = answers["owner"]["answered_at"]
    for step in ("unload", "second", "other"):
        answers[step]["during"] = answers[step]["answered_at"] < done - 0.2
    return answers


@scenario("loading-llama")
def loading_llama(steps):
    return loading(steps, False)


@scenario("loading-ollama")
def loading_ollama(steps):
    return loading(steps, True)


@scenario("queue-full")
def queue_full(steps):
    play = Play(steps, env={"OLLAMA_MAX_QUEUE": "2"})
    play.server.load("script")
    clients = []
    for model in ("big", "mid", "mid"):
        client = wire.Client(play.server.port)
        body = b'{"model":"%s"}' % model.encode()
        client.send(b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        clients.append(client)
        play.server.wait(lambda s, n=len(clients): s["queued"] == n - 1 and len(s["runners"]) == 2, "the queue")
    for step in list(steps):
        if step == "after-leave":
            clients[1].close()
            clients[2].close()
            play.server.wait(lambda s: s["leaked_fds"] == 2, "the two lost clients")
        play.ask(step)
    return play.finish()


@scenario("context-env")
def context_env(steps):
    play = Play(steps, env={"OLLAMA_CONTEXT_LENGTH": "2048"})
    play.server.load("tiny")
    play.ask("ps")
    return play.finish()


# --- faults ---------------------------------------------------------------------------------------------------------------


def crash(steps, name):
    """A runner dies under a stream after its fourth chunk, or under an answer in one piece."""
    if name.startswith("crash-audio"):
        play = Play(steps)
        model = name.rpartition("-")[2]
        play.server.load(model)
        play.server.fault(kind="crash-stream", after_chunks=1)
        play.ask("cut")
        return play.finish()
    play = Play(steps, "--runners")
    play.server.load("script")
    if name.endswith("-stream"):
        play.ask("cut", on_chunk=lambda c, n: play.kill_runner("script") if n == 4 else None)
        if "ps" in steps:
            play.ask("ps")
            play.ask("next")
    else:
        play.begin("cut")
        play.active("script")
        # What is told differs before the first token; nothing shows when that is, so give it time.
        time.sleep(0.3)
        play.kill_runner("script")
    return play.finish()


@scenario("crash-waiter")
def crash_waiter(steps):
    play = Play(steps, "--runners")
    play.server.load("script")
    play.begin("active")
    play.active("script")
    play.begin("waiter")
    play.server.wait(lambda s: s["runners"][0]["waiting"] == 1, "the waiter")
    time.sleep(0.1)
    play.kill_runner("script")
    return play.finish()


@scenario("crash-embed")
def crash_embed(steps):
    play = Play(steps, "--runners")
    for step in ("embed", "v1-embeddings"):
        play.server.call("POST", "/api/embed", {"model": "embed", "input": ""})
        thread = play.begin(step)
        play.active("embed")
        play.kill_runner("embed")
        thread.join(30)
    return play.finish()


@scenario("crash-idle")
def crash_idle(steps):
    play = Play(steps, "--runners")
    play.server.call("POST", "/api/embed", {"model": "embed", "input": ""})
    play.server.load("script")
    play.kill_runner("script")
    play.server.wait(lambda s: any(r["dead"] for r in s["runners"]), "the death of the runner")
    play.ask("ps")
    play.ask("load")
    return play.finish()


@scenario("crash-in-load")
def crash_in_load(steps):
    play = Play(steps, "--runners")
    play.begin("owner")
    pid = play.runner_pid("big")
    play.begin("second")
    play.server.wait(lambda s: s["queued"] == 1, "the second request")
    os.kill(pid, signal.SIGKILL)
    return play.finish()


@scenario("crash-before-listen")
def crash_before_listen(steps):
    play = Play(steps)
    play.server.fault(kind="hang-load", model="mid")
    play.begin("owner", timeout=0.6)
    play.server.wait(lambda s: s["runners"], "the stuck load")
    play.begin("behind")
    return play.finish()


@scenario("load-owner-leaves")
def load_owner_leaves(steps):
    play = Play(steps)
    client = wire.Client(play.server.port)
    client.send(b'POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\n\r\n{"model":"big"}')
    play.server.wait(lambda s: s["runners"], "the load")
    thread = play.begin("second")
    play.server.wait(lambda s: s["queued"] == 1, "the second request")
    client.close()
    thread.join(30)
    play.server.load("big", keep_alive=0)
    play.resident()
    play.begin("half-close", after_send=lambda c: (play.server.wait(lambda s: s["runners"], "the load"), c.half_close()))
    return play.finish()


@scenario("half-close")
def half_close(steps):
    play = Play(steps)
    play.server.call("POST", "/api/embed", {"model": "embed", "input": ""})
    play.server.load("tiny")
    play.server.load("script")
    for step in ("version", "ps", "tags"):
        play.ask(step, after_send=lambda c: c.half_close())
    for step in ("probe", "generate"):
        play.ask(step, after_send=lambda c: c.half_close(), timeout=0.5)
    play.ask("generate-later", after_send=lambda c: (play.active("script"), time.sleep(0.1), c.half_close()))
    for step in ("stream", "v1-stream", "v1-messages-stream"):
        play.ask(step, on_chunk=lambda c, n: c.half_close() if n == 4 else None)
    return play.finish()


@scenario("wedge")
def wedge(steps):
    play = Play(steps, "--runners", "--ping-timeout", "200ms")
    play.server.call("POST", "/api/embed", {"model": "embed", "input": ""})
    play.server.load("tiny")
    play.server.load("script")
    play.kill_runner("script", signal.SIGSTOP)
    play.server.wait(lambda s: any(r["wedged"] for r in s["runners"]), "the stop of the runner")
    for step in ("version", "tags", "ps", "other"):
        play.ask(step)
    got = play.ask("generate")
    if not 0.35 < got["t"] < 5:
        play.answers["generate"] = "two failed pings took %.2f s instead of 0.4 s" % got["t"]
    play.ask("stream", timeout=1, on_chunk=lambda c, n: play.kill_runner("script", signal.SIGSTOP) if n == 4 else None)
    return play.finish()


def server_killed(steps, name):
    number = getattr(signal, name.split("-")[1])
    play = Play(steps)
    play.server.load("script")

    def at_chunk(_client, n):
        if n == 1 and "queued" in steps:
            play.begin("queued")
            play.server.wait(lambda s: s["runners"][0]["waiting"] == 1, "the waiter")
        if n == 4:
            play.server.proc.send_signal(number)

    play.ask("stream", on_chunk=at_chunk)
    status = play.server.proc.wait(10)
    if number == signal.SIGTERM and status != 0:
        play.answers["stream"] = "exit status %d instead of 0" % status
    return play.finish()


@scenario("server-stopped")
def server_stopped(steps):
    play = Play(steps)
    play.server.proc.send_signal(signal.SIGSTOP)
    play.ask("version", timeout=0.5)
    return play.finish()


@scenario("starting")
def starting(steps):
    play = Play(steps, "--start-delay", "60s")
    play.ask("root", timeout=0.5)
    return play.finish()


@scenario("load-timeout")
def load_timeout(steps):
    play = Play(steps, env={"OLLAMA_LOAD_TIMEOUT": "300ms"})
    play.server.fault(kind="stall-load", model="big")
    play.ask("owner")
    return play.finish()


@scenario("missing-weights")
def missing_weights(steps):
    play = Play(steps, "--model", "big,broken")
    for step in list(steps):
        play.ask(step)
    return play.finish()


@scenario("truncated-weights")
def truncated_weights(steps):
    play = Play(steps)
    text = 'tensor "blk.0.attn_q.weight" offset+size (405728) exceeds file size (400000)'
    play.server.fault(kind="crash-load", model="tiny", count=0, message=text)
    for step in list(steps):
        play.ask(step)
    return play.finish()


@scenario("crash-in-prompt")
def crash_in_prompt(steps):
    play = Play(steps, "--runners")
    for step in list(steps):
        play.server.load("mid")
        thread = play.begin(step)
        play.active("mid")
        play.kill_runner("mid")
        thread.join(30)
    return play.finish()


@scenario("cancel-in-prompt")
def cancel_in_prompt(steps):
    play = Play(steps)
    play.server.load("mid")
    body = json.dumps({"model": "mid", "prompt": "a" * 400}).encode()
    client = wire.Client(play.server.port)
    client.send(b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    play.active("mid")
    client.close()
    play.server.wait(lambda s: not any(r["slots_used"] for r in s["runners"]), "the free slot")
    got = play.ask("next")
    if got["t"] < 0.5:
        play.answers["next"] = "the abandoned prompt was not worked off"
    return play.finish()


@scenario("repeat-abort-audio")
def repeat_abort_audio(steps):
    play = Play(steps)
    for step in list(steps):
        play.ask(step)
    return play.finish()
