"""What is measured: each contestant is started between a load and an origin, pinned to one core, and stopped by pid."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time

START_S = 30.0
STOP_S = 10.0


class Unable(Exception):
    """A contestant cannot take part; the text says why and what to do."""


def free_port():
    """A loopback port that was free a moment ago."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_listening(addr, child, deadline):
    """Until somebody accepts on `addr`, or the child is dead, or the time is up."""
    host, port = addr.rsplit(":", 1)
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise Unable(f"it ended with status {child.returncode} instead of listening on {addr}")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise Unable(f"it did not listen on {addr} within {START_S:.0f} s")


class Contestant:
    """A program of its own between load and origin.  `pid` is the process that proxies; `others` are its helpers."""

    name = ""
    quick = True  # takes part in --quick
    program = None  # looked for on the PATH
    package = None  # Debian's
    clockwork = None  # the function that does what is done every few milliseconds, whatever the load

    def __init__(self, bench):
        self.bench = bench
        self.child = None
        self.dir = None
        self.addr = None
        self.pid = None
        self.others = {}
        self.wrapper = []  # valgrind, where instructions are counted

    def command(self):
        raise NotImplementedError

    def start(self):
        self.dir = self.bench.new_dir(self.name)
        self.addr = f"127.0.0.1:{free_port()}"
        with open(os.path.join(self.dir, "output"), "wb") as out:
            self.child = subprocess.Popen(["taskset", "-c", str(self.bench.proxy_core), *self.command()], stdin=subprocess.DEVNULL,
                                          stdout=out, stderr=subprocess.STDOUT, cwd=self.dir)
        self.pid = self.child.pid
        try:
            self.started(time.monotonic() + START_S)
        except Unable as e:
            self.stop()
            raise Unable(f"{e}; its output: {self.output()}") from None
        return self

    def started(self, deadline):
        wait_listening(self.addr, self.child, deadline)

    def output(self):
        with open(os.path.join(self.dir, "output"), encoding="utf-8", errors="replace") as f:
            return f.read()[-800:].strip() or "(none)"

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def stop(self):
        if self.child and self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.child = None


class Direct:
    """No proxy at all: what load and origin themselves take."""

    name = "direct"
    quick = True

    def __init__(self, bench):
        self.addr = bench.origin.addr
        self.pid = None
        self.others = {}

    def start(self):
        return self

    def stop(self):
        pass


class Forward(Contestant):
    """The floor: both legs, no look at the bytes."""

    name = "forward"

    def command(self):
        return [*self.wrapper, self.bench.tsa_load, "forward", "--listen", self.addr, "--to", self.bench.origin.addr, "--time", "1h"]


HAPROXY = """\
global
    nbthread 1
    maxconn {conns}
    {tune}
defaults
    mode http
    timeout connect 5s
    timeout client 120s
    timeout server 120s
    option http-keep-alive
    option http-no-delay
    http-reuse always
frontend f
    bind {addr}
    {choose}
    default_backend {default}
backend b
    balance leastconn
{servers}
backend nowhere
    http-request deny deny_status 503
"""


class HAProxy(Contestant):
    name = "haproxy"
    program = "haproxy"
    package = "haproxy"
    choose = ""
    tune = ""
    default = "b"

    def command(self):
        servers = [f"    server o{i} {a}" for i, a in enumerate(self.bench.origin.addrs)]
        conf = self.write("haproxy.cfg", HAPROXY.format(addr=self.addr, conns=self.bench.conns_max, tune=self.tune,
                                                        choose=self.choose.format(dir=self.dir), default=self.default,
                                                        servers="\n".join(servers)))
        return [*self.wrapper, shutil.which("haproxy"), "-q", "-db", "-f", conf]


class HAProxyModel(HAProxy):
    """HAProxy that does a part of tsa's work: it waits for the body and picks the backend by the model in it."""

    name = "haproxy-model"
    quick = False
    tune = "tune.bufsize 16384"
    default = "nowhere"
    choose = ("option http-buffer-request\n    http-request set-var(txn.model) req.body,json_query('$.model')\n"
              "    use_backend %[var(txn.model),map({dir}/models,nowhere)]")

    def command(self):
        self.write("models", "other:latest nowhere\nbench:latest b\n")
        return super().command()


