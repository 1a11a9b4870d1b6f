"""Many requests at a steady rate, and the instances that answer them: on one loop in a thread of its own, as a thread for each
connection would cost more than what is measured."""
import asyncio
import random
import threading

HEAD_END = b"\r\n\r\n"
GOOD, BAD = (b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status for status in (b"200 OK", b"503 Bad"))
RESET, SILENCE = b"", None


class Member:
    """An instance. `behave` says how many seconds it takes, and what it answers then: one of the above."""

    def __init__(self, behave):
        self.behave, self.asked, self.port, self.server = behave, 0, 0, None

    async def start(self):
        self.server = await asyncio.get_running_loop().create_server(lambda: Answering(self), "127.0.0.1", backlog=1000)
        self.port = self.server.sockets[0].getsockname()[1]


class Answering(asyncio.Protocol):
    def __init__(self, member):
        self.member, self.buffer, self.transport = member, b"", None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        if HEAD_END not in self.buffer:
            return
        self.buffer = b""  # No more than one at once comes from an edge.
        self.member.asked += 1
        wait_s, answer = self.member.behave()
        if wait_s:
            asyncio.get_running_loop().call_later(wait_s, self.answer, answer)
        else:
            self.answer(answer)

    def answer(self, answer):
        if answer == RESET:
            self.transport.abort()
        elif answer is not SILENCE and not self.transport.is_closing():
            self.transport.write(answer)


class Asking(asyncio.Protocol):
    def __init__(self, crowd):
        self.crowd, self.buffer, self.begun, self.transport = crowd, b"", None, None

    def connection_made(self, transport):
        self.transport = transport

    def ask(self, now):
        self.begun, self.buffer = now, b""
        self.transport.write(b"GET /x HTTP/1.1\r\nHost: crowd\r\n\r\n")

    def data_received(self, data):
        self.buffer += data
        head, found, body = self.buffer.partition(HEAD_END)
        if not found:
            return
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if len(body) < int(fields.get(b"content-length", 0)):
            return
        self.over(int(self.buffer[9:12]))
        if fields.get(b"connection") == b"close":
            self.transport.close()
        else:
            self.crowd.idle.append(self)

    def connection_lost(self, _):
        if self in self.crowd.idle:
            self.crowd.idle.remove(self)
        self.over(0)

    def over(self, status):
        if self.begun is not None:
            self.crowd.answers.append((asyncio.get_running_loop().time() - self.begun, status))
            self.begun = None


class Crowd:
    """Asks at random moments, so many in a second, whoever still waits; of each answer how long it took, and its status."""

    def __init__(self, port, rate):
        self.port, self.rate, self.idle, self.answers = port, rate, [], []
        self.due, self.timer = 0, None

    def failures(self):
        return sum(status != 200 for _, status in self.answers)

    def start(self):
        self.due = asyncio.get_running_loop().time()
        self.wait()

    def stop(self):
        self.timer.cancel()

    def wait(self):
        self.due += random.expovariate(self.rate)
        self.timer = asyncio.get_running_loop().call_at(self.due, self.ask)

    def ask(self):
        now = asyncio.get_running_loop().time()
        if self.idle:
            self.idle.pop().ask(now)
        else:
            asyncio.ensure_future(self.ask_anew(now))
        self.wait()

    async def ask_anew(self, now):
        try:
            _, asking = await asyncio.get_running_loop().create_connection(lambda: Asking(self), "127.0.0.1", self.port)
            asking.ask(now)
        except OSError:
            self.answers.append((0, 0))


class Stage(threading.Thread):
    """Runs a play, a coroutine, while the test listens to the edge; `done` when it has ended, however that was."""

    def __init__(self, play):
        super().__init__(daemon=True)
        self.play, self.done, self.problem, self.result = play, threading.Event(), None, None
        self.start()

    def run(self):
        try:
            self.result = asyncio.run(self.play)
        except BaseException as problem:  # pylint: disable=broad-except
            self.problem = problem
        self.done.set()

    def end(self):
        if self.problem:
            raise self.problem
        return self.result
