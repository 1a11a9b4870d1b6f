"""Reads what callgrind wrote: instructions by source file. A line that was inlined counts for the file it stands in; one of
a library's header, and what libc does when it is called, for whoever called it."""
import re
from collections import Counter

NAME = re.compile(r"\((\d+)\)(?: (.*))?$")
COST = re.compile(r"[+\-*]?\d* ?(\d+)$")
CALLS_OF_KERNEL = ("recv", "recvmsg", "send", "sendmsg", "epoll_wait", "epoll_ctl", "read", "write", "getsockopt")


class Names:
    """Callgrind writes each name once, with a number, and then the number alone."""

    def __init__(self):
        self.known = {}

    def of(self, text):
        number, name = NAME.match(text).groups()
        if name is not None:
            self.known[number] = name
        return self.known[number]


def own_file(path):
    """"edge/heads.cpp", where it is one of ours."""
    _, found, rest = path.rpartition("/src/")
    return rest if found and ("/" in rest) and not path.startswith("/usr") else None


class Reader:
    """Line after line of one file."""

    def __init__(self, program):
        self.program = program
        self.files, self.objects, self.functions = Names(), Names(), Names()
        self.object = self.called_object = self.file = self.line_file = self.function = self.called = None
        self.is_call = False
        self.by_file, self.by_function, self.kernel = Counter(), Counter(), 0

    def add(self, count):
        if self.is_call:
            self.is_call = False
            # What is called within the program stands there by itself.
            if self.is_ours(self.called_object):
                return
            if self.called.split("@")[0].lstrip("_").replace("libc_", "") in CALLS_OF_KERNEL:
                self.kernel += count
                return
        self.by_file[own_file(self.line_file) or own_file(self.file) or "other"] += count
        self.by_function[self.function] += count

    def is_ours(self, name):
        return name.endswith(self.program)

    def take(self, line):
        kind, _, rest = line.partition("=")
        if kind == "ob":
            self.object = self.objects.of(rest)
        elif kind == "fl":
            self.file = self.line_file = self.files.of(rest)
        elif kind in ("fi", "fe"):
            self.line_file = self.files.of(rest)
        elif kind == "fn":
            self.function, self.called_object = self.functions.of(rest), self.object
        elif kind == "cob":
            self.called_object = self.objects.of(rest)
        elif kind in ("cfi", "cfl"):
            self.files.of(rest)
        elif kind == "cfn":
            self.called = self.functions.of(rest)
        elif kind == "calls":
            self.is_call = True
        else:
            cost = COST.match(line)
            if cost is None:
                return
            if self.is_ours(self.object):
                self.add(int(cost[1]))
            if not self.is_call:
                self.called_object = self.object
            self.is_call = False


def read(path, program):
    """(instructions by file, by function, those of libc's wrappers of system calls)"""
    reader = Reader(program)
    for line in path.read_text(encoding="utf-8").splitlines():
        reader.take(line)
    return reader.by_file, reader.by_function, reader.kernel
