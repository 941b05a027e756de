"""What is asked of each contestant, and the numbers that come out of one run."""

import json
import os
import re
import shutil
import subprocess

from contestants import Unable


PROFILE_LINES = 30


class Failed(Exception):
    """The load did not run."""


def load(bench, contestant, command, *options, prefix=()):
    """One run of tsa-load on the load's core; its JSON."""
    pids = [p for p in [contestant.pid, *contestant.others.values()] if p]
    words = [*(prefix or bench.prefix), "taskset", "-c", str(bench.load_core), bench.tsa_load, command, "-j", "--to", contestant.addr]
    for pid in pids:
        words += ["--watch", str(pid)]
    r = subprocess.run([*words, *map(str, options)], capture_output=True, text=True, check=False)
    try:
        out = json.loads(r.stdout)
    except ValueError:
        raise Failed(f"tsa-load {command}: {r.stderr.strip() or r.returncode}") from None
    out["stderr"] = r.stderr
    return out


def common(out, contestant):
    """The numbers every case has: what the proxying process and its helpers spent, and how many answers were wrong."""
    numbers = {"failed": out["failed"], "asked": out["asked"], "failures": out["failures"], "per_s": 0.0}
    if out["window"]["seconds"] > 0:
        numbers["per_s"] = out["window"]["count"] / out["window"]["seconds"]
    watched = out["watched"]
    if watched:
        count = max(out["window"]["count"], 1)
        numbers["cpu_us"] = watched[0]["cpu_us_per_unit"]
        numbers["wait_share"] = watched[0]["wait_us"] / max(out["window"]["seconds"] * 1e6, 1e-9)
        numbers["user_us"] = watched[0]["user_us"] / count
        numbers["system_us"] = watched[0]["system_us"] / count
        for name, w in zip(contestant.others, watched[1:]):
            # Their work does not depend on the load: a share of one core says more than a cost per request.
            numbers[f"{name}_percent"] = w["cpu_us"] / max(out["window"]["seconds"], 1e-9) / 1e4
    return numbers


def profile(bench, case, contestant, say):
    """Where the time of one run goes, by perf's samples: user space and kernel, the warm-up included."""
    samples = os.path.join(bench.new_dir("profile"), "samples")
    bench.prefix = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "5000", "-o", samples, "-p", str(contestant.pid), "--"]
    try:
        cost = case.run(bench, contestant).get("cpu_us", 0.0)
    finally:
        bench.prefix = []
    r = subprocess.run(["perf", "report", "-i", samples, "--stdio", "-g", "none", "-F", "overhead,sym,dso", "-w", "0,0,0"],
                       capture_output=True, text=True, check=False)
    lines = re.findall(r"^\s*([\d.]+)%\s+\[(.)\]\s+(\S+)\s+(\S+)", r.stdout, re.M)
    say(f"\n{case.name}: {contestant.name}: {cost:.2f} us CPU for each {case.unit}")
    for percent, where, symbol, dso in lines[:PROFILE_LINES]:
        say(f"  {float(percent):5.1f} %  {float(percent) * cost / 100:6.3f} us  {'kernel' if where == 'k' else dso:24} {symbol}")
    user = sum(float(line[0]) for line in lines if line[1] != "k")
    say(f"  user space {user:.1f} % = {user * cost / 100:.2f} us, of which tsa's own code "
        f"{sum(float(line[0]) for line in lines if line[3].startswith('tsa-')) * cost / 100:.2f} us")
    bench.keep(samples, f"perf.{contestant.name}.{case.name}")


class Requests:
    """Whole answers on keep-alive connections, as fast as they come."""

    unit = "request"
    columns = ("cpu_us",)
    fresh = False

    def __init__(self, name, title, body, conns, requests, quick):
        self.name, self.title, self.body, self.conns, self.requests, self.quick = name, title, body, conns, requests, quick

    def run(self, bench, contestant):
        n = self.quick if bench.quick else self.requests
        out = load(bench, contestant, "request", "--body-bytes", self.body, "--conns", self.conns, "--requests", n)
        return {**common(out, contestant), "p50_us": out["latency_us"]["p50"], "p99_us": out["latency_us"]["p99"]}


