"""A proxy between the controller and the emulators: it records every AWS call and can break any.

One listening port for each service, so that the endpoint tells the service. The Host header goes on
as it came, because it is signed. Request and answer bodies are small; they are read whole.
"""

import http.client
import json
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

READS = ("Get", "List", "Describe", "Generate", "Simulate", "BatchGet", "Scan", "Query")
KEY = re.compile(r"<AccessKeyId>([^<]+)</AccessKeyId>")
SECRET = re.compile(r"<SecretAccessKey>([^<]+)</SecretAccessKey>")


@dataclass
class Call:
    """One request as it passed."""

    service: str
    action: str
    parameters: dict
    at: float = field(default_factory=time.time)
    signed_by: str | None = None
    status: int | None = None
    fate: str = "forwarded"

    @property
    def user(self):
        """The user that the call is about, when its parameters say."""
        return self.parameters.get("UserName")

    @property
    def mutates(self):
        return not self.action.startswith(READS)

    def concerns(self, user, parameter):
        return self.user == user or self.parameters.get("Name") == parameter

    def __str__(self):
        return f"{self.service}:{self.action}"


def mutating(call):
    """Changes something that others see: IAM or SSM. The state table is the controller's own."""
    return call.service in ("iam", "ssm") and call.mutates


class Rule:
    """What happens to the k-th call that matches, once (or to it and all later ones)."""

    def __init__(self, matches, kth, fate, action, repeat, change=None):
        self._matches, self._kth, self.fate, self._action, self._repeat = matches, kth, fate, action, repeat
        #: (call, status, headers, content) -> (status, headers, content), for an answer that is changed.
        self.change = change
        self._seen = 0
        self._chosen = False
        #: Set when it has happened.
        self.fired = threading.Event()
        self.call = None

    def is_due(self, call):
        """Counts the call when it matches. A rule that another one has forestalled stays due."""
        if not self._matches(call):
            return False
        self._seen += 1
        return self._seen >= self._kth and (self._repeat or not self._chosen)

    def choose(self):
        self._chosen = True
        return self

    def happen(self, call):
        self.call = call
        call.fate = self.fate
        try:
            if self._action:
                self._action()
        finally:
            self.fired.set()


