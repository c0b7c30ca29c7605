"""
The small programs that the tests of these tools run under the recorder; each gets the folder as argv[1].
"""

from __future__ import annotations

from typing import Final

SQLITE: Final = """
import sqlite3, sys
from fault_mark import mark
folder, mode, sync, rows = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
db = sqlite3.connect(folder + "/state.db", isolation_level=None)
db.execute(f"PRAGMA journal_mode={mode}")
db.execute(f"PRAGMA synchronous={sync}")
db.execute("CREATE TABLE t(n INTEGER PRIMARY KEY, b BLOB)")
mark("table")
for n in range(rows):
    db.execute("INSERT INTO t VALUES(?, ?)", (n, bytes([n % 251]) * 300))
    mark(str(n))
    if n == rows // 2:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
db.execute("VACUUM")
db.close()
"""

REPLACE: Final = """
import os, sys
from fault_mark import mark
folder, steps = sys.argv[1], sys.argv[2].split()
for version in range(1, 4):
    number = os.open(folder + "/fresh", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(number, bytes([version]) * 5000)
    if "file" in steps:
        os.fsync(number)
    os.close(number)
    os.rename(folder + "/fresh", folder + "/key")
    if "folder" in steps:
        number = os.open(folder, os.O_RDONLY)
        os.fsync(number)
        os.close(number)
    mark(str(version))
"""

TWO_THREADS: Final = """
import os, sys, threading
start = threading.Barrier(2)
def work(name):
    number = os.open(f"{sys.argv[1]}/{name}", os.O_WRONLY | os.O_CREAT, 0o600)
    start.wait()
    for n in range(100):
        os.write(number, f"{name}{n:03d}".encode())
        os.fdatasync(number)
threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""

EVERY_CALL: Final = """
import ctypes, os, subprocess, sys
folder = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)
os.chdir(folder)
here = os.open(".", os.O_RDONLY)
there = os.path.join(folder, "sub")
os.mkdir(there); os.mkdir("gone", dir_fd=here); os.rmdir("gone")
new = os.O_RDWR | os.O_CREAT
a = os.open("a", new, 0o640); os.write(a, b"0123456789" * 1000)
os.pwrite(a, b"PW", 9999); os.pwritev(a, [b"x", b"yz"], 20000); os.pwritev(a, [b"D"], 5, os.RWF_DSYNC)
os.lseek(a, 3, os.SEEK_SET); os.writev(a, [b"AB", b"", b"CD"]); os.write(os.dup(a), b"dup")
os.posix_fallocate(a, 0, 30000); os.ftruncate(a, 29000); os.truncate("a", 28001)
assert libc.fallocate64(a, 3, ctypes.c_long(100), ctypes.c_long(5000)) == 0
assert libc.pwrite64(a, b"pw64", ctypes.c_size_t(4), ctypes.c_long(7000)) == 4
assert libc.ftruncate64(a, ctypes.c_long(27000)) == 0
os.fsync(a); os.fdatasync(a); os.fchmod(a, 0o600); os.chmod("a", 0o644)
log = os.open("log", new | os.O_APPEND, 0o600)
os.write(log, b"one"); os.pwrite(log, b"two", 0); os.pwritev(a, [b"end"], 0, os.RWF_APPEND)
os.write(os.open("log", os.O_WRONLY | os.O_APPEND), b"three"); os.link("log", "log too")
copy = os.open("sub/copy", new, 0o600, dir_fd=here)
assert os.sendfile(copy, a, 10, 5000) == 5000 and os.copy_file_range(a, copy, 4000, 100, 9000) == 4000
sync = os.open("synced", new | os.O_DSYNC, 0o600); os.write(sync, b"at once")
os.link("a", "hard"); os.link("before", "before too")
os.symlink("a", "soft"); os.write(os.open("soft", os.O_WRONLY), b"!")
os.rename("log", "sub/log"); os.replace("sub/copy", "sub/log"); os.rename("sub", "moved")
assert libc.renameat2(-100, b"hard", -100, b"synced", 2) == 0
os.write(log, b"to a file without a name"); os.unlink("before")
nameless = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600); os.write(nameless, b"named later")
os.link(f"/proc/self/fd/{nameless}", "named", src_dir_fd=here)
os.open("named", os.O_WRONLY | os.O_TRUNC); assert libc.creat64(b"created", 0o600) > 0
assert libc.sync_file_range(a, ctypes.c_long(0), ctypes.c_long(0), 2) == 0
assert libc.syncfs(a) == 0 and libc.remove(b"created") == 0
os.fsync(here)
if os.fork() == 0:
    os.write(a, b"from a child"); os._exit(0)
os.wait()
program = "import os; print('handed on', flush=True); os.write(os.open('made', 65, 384), b'program')"
subprocess.run([sys.executable, "-c", program], check=True, stdout=copy)
for number in range(3):
    os.open("a", new); os.access("none", 0)
"""

FULL_DISK: Final = """
import os, sys
folder = sys.argv[1]
number = os.open(folder + "/a", os.O_WRONLY | os.O_CREAT, 0o600)
for n in range(4):
    try:
        os.write(number, b"row%d" % n)
    except OSError as refused:
        print(refused.errno, flush=True)
    os.fsync(number)
"""

SLOW_SYNC: Final = """
import os, sys, threading, time
folder = sys.argv[1]
a = os.open(folder + "/a", os.O_WRONLY | os.O_CREAT, 0o600)
b = os.open(folder + "/b", os.O_WRONLY | os.O_CREAT, 0o600)
syncing = threading.Thread(target=os.fsync, args=(a,))
syncing.start()
time.sleep(0.05)
os.write(b, b"not held up")
syncing.join()
"""

PAST_THE_RECORDER: Final = {
    "a shared map": """
import mmap, os, sys
number = os.open(sys.argv[1] + "/a", os.O_RDWR | os.O_CREAT, 0o600)
os.ftruncate(number, 4096)
mmap.mmap(number, 4096)[0:3] = b"map"
""",
    "stdio": """
import ctypes, sys
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
stream = ctypes.c_void_p(libc.fopen((sys.argv[1] + "/a").encode(), b"w"))
libc.fputs(b"text", stream)
libc.fclose(stream)
""",
    "a raw system call": """
import ctypes, os, sys
number = os.open(sys.argv[1] + "/a", os.O_RDWR | os.O_CREAT, 0o600)
ctypes.CDLL(None).syscall({"x86_64": 1, "aarch64": 64}[os.uname().machine], number, b"raw", 3)
""",
    "a file from outside": """
import os, sys
open(sys.argv[1] + "/../outside", "w").close()
os.rename(sys.argv[1] + "/../outside", sys.argv[1] + "/inside")
""",
}

LINE_OF_STEPS: Final = """
import os, sys
folder = sys.argv[1]
os.chdir(folder)
def step(word, name, *rest):
    if word == "new":
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    elif word == "write":
        number = os.open(name, os.O_WRONLY)
        os.pwrite(number, rest[1].encode() * int(rest[2]), int(rest[0]))
        os.close(number)
    elif word == "sync":
        number = os.open(name, os.O_RDONLY)
        os.fsync(number)
        os.close(number)
    elif word == "mark":
        from fault_mark import mark
        mark(name)
    else:
        getattr(os, word)(name, *rest)
for line in sys.argv[2].split(","):
    step(*line.split())
"""
