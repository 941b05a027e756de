"""Medians, ranges and ratios of the rounds, as a table for people."""

from statistics import median

from contestants import REFERENCE

WAIT_SHARE = 0.05  # of the measured time, above which figures are doubtful
HEADS = {"cpu_us": "CPU us", "rss_bytes": "bytes", "instructions": "instructions"}


def values(rounds, key):
    return [r[key] for r in rounds if key in r]


def summary(results):
    """{contestant: [round, …]} → {contestant: {key: {median, min, max, ratio}}}; ratios are medians of the rounds' own ratios, so
    that what drifts over minutes cancels."""
    out = {}
    for name, rounds in results.items():
        numbers = {}
        for key in sorted({k for r in rounds for k, v in r.items() if isinstance(v, (int, float))}):
            v = values(rounds, key)
            numbers[key] = {"median": median(v), "min": min(v), "max": max(v)}
            pairs = [(a[key], b[key]) for a, b in zip(rounds, results.get(REFERENCE, [])) if key in a and b.get(key)]
            if pairs:
                numbers[key]["ratio"] = median(a / b for a, b in pairs)
        numbers["rounds"] = len(rounds)
        out[name] = numbers
    return out


def number(v):
    if v >= 1000:
        return f"{v:,.0f}".replace(",", " ")
    return f"{v:.2f}" if v < 100 else f"{v:.0f}"


def cell(numbers, key):
    n = numbers.get(key)
    return f"{number(n['median'])} ({number(n['min'])}-{number(n['max'])})" if n else "-"


def added(numbers, direct, key):
    """A delay less that of no proxy at all; that one itself in brackets."""
    if key not in numbers:
        return "-"
    if not direct or key not in direct:
        return f"({number(numbers[key]['median'])})"
    return f"{numbers[key]['median'] - direct[key]['median']:.0f}"


def row(case, name, numbers, direct):
    key = case.columns[0]
    ratio = numbers.get(key, {}).get("ratio")
    cells = [name, cell(numbers, key), f"{ratio:.2f}" if ratio is not None else "-"]
    if key == "cpu_us":
        cells.append(" + ".join(number(numbers[k]["median"]) for k in ("user_us", "system_us")) if "user_us" in numbers else "-")
        for p in ("p50_us", "p99_us"):
            cells.append(added(numbers, None if name == "direct" else direct, p))
        cells.append(number(numbers["per_s"]["median"]) if "per_s" in numbers else "-")
    bad = int(numbers["failed"]["max"])
    cells.append(f"{bad} FAILED" if bad else "")
    return cells


def show(case, results, say):
    """Print the table of one case."""
    s = summary(results)
    head = ["", f"{HEADS[case.columns[0]]}/{case.unit} (min-max)", f"x {REFERENCE}"]
    if case.columns[0] == "cpu_us":
        head += ["user + system", "p50 added us", "p99 added us", f"{case.unit}s/s"]
    rows = [head + [""]] + [row(case, name, n, s.get("direct")) for name, n in s.items()]
    widths = [max(len(r[i]) for r in rows) for i in range(len(head))]
    say(f"\n{case.name}: {case.title}")
    for r in rows:
        say("  " + "  ".join([r[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(r[1:], widths[1:])] + [r[-1]]).rstrip())
    helpers = {k[:-8]: v["median"] for k, v in s.get("tsa", {}).items() if k.endswith("_percent")}
    if helpers:
        workers = [v for k, v in helpers.items() if k.startswith("worker")]
        say(f"  tsa's other processes, in % of a core: supervisor {helpers['supervisor']:.2f}, each of {len(workers)} workers "
            f"{sum(workers) / len(workers):.2f}")
    waits = {name: n["wait_share"]["median"] for name, n in s.items() if n.get("wait_share", {}).get("median", 0) > WAIT_SHARE}
    if waits:
        say("  disturbed: others had the core while these wanted it: " + ", ".join(f"{k} {100 * v:.0f} % of the time" for k, v in waits.items()))
    return s
