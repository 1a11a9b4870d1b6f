"""One thread of a process that does not turn while the others do: stopped by ptrace, as by a debugger."""
import ctypes
import errno
import os
import struct
from pathlib import Path

PTRACE_DETACH, PTRACE_SYSCALL, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 24, 0x4206, 0x4207
PTRACE_PEEKUSER, PTRACE_POKEUSER, ORIG_RAX, RIP = 3, 6, 15 * 8, 16 * 8
AT_ENTRY, LOOP = 9, b"\xeb\xfe"  # jmp to itself
WALL = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def workers(pid):
    """The edge's; the one that woke up most is the last. Its first thread is main, and those with names of their own wait for disks."""
    def read(thread, name):
        return Path(f"/proc/{pid}/task/{thread}/{name}").read_text(encoding="utf-8")

    def wakings(thread):
        return int(read(thread, "status").partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    others = [int(entry) for entry in os.listdir(f"/proc/{pid}/task") if int(entry) != pid]
    return sorted((thread for thread in others if not read(thread, "comm").startswith("edge-")), key=wakings)


class StoppedThread:
    """Everything here has to be called by the thread that made it: the kernel wants its tracer."""

    def __init__(self, thread):
        self.thread, self.is_gone = thread, False
        self.call(PTRACE_SEIZE)
        self.call(PTRACE_INTERRUPT)
        os.waitpid(thread, WALL)

    def call(self, request):
        if libc.ptrace(request, self.thread, None, None) != 0:
            raise OSError(ctypes.get_errno(), f"ptrace of {self.thread}")

    def run_to(self, number):
        """On until it is at this system call."""
        while True:
            self.call(PTRACE_SYSCALL)
            os.waitpid(self.thread, WALL)
            if libc.ptrace(PTRACE_PEEKUSER, self.thread, ORIG_RAX, None) == number:
                return

    def loop(self):
        """Lets it go into a loop for ever: at the program's first instruction, where nobody comes by any more."""
        auxiliary = struct.unpack_from("<64Q", Path(f"/proc/{self.thread}/auxv").read_bytes().ljust(512, b"\0"))
        entry = dict(zip(auxiliary[::2], auxiliary[1::2]))[AT_ENTRY]
        with open(f"/proc/{self.thread}/mem", "r+b", buffering=0) as memory:
            memory.seek(entry)
            memory.write(LOOP)
        for place, value in ((ORIG_RAX, 2**64 - 1), (RIP, entry)):
            if libc.ptrace(PTRACE_POKEUSER, self.thread, place, value) != 0:
                raise OSError(ctypes.get_errno(), f"ptrace of {self.thread}")
        self.let_go()

    def state(self):
        return Path(f"/proc/{self.thread}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]

    def bury(self):
        """Its process was killed: the kernel keeps it until its tracer has seen that, and its parent hears nothing."""
        if not self.is_gone:
            try:
                pid, status = os.waitpid(self.thread, WALL | os.WNOHANG)
                self.is_gone = pid != 0 and (os.WIFSIGNALED(status) or os.WIFEXITED(status))
            except ChildProcessError:
                self.is_gone = True
        return self.is_gone

    def let_go(self):
        try:
            self.call(PTRACE_DETACH)
        except OSError as problem:
            assert problem.errno == errno.ESRCH
        self.bury()
