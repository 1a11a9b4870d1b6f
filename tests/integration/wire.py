"""thole's wire protocol, written again from its description: frames, keeper's messages, spawn images.

Written in another language on purpose: what both understand is the protocol, not one program's habit.
"""
import os
import select
import socket
import struct
import time

MAGIC, VERSION = 0x6C6F6874, 1
HELLO, SPAWN, SIGNAL, FORGET, ENSURE_LISTENER, DROP_LISTENER, SHUTDOWN = 1, 2, 3, 4, 5, 6, 7
TAKE_LISTENER, TAKE_SEGMENT, PARK_SEGMENT, PARK_LISTENER = 8, 9, 10, 12
STATE, SYNCED, LISTENER_READY, LISTENER_FAILED, ROLE_CHANGED, REFUSED, SHUTTING_DOWN, HANDED = (
    32, 33, 37, 38, 39, 40, 42, 43)
FREE, STARTING, RUNNING, ENDED = 0, 1, 2, 3
EXIT_KNOWN, SPAWN_FAILED, OOM_KNOWN = 1, 2, 8
PROCESS, ALL = 1, 2
NO_LIMIT = 2**64 - 1
POLL_S = 0.01


def make_crc_table():
    table = []
    for number in range(256):
        for _ in range(8):
            number = (number >> 1) ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return table


CRC_TABLE = make_crc_table()


def crc32c(data, seed=0):
    crc = ~seed & 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return ~crc & 0xFFFFFFFF


def seal(kind, body=b""):
    front = struct.pack("<IHHI", MAGIC, VERSION, kind, len(body))
    return front + struct.pack("<I", crc32c(body, crc32c(front))) + body


def open_frame(data):
    magic, version, kind, length, checksum = struct.unpack_from("<IHHII", data)
    body = data[16:]
    assert (magic, version, length) == (MAGIC, VERSION, len(body))
    assert checksum == crc32c(body, crc32c(data[:12]))
    return kind, body


def image(argv, environment=(), cwd="/", out="", err="", cgroup="", uid=None, open_files=NO_LIMIT):
    texts = [cwd, cgroup, out, err, *argv, *environment]
    strings = b"".join(text.encode() + b"\0" for text in texts)
    uid = os.getuid() if uid is None else uid

    def header(checksum):
        return struct.pack("<IIIIIIIIQQQiI", 0x676D6974, 1, 64 + len(strings), checksum, len(argv), len(environment),
                           uid, uid, open_files, NO_LIMIT, NO_LIMIT, 0, 0)
    return header(crc32c(header(0), crc32c(strings))) + strings


def claimed_pid(run_folder, slot):
    """Who holds the slot, read from the table that outlives everybody; 0 where nobody does."""
    try:
        with open(f"{run_folder}/slots", "rb") as table:
            table.seek(128 + 64 * slot)
            _, pid, _ = struct.unpack("<IIQ", table.read(16))
            return pid
    except (OSError, struct.error):
        return 0


class State:
    """One slot, as keeper tells it."""

    def __init__(self, body):
        (self.slot, self.generation, self.status, self.pid, self.start_time, self.wait_status, self.flags,
         self.oom_kills, _, self.time, self.dropped_out, self.dropped_err) = struct.unpack("<IIIIQiIIIqQQ", body)

    def failed_step(self):
        return self.wait_status >> 16, self.wait_status & 0xFFFF


class Keeper:
    """A client of keeper.sock. Remembers the newest state of everything it was told."""

    def __init__(self, run_folder, deadline_s=10):
        self.run_folder = str(run_folder)
        self.states, self.listeners, self.roles, self.refused, self.failed_listeners = {}, {}, {}, [], {}
        self.handed, self.synced = [], None
        self.link = None
        self.connect(deadline_s)

    def connect(self, deadline_s=10):
        deadline = time.monotonic() + deadline_s
        while True:
            if self.link is not None:
                self.link.close()
            self.link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                self.link.connect(self.run_folder + "/keeper.sock")
                self.send(HELLO, struct.pack("<II32s", 3, os.getpid(), b"test"))
                self.synced = None
                self.states.clear()
                self.until(lambda: self.synced is not None, 2)
                return
            except (OSError, AssertionError):
                assert time.monotonic() < deadline, "keeper does not answer"
                time.sleep(POLL_S)

    def send(self, kind, body=b""):
        self.link.send(seal(kind, body))

    def read(self, wait_s=0.0):
        """Takes one message; False where none came in time."""
        if not select.select([self.link], [], [], wait_s)[0]:
            return False
        data, descriptors, _, _ = socket.recv_fds(self.link, 256 * 1024, 4)
        if not data:
            raise ConnectionError("keeper closed the link")
        kind, body = open_frame(data)
        if kind == STATE:
            state = State(body)
            self.states[state.slot] = state
        elif kind == SYNCED:
            self.synced = struct.unpack("<IIQQII32s", body)
        elif kind == LISTENER_READY:
            number, address, port, _, _ = struct.unpack("<IIHHi", body)
            self.listeners[number] = port
        elif kind == LISTENER_FAILED:
            number, _, _, _, error = struct.unpack("<IIHHi", body)
            self.failed_listeners[number] = error
        elif kind == ROLE_CHANGED:
            role, event, pid, status, starts, crashes, _ = struct.unpack("<IIIiIIq", body)
            self.roles[role] = {"event": event, "pid": pid, "status": status, "starts": starts, "crashes": crashes}
        elif kind == REFUSED:
            self.refused.append(body[12:].split(b"\0")[0].decode())
        elif kind == HANDED:
            self.handed.append(descriptors[0] if descriptors else None)
        return True

    def until(self, condition, deadline_s=10):
        deadline = time.monotonic() + deadline_s
        while not condition():
            assert time.monotonic() < deadline, f"not in {deadline_s} s; states " + str(
                {slot: vars(state) for slot, state in self.states.items()})
            self.read(0.05)

    def spawn(self, slot, generation, content):
        with open(f"{self.run_folder}/images/{slot}.{generation}", "wb") as file:
            file.write(content)
        self.send(SPAWN, struct.pack("<II", slot, generation))

    def status(self, slot, generation):
        state = self.states.get(slot)
        return state.status if state is not None and state.generation == generation else None

    def start(self, slot, generation, content):
        """Spawns and waits until it runs; its pid."""
        self.spawn(slot, generation, content)
        self.until(lambda: self.status(slot, generation) in (RUNNING, ENDED))
        return self.states[slot].pid

    def wait_ended(self, slot, generation, deadline_s=10):
        self.until(lambda: self.status(slot, generation) == ENDED, deadline_s)
        return self.states[slot]

    def signal(self, slot, generation, number, scope=PROCESS):
        self.send(SIGNAL, struct.pack("<IIiI", slot, generation, number, scope))

    def forget(self, slot, generation):
        self.send(FORGET, struct.pack("<II", slot, generation))

    def drop_listener(self, number):
        self.send(DROP_LISTENER, struct.pack("<I", number))
        del self.listeners[number]

    def ensure_listener(self, number, port=0, address=0x7F000001):
        self.send(ENSURE_LISTENER, struct.pack("<IIHH", number, address, port, 0))
        self.until(lambda: number in self.listeners or number in self.failed_listeners)
        return self.listeners.get(number)
