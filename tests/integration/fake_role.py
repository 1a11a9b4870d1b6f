#!/usr/bin/python3
"""Stands for control and edge where keeper is tested: ticks, answers on its inherited socket, obeys.

Started by keeper as `thole control --run R …` or `lib/thole/edge --run R …`. With `holder` in R/fake it keeps a holder
that becomes the edge when it dies, as the real edge does.
"""
import ctypes
import mmap
import os
import select
import signal
import socket
import struct
import sys
import time

CLONE_PARENT = 0x8000
SYS_CLONE, SYS_PIDFD_OPEN = 56, 434
RECORD, HEADER = 64, 128
ROLE = 2 if "control" in sys.argv else 3
RUN = sys.argv[sys.argv.index("--run") + 1]
LIBC = ctypes.CDLL(None, use_errno=True)


def mapped(name):
    with open(f"{RUN}/{name}", "r+b") as file:
        return mmap.mmap(file.fileno(), 0)


def start_time_of(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def keep_holder(table):
    """Returns in the edge at once; in the holder when the edge before it has died and it has claimed the slot."""
    at = HEADER + ROLE * RECORD
    while True:
        pidfd = LIBC.syscall(SYS_PIDFD_OPEN, os.getpid(), 0)
        holder = LIBC.syscall(SYS_CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
        if holder != 0:
            os.close(pidfd)
            table[at + 56:at + 64] = struct.pack("<II", holder, start_time_of(holder) & 0xFFFFFFFF)
            return
        select.select([pidfd], [], [])
        os.close(pidfd)
        generation = struct.unpack("<I", table[at:at + 4])[0]
        table[at:at + 16] = struct.pack("<IIQ", generation + 1, os.getpid(), start_time_of(os.getpid()))


def main():
    stop = []
    for number in (signal.SIGTERM, signal.SIGUSR2):  # The edge is asked by the second.
        signal.signal(number, lambda *_: stop.append(1))
    ticks, table = mapped("ticks"), mapped("slots")
    if ROLE == 3 and os.path.exists(f"{RUN}/fake"):
        keep_holder(table)
    listener = socket.socket(fileno=3)
    listener.setblocking(False)
    while not stop:
        ticks[ROLE * 8:ROLE * 8 + 8] = struct.pack("<Q", time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        if select.select([listener], [], [], 0.05)[0]:
            peer = listener.accept()[0]
            peer.send(str(os.getpid()).encode())
            peer.close()
    with open(f"{RUN}/../terms", "a", encoding="utf-8") as file:
        file.write(f"{ROLE} {len(stop)}\n")


main()
