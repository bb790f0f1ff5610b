"""On a host: notes what each process was started with, in memory (or in a folder that is given), until it is killed."""

import os
import pathlib
import sys
import time

os.umask(0o077)
here = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "/dev/shm")  # noqa: S108 -- no file that outlives the tests
(here / "watch.pid").write_text(str(os.getpid()))
seen = set()
with (here / "watched").open("ab", buffering=0) as watched:
    while True:
        for process in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = process.read_bytes()
            except OSError:
                continue  # it is gone
            if line not in seen:
                seen.add(line)
                watched.write(line.replace(b"\0", b" ") + b"\n")
        time.sleep(0.1)
