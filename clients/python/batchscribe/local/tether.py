"""Run a program that the kernel kills when its parent ends, however that ends.

Started as a script of its own, ``python -I -S tether.py PARENT_PID PROGRAM ARGUMENT...``, because
code between fork and exec would run in a copy of a process full of gRPC's threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # From linux/prctl.h.


def main() -> None:
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == int(parent):  # Else it ended before the kernel knew.
        os.execvp(command[0], command)


if __name__ == "__main__":
    main()
