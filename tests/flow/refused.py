"""How long a refusal takes on the wire: a process that does nothing else, so that its own load generator cannot slow it down.

refused.py PORT SECONDS EVERY_S: asks every so often, as somebody who has time and a long prompt, each time on a new connection, and prints JSON: for each
refusal the milliseconds from the request sent to the end of the answer, those of a question of no work right after it (what this machine
takes for any question at that moment), and its status and Retry-After.  Who is admitted waits for its answer, which is one token long, on the side."""
import json
import socket
import sys
import time

from openloop import Shot, bytes_of

PATIENCE_S = 0.5  # who hears nothing for so long has been admitted


def ask(port, data):
    """(socket, when sent)"""
    s = socket.create_connection(('127.0.0.1', port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.settimeout(PATIENCE_S)
    s.sendall(data)
    return s, time.monotonic()


def read_all(s):
    data = b''
    while chunk := s.recv(65536):
        data += chunk
    return data


def beside_ms(port):
    s, sent = ask(port, b'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
    with s:
        s.settimeout(30)
        read_all(s)
    return 1e3 * (time.monotonic() - sent)


def refusal(answer, ms, beside):
    head = answer.split(b'\r\n\r\n', 1)[0].decode('latin-1').lower().split('\r\n')
    headers = dict(line.split(': ', 1) for line in head[1:])
    return {'ms': ms, 'beside_ms': beside, 'status': int(head[0].split()[1]), 'retry_after': int(headers.get('retry-after', -1))}


def main():
    port, seconds, every = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    data = bytes_of(Shot(0, 1, prompt=200, priority='batch'))
    out, admitted = [], []
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        s, sent = ask(port, data)
        try:
            answer = read_all(s)
        except TimeoutError:
            admitted.append(s)
            continue
        s.close()
        if not answer.startswith(b'HTTP/1.1 200'):
            took = 1e3 * (time.monotonic() - sent)
            out.append(refusal(answer, took, beside_ms(port)))
        time.sleep(max(0.0, now + every - time.monotonic()))
    for s in admitted:
        s.settimeout(30)
        read_all(s)
    print(json.dumps(out))


if __name__ == '__main__':
    main()
