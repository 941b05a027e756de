#!/usr/bin/env python3
"""Replay recorded exchanges with a real server against ollama-sim and compare.

usage: replay.py [-v] [PATTERN...]      only the recordings whose FILE/ID matches one of the patterns

The recordings are not part of this repository.  TSA_SHARED names the folder that holds data/ollama-wire; without it ../shared
beside the repository is tried; without that they are skipped.  What own.py holds always runs.  differs.txt lists what differs on
purpose; an entry that agrees after all is reported and fails the run.
"""

import fnmatch
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import own
import scenarios
import wire
from server import ROOT, Server

HERE = os.path.dirname(os.path.abspath(__file__))
PLAIN = ("native", "openai", "anthropic", "http")


def recordings_folder():
    for base in (os.environ.get("TSA_SHARED"), os.path.join(os.path.dirname(ROOT), "shared")):
        path = os.path.join(base, "data", "ollama-wire") if base else ""
        if path and os.path.exists(os.path.join(path, "native.jsonl")):
            return path
    return None


def differs_read():
    """[(pattern, reason)]"""
    out = []
    with open(os.path.join(HERE, "differs.txt"), encoding="utf-8") as lines:
        for line in lines:
            line = line.strip()
            if line and not line.startswith("#"):
                pattern, _, reason = line.partition(" ")
                out.append((pattern, reason.strip()))
    return out


class Report:
    def __init__(self, verbose):
        self.verbose = verbose
        self.passed = self.failed = self.skipped = 0
        self.known = differs_read()
        self.used = set()

    def result(self, name, error):
        entry = next((p for p, _ in self.known if fnmatch.fnmatchcase(name, p.replace("[", "[[]"))), None)
        if entry and error:
            self.used.add(entry)
            self.skipped += 1
            print("%s: skipped: it differs on purpose: %s" % (name, dict(self.known)[entry]))
            if self.verbose:
                print("differs  %s: %s" % (name, error))
        elif error:
            self.failed += 1
            print("FAILED   %s: %s" % (name, error))
        else:
            self.passed += 1
            if entry:
                self.failed += 1
                self.passed -= 1
                print("AGREES   %s: take %s out of differs.txt" % (name, entry))
            elif self.verbose:
                print("ok       %s" % name)


def one(server, record, timeout=wire.READ_S):
    """Send a recorded request, return the answer."""
    request = dict(record["request"], id=record["id"])
    data = wire.request_bytes(request, server.port)
    want = record["response"]
    client = wire.Client(server.port)
    stop_after = len(want["chunks"]) if want["end"] == "client" else None
    if b"Expect: 100-continue" in data and want.get("interim"):
        head, _, body = data.partition(b"\r\n\r\n")
        data, client.held_back = head + b"\r\n\r\n", body
    method = request.get("method") or data.split(b" ", 1)[0].decode("latin-1")
    got = wire.exchange(
        client, data, method, 0.6 if want["end"] == "timeout" else timeout, (lambda c, n: "stop" if n == stop_after else None) if stop_after else None
    )
    if want.get("connection_after") and got["end"] == "clean":
        got["connection_after"] = wire.connection_after(client, 2 if want["connection_after"] == "closed" else 0.02)
    client.close()
    return got


def compared(record, got):
    try:
        wire.compare(record, got)
    except wire.Differ as differ:
        return str(differ)
    return None


def plain_run(name, records, wanted, report):
    """Exchanges that need nothing but an order."""
    with Server("--profile", "empty") as empty, Server("--profile", "wire", "--no-pull") as server:
        for record in records:
            full = "%s/%s" % (name, record["id"])
            if not wanted(full):
                continue
            at = empty if "empty" in record["id"] and ("nothing loaded" in record["note"] or "empty store" in record["note"]) else server
            report.result(full, compared(record, one(at, record)))


def scenario_run(name, records, wanted, report):
    groups = {}
    for record in records:
        groups.setdefault(record["scenario"], []).append(record)
    for scenario, steps in groups.items():
        if not any(wanted("%s/%s" % (name, r["id"])) for r in steps):
            continue
        answers = scenarios.run(scenario, {r["id"].partition("/")[2]: r for r in steps})
        for record in steps:
            step = record["id"].partition("/")[2]
            error = "no such step was played" if step not in answers else answers[step]
            if not isinstance(error, str):
                error = compared(record, error) or scenarios.times_compare(record, answers[step])
            report.result("%s/%s" % (name, record["id"]), error)


def main(argv):
    verbose = "-v" in argv
    patterns = [a for a in argv if a != "-v"]

    def wanted(full):
        return not patterns or any(fnmatch.fnmatchcase(full, p) for p in patterns)

    report = Report(verbose)
    own.run(report, wanted)
    folder = recordings_folder()
    if folder is None:
        print("recordings: skipped: data/ollama-wire is not at hand (TSA_SHARED)")
        report.skipped += 1
    for name in PLAIN + ("lifecycle", "faults") if folder else ():
        with open(os.path.join(folder, name + ".jsonl"), encoding="utf-8") as lines:
            records = [json.loads(line) for line in lines]
        (plain_run if name in PLAIN else scenario_run)(name, records, wanted, report)
    if folder and not patterns:
        for pattern, _ in report.known:
            if pattern not in report.used:
                report.failed += 1
                print("UNUSED   %s: nothing that differs matches it; take it out of differs.txt" % pattern)
    print("%d passed, %d failed, %d skipped" % (report.passed, report.failed, report.skipped))
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
