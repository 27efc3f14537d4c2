#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The sandbox against what a run really calls: `parapet doctor --sandbox` lists no call that no run makes, and a run
makes none that is not listed. So the list follows the code, and shrinks with it."""
import json
import os
import re
import shutil
import subprocess
import tempfile

import harness
from harness import PARAPET, Skip, check, domain_command, equal, parapet, test

# Allowed and not made by the run below, with the reason why it stays. Whatever is not needed any more goes from both.
UNSEEN = {
    "domain": {
        "accept4": "", "brk": "small heaps may not grow", "clock_getres": "the vdso does it", "clock_gettime": "likewise",
        "gettimeofday": "likewise", "time": "likewise", "clock_nanosleep": "waiting for a full log",
    },
    "sweeper": {
        "rt_sigreturn": "after a signal", "restart_syscall": "after being stopped",
    },
}


def needs_strace():
    if shutil.which("strace") is None:
        raise Skip("takes strace")