NGINX = """\
daemon off;
master_process off;
worker_processes 1;
pid {dir}/pid;
error_log {dir}/errors crit;
events {{ worker_connections {conns}; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_buffer_size 256k;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
    upstream o {{ least_conn; {servers} keepalive 4096; keepalive_requests 1000000000; }}
    server {{
        listen {addr} backlog=4096;
        location / {{
            proxy_pass http://o;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 120s;
        }}
    }}
}}
"""


class Nginx(Contestant):
    name = "nginx"
    program = "nginx"
    package = "nginx-light"

    def command(self):
        conf = self.write("nginx.conf", NGINX.format(dir=self.dir, addr=self.addr, conns=2 * self.bench.conns_max,
                                                     servers=" ".join(f"server {a};" for a in self.bench.origin.addrs)))
        return [*self.wrapper, shutil.which("nginx"), "-p", self.dir, "-e", os.path.join(self.dir, "errors"), "-c", conf]


class Tsa(Contestant):
    """The real thing: tsad with adopted instances; the router is what is measured."""

    name = "tsa"
    clockwork = "view_refresh"  # the board is looked at again when the last look was 2 ms ago

    def command(self):
        build = self.bench.build
        for program in ("tsad", "tsa-worker", "tsa-router", "tsactl"):
            if not os.access(os.path.join(build, program), os.X_OK):
                raise Unable(f"{build}/{program} is not there; run make")
        if self.wrapper:
            build = self.wrapped(build)
        self.state = os.path.join(self.dir, "state")
        adopt = [f"--adopt=bench{i}=http://{a}" for i, a in enumerate(self.bench.origin.addrs)]
        return [os.path.join(build, "tsad"), "--listen", self.addr, *adopt, "--slots", "1000", "--state", self.state]

    def wrapped(self, build):
        """A folder like build/, but its tsa-router runs the real one under the wrapper."""
        out = os.path.join(self.dir, "bin")
        os.mkdir(out)
        # The classifier's weights lie beside the folder that tsad runs in.
        os.symlink(os.path.join(os.path.dirname(os.path.realpath(os.path.join(build, "tsad"))), "..", "etc"), os.path.join(self.dir, "etc"))
        for program in ("tsad", "tsa-worker"):
            shutil.copy(os.path.join(build, program), out)
        script = os.path.join(out, "tsa-router")
        with open(script, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\nexec " + " ".join(self.wrapper) + f" {build}/tsa-router \"$@\"\n")
        os.chmod(script, 0o755)
        return out

    def tsactl(self, *words, timeout):
        r = subprocess.run([os.path.join(self.bench.build, "tsactl"), "--state", self.state, *words], capture_output=True, text=True,
                           timeout=timeout, check=False)
        if r.returncode:
            raise Unable(f"tsactl {' '.join(words)} ended with status {r.returncode}: {(r.stderr or r.stdout).strip()[-300:]}")
        return r.stdout

    def started(self, deadline):
        # The control socket comes a moment after the process.
        while not os.path.exists(os.path.join(self.state, "control")):
            if self.child.poll() is not None:
                raise Unable(f"tsad ended with status {self.child.returncode}")
            if time.monotonic() > deadline:
                raise Unable("tsad made no control socket")
            time.sleep(0.02)
        self.tsactl("wait", "ready", "--timeout", "30s", timeout=START_S + 5)
        status = json.loads(self.tsactl("-j", "status", timeout=10))
        self.pid = status["routers"][0]["pid"]
        self.others = {"supervisor": status["supervisor"]["pid"]}
        for instance in status["instances"]:
            self.others[f"worker {instance['name']}"] = instance["worker_pid"]
        wait_listening(self.addr, self.child, deadline)


CONTESTANTS = (Direct, Forward, HAProxy, HAProxyModel, Nginx, Tsa)
REFERENCE = HAProxy.name


def install_missing(say):
    """haproxy and nginx from Debian's packages, where they are missing and we may."""
    missing = sorted({c.package for c in CONTESTANTS if getattr(c, "program", None) and not shutil.which(c.program)})
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        say(f"not installed: {' '.join(missing)}; as root, apt-get install {' '.join(missing)} lets them take part")
        return
    say(f"installing {' '.join(missing)} (apt-get)")
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for command in (["apt-get", "-q", "update"], ["apt-get", "-q", "install", "-y", "--no-install-recommends", *missing]):
        subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