class Proxy:
    """Starts listening at once; `endpoints` are the URLs to give to the controller."""

    def __init__(self, upstreams):
        """`upstreams`: service -> URL of an emulator."""
        self.calls = []
        self.secrets = set()
        #: Key id -> user, of every key whose making was forwarded.
        self.minted = {}
        self._watchers = []
        self._rules = []
        self._lock = threading.Lock()
        self._servers = []
        self.endpoints = {}
        for service, url in upstreams.items():
            server = _Server(self, service, int(url.rsplit(":", 1)[1]))
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            self._servers.append(server)
            self.endpoints[service] = f"http://127.0.0.1:{server.server_address[1]}"

    def stop(self):
        for server in self._servers:
            server.shutdown()
            server.server_close()

    # -- what has passed ---------------------------------------------------------------------------

    def mark(self):
        """A place in the record, for `since`."""
        with self._lock:
            return len(self.calls)

    def since(self, mark=0, matches=mutating):
        with self._lock:
            return [call for call in self.calls[mark:] if matches(call)]

    def watch(self, watcher):
        """Runs `watcher(call)` after the effect of every call that is forwarded, before its answer goes on."""
        self._watchers.append(watcher)

    # -- what is to go wrong -----------------------------------------------------------------------

    def before(self, kth, action=None, matches=mutating, repeat=False):
        """Before the k-th matching call is forwarded: run `action`, then drop the connection."""
        return self._add(matches, kth, "dropped before", action, repeat)

    def after(self, kth, action=None, matches=mutating, repeat=False):
        """Forward the k-th matching call, run `action`, and drop the connection without the answer."""
        return self._add(matches, kth, "dropped after", action, repeat)

    def delay(self, kth, seconds, matches=mutating, repeat=False):
        """Hold the k-th matching call back, then forward it."""
        return self._add(matches, kth, "delayed", lambda: time.sleep(seconds), repeat)

    def answer(self, kth, status, code, matches=mutating, repeat=False):
        """Answer the k-th matching call with an AWS error instead of forwarding it."""
        return self._add(matches, kth, ("answered", status, code), None, repeat)

    def rewrite(self, kth, change, matches=mutating, repeat=False):
        """Forward the k-th matching call and answer what `change(call, status, headers, content)` makes of the answer."""
        return self._add(matches, kth, "rewritten", None, repeat, change)

    def heal(self):
        """Forget all rules."""
        with self._lock:
            self._rules.clear()

    def _add(self, *arguments):
        rule = Rule(*arguments)
        with self._lock:
            self._rules.append(rule)
        return rule

    def rule_for(self, call):
        with self._lock:
            self.calls.append(call)
            # Every rule counts every call that it matches; the first that is due decides.
            due = [rule for rule in self._rules if rule.is_due(call)]
            return due[0].choose() if due else None

    def learn(self, call, answer):
        """Remembers every secret that passes, so that tests can look for them where they must not be."""
        if call.action == "CreateAccessKey":
            text = answer.decode(errors="replace")
            self.secrets.update(SECRET.findall(text))
            self.minted |= dict.fromkeys(KEY.findall(text), call.user)
        if call.action == "PutParameter":
            for member in json.loads(call.parameters["Value"]).values():
                self.secrets.add(member["SecretAccessKey"])

    def tell(self, call):
        for watcher in self._watchers:
            watcher(call)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, proxy, service, upstream):
        self.proxy, self.service, self.upstream = proxy, service, upstream
        self.local = threading.local()
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request, client_address):
        """A client that was killed, or an emulator that was stopped: the client sees a dropped connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy = self.server.proxy
        call = parse(self.server.service, self.headers, body)
        rule = proxy.rule_for(call)
        if rule is None:
            return self._reply(*self._forward(call, body))
        if isinstance(rule.fate, tuple):
            rule.happen(call)
            return self._reply(*error(call, rule.fate[1], rule.fate[2]))
        if rule.fate == "dropped after":
            self._forward(call, body)
        rule.happen(call)
        if rule.fate == "delayed":
            return self._reply(*self._forward(call, body))
        if rule.fate == "rewritten":
            return self._reply(*rule.change(call, *self._forward(call, body)))
        self._drop()

    def _forward(self, call, body):
        # Each thread serves one connection of the client and keeps one of its own.
        local = self.server.local
        for attempt in (1, 2):
            kept = getattr(local, "upstream", None)
            if kept is None:
                kept = local.upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=60)
                kept.connect()
                kept.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                kept.putrequest("POST", self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    kept.putheader(name, value)
                kept.endheaders(body)
                answer = kept.getresponse()
                content = answer.read()
                break
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                # An idle connection that the emulator closed before this request; a fresh one does it.
                local.upstream = None
                kept.close()
                if attempt == 2:
                    raise
        call.status = answer.status
        self.server.proxy.learn(call, content)
        self.server.proxy.tell(call)
        return answer.status, answer.getheaders(), content

    def _reply(self, status, headers, content):
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _drop(self):
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def log_message(self, *_):
        pass


def parse(service, headers, body):
    """Which AWS call a request is."""
    target = headers.get("X-Amz-Target")
    if target:
        action = target.rsplit(".", 1)[-1]
        parameters = json.loads(body or b"{}")
    else:
        parameters = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        action = parameters.get("Action", "?")
    credential = re.search(r"Credential=([^/]+)/", headers.get("Authorization", ""))
    return Call(service, action, parameters, signed_by=credential and credential[1])


def error(call, status, code):
    """An error as the service of the call words it."""
    kind = "Sender" if status < 500 else "Receiver"
    if call.service in ("iam", "sts"):
        content = (
            f"<ErrorResponse><Error><Type>{kind}</Type><Code>{code}</Code><Message>scripted</Message></Error>"
            "<RequestId>00000000-0000-0000-0000-000000000000</RequestId></ErrorResponse>"
        )
        kind = "text/xml"
    else:
        content = json.dumps({"__type": code, "message": "scripted"})
        kind = "application/x-amz-json-1.1"
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    return status, [("Content-Type", kind), ("Date", date)], content.encode()
