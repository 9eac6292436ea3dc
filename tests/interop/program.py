"""The program under test: a process of its own, in a directory of its own."""

import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

READY_SECONDS = 60
STOP_SECONDS = 30
READY = re.compile(r"https://localhost:(\d+)")

# A terminated suite unwinds, so that the exit handlers below end its servers.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class Program:
    """A `nexus` that serves on localhost. After `kill`, `start` serves the same data on the same port."""

    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="nexus-interop-"))
        self.data = self.directory / "data"
        self.port = 0
        self.process = None
        atexit.register(self.discard)
        self.start()

    @property
    def address(self):
        return f"localhost:{self.port}"

    @property
    def ca(self):
        """The certificate of its own authority, PEM."""
        return self.data / "tls" / "ca.pem"

    @property
    def log(self):
        return self.directory / "log"

    def start(self):
        """Starts it, and returns once it has said where it serves."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")}
        environment |= {
            "NEXUS_GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
            "NEXUS_GATEWAY_REDIRECT": "off",
            "NEXUS_GATEWAY_ADMIN": "off",
            "NEXUS_CORE_ADMIN": "off",
            "NEXUS_CORE_DATA": str(self.data),
        }
        begun = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            program = os.environ["NEXUS_BIN"]
            self.process = subprocess.Popen(
                [program], cwd=self.directory, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + READY_SECONDS
        while True:
            said = self.log.read_bytes()[begun:].decode()
            if " is ready " in said and (found := READY.search(said)):
                self.port = int(found[1])
                return
            if self.process.poll() is not None:
                raise RuntimeError(f"nexus ended with {self.process.returncode}:\n{said}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"nexus was not ready within {READY_SECONDS} s:\n{said}")
            time.sleep(0.02)  # Between two looks at the log.

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(STOP_SECONDS)

    def discard(self):
        """Ends it, whatever its state, and removes its directory."""
        atexit.unregister(self.discard)
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.directory)
