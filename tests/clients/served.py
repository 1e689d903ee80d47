"""A served Baton, for tests from outside: start it, learn its address and key, end it."""
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request

READY_SECONDS = 180
STOP_SECONDS = 60


class Served:
    """`baton serve` on a free port. As a context manager it ends with SIGTERM and must then exit with 0.

    `key` is the one that a first start in the folder `data` makes; hand it in when the folder has one already.
    """

    def __init__(self, baton, packs, data, *options, key=None):
        command = [baton, "serve", "--listen", "127.0.0.1:0", "--data", data, "--packs", packs, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.lines = []
        self.url, self.key = self._facts(key)
        # The pipe must not fill up while the tests run.
        threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True).start()
        self._wait_until_ready()

    def _facts(self, key):
        url = None
        for line in self.process.stdout:
            self.lines.append(line)
            url = url or re.search(r"http://127\.0\.0\.1:\d+", line)
            found = re.search(r"baton_[0-9A-Za-z]+_[0-9A-Za-z_-]{16,}", line)
            key = key or (found and found[0])
            if url and key:
                return url[0], key
        sys.exit("the server ended before it told its address and key:\n" + "".join(self.lines))

    def is_ready(self):
        """Whether /ready says yes; False also where nobody answers."""
        request = urllib.request.Request(self.url + "/ready", headers={"Authorization": "Bearer " + self.key})
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def _wait_until_ready(self):
        pause = threading.Event()
        for _ in range(READY_SECONDS * 10):
            if self.is_ready():
                return
            if self.process.poll() is not None:
                break
            pause.wait(0.1)
        self.process.kill()
        sys.exit("the server did not become ready:\n" + "".join(self.lines))

    def kill(self):
        """Ends it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(STOP_SECONDS)
            if code:
                sys.exit("the server ended with %d\n%s" % (code, "".join(self.lines)))