class Chunks:
    """Streams that talk: CPU for each chunk, and how late it arrives."""

    unit = "chunk"
    columns = ("cpu_us",)
    fresh = False

    def __init__(self, streams, interval_ms, quick):
        self.name = f"chunk-{streams}"
        self.title = f"{streams} streams, a chunk of 160 bytes each every {interval_ms} ms"
        self.streams, self.interval_ms, self.quick = streams, interval_ms, quick

    def run(self, bench, contestant):
        ramp_ms, steady_ms = (200, 400) if bench.quick else (max(500, self.streams // 2), 2000)
        chunks = (ramp_ms + steady_ms) // self.interval_ms + 1
        out = load(bench, contestant, "stream", "--streams", self.streams, "--chunks", chunks, "--interval", f"{self.interval_ms}ms",
                   "--ramp", f"{ramp_ms}ms")
        return {**common(out, contestant), "p50_us": out["delay_us"]["p50"], "p99_us": out["delay_us"]["p99"]}


class LowLoad:
    """A few requests a second: what the proxy adds to the latency of each."""

    name, unit, quick, fresh = "low", "request", None, False
    title = "500 requests of 600 bytes a second, on 8 connections"
    columns = ("cpu_us",)

    def run(self, bench, contestant):
        out = load(bench, contestant, "request", "--rate", 500, "--conns", 8, "--requests", 1200)
        return {**common(out, contestant), "p50_us": out["latency_us"]["p50"], "p99_us": out["latency_us"]["p99"]}


class Idle:
    """Streams that fall silent after a chunk: memory of each.  On a process just started, as a used one has room already."""

    name, unit, quick, fresh = "idle", "open stream", True, True
    title = "memory of open, silent streams (RSS, user space)"
    columns = ("rss_bytes",)

    def run(self, bench, contestant):
        streams, hold, ramp = (1000, "600ms", "300ms") if bench.quick else (bench.idle_streams, "4s", "2s")
        load(bench, contestant, "request", "--conns", 4, "--requests", 400)
        out = load(bench, contestant, "idle", "--streams", streams, "--hold", hold, "--ramp", ramp)
        numbers = {"failed": out["failed"], "asked": out["asked"], "failures": out["failures"]}
        if out["watched"]:
            w = out["watched"][0]
            numbers["rss_bytes"] = (w["rss_open_bytes"] - w["rss_before_bytes"]) / streams
        return numbers


def by_the_clock(report, function):
    """Instructions of a function and of all that it calls, by callgrind's report."""
    if not function:
        return 0
    r = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", "--auto=no", report], capture_output=True, text=True,
                       check=False)
    found = re.search(rf"^\s*([\d,]+) .*:{function} \[", r.stdout, re.M)
    if not found:
        raise Unable(f"callgrind saw no call of {function}")
    return int(found.group(1).replace(",", ""))


class Instructions:
    """Instructions for each request or chunk: the figure that stays the same from run to run, for comparing commits.

    With hardware counters, all of them; else user space alone, by callgrind: a short and a long run, and the difference.  Callgrind
    slows a program some fifty times but not the clock, so that what is done every few milliseconds is done at nearly every request:
    what a contestant calls by the clock (`clockwork`) is taken off there, with all that it calls."""

    columns = ("instructions",)
    quick = None
    fresh = True

    def __init__(self, name, title, unit, command, few, many):
        self.name, self.title, self.unit, self.command, self.few, self.many = name, title, unit, command, few, many

    def counted(self, bench, contestant, options):
        """(instructions, units) of one run."""
        if bench.perf:
            report = os.path.join(bench.new_dir("perf"), "report")
            contestant.start()
            try:
                prefix = ["perf", "stat", "-x,", "-e", "instructions", "-o", report, "-p", str(contestant.pid), "--"]
                out = load(bench, contestant, self.command, *options, prefix=prefix)
            finally:
                contestant.stop()
            with open(report, encoding="utf-8") as f:
                return int(re.search(r"^(\d+),", f.read(), re.M).group(1)), out
        if not shutil.which("valgrind"):
            raise Unable("valgrind is not installed, and this machine counts no instructions; apt-get install valgrind")
        report = os.path.join(bench.new_dir("callgrind"), "out")
        contestant.wrapper = ["valgrind", "--tool=callgrind", "-q", f"--callgrind-out-file={report}"]
        contestant.start()
        try:
            out = load(bench, contestant, self.command, *options)
        finally:
            contestant.stop()
        with open(report, encoding="utf-8", errors="replace") as f:
            totals = re.findall(r"^(?:totals|summary): (\d+)", f.read(), re.M)
        if not totals:
            raise Unable("callgrind wrote no total")
        bench.keep(report, f"callgrind.{contestant.name}.{self.name}")
        return int(totals[-1]) - by_the_clock(report, contestant.clockwork), out

    def run(self, bench, contestant):
        few, out = self.counted(bench, contestant, self.few[1])
        many, out2 = self.counted(bench, contestant, self.many[1])
        return {"failed": out["failed"] + out2["failed"], "asked": out["asked"] + out2["asked"],
                "failures": {**out["failures"], **out2["failures"]},
                "instructions": (many - few) / (self.many[0] - self.few[0])}


def request_runs(n, body):
    return n, ("--requests", n, "--conns", 8, "--body-bytes", body)


def stream_runs(chunks):
    # Chunks come one by one even under valgrind: 20 streams, each every 40 ms.
    return 20 * chunks, ("--streams", 20, "--chunks", chunks, "--interval", "40ms", "--ramp", "200ms")


CASES = (
    Requests("short", "POST of 600 bytes, answer of 1000 bytes, 64 connections", "600B", 64, 50000, 15000),
    Requests("long", "POST of 200 kB, answer of 1000 bytes, 16 connections", "200kB", 16, 4000, 1200),
    Chunks(50, 20, None),
    Chunks(400, 20, True),
    Chunks(2000, 50, None),
    LowLoad(),
    Idle(),
)

COUNTED = (
    Instructions("instr-short", "instructions for a POST of 600 bytes", "request", "request", request_runs(500, "600B"),
                 request_runs(2500, "600B")),
    Instructions("instr-long", "instructions for a POST of 200 kB", "request", "request", request_runs(100, "200kB"),
                 request_runs(500, "200kB")),
    Instructions("instr-chunk", "instructions for a chunk", "chunk", "stream", stream_runs(20), stream_runs(120)),
)
