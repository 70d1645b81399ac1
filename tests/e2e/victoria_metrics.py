# SPDX-License-Identifier: LGPL-2.1-or-later
"""The real VictoriaMetrics, on loopback."""
import json
import pathlib
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from basics import DEADLINE, free_port, tail, wait_for


class VictoriaMetrics:
    """The real one, with ports and data of its own that stay the same over a restart."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.port = free_port()
        self.http = free_port()
        self.http_put = free_port()
        self.process = None
        self.starts = 0

    def start(self):
        program = shutil.which("victoria-metrics")
        if not program:
            raise AssertionError("victoria-metrics is not installed (Debian package victoria-metrics)")
        self.starts += 1
        with open(self.folder / f"log-{self.starts}", "wb") as log:
            self.process = subprocess.Popen(
                [program, f"-storageDataPath={self.folder / 'data'}", "-retentionPeriod=100y",
                 f"-httpListenAddr=127.0.0.1:{self.http}", f"-opentsdbListenAddr=127.0.0.1:{self.port}",
                 f"-opentsdbHTTPListenAddr=127.0.0.1:{self.http_put}", "-loggerLevel=WARN"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self._healthy, "VictoriaMetrics is healthy")

    def _healthy(self):
        if self.process.poll() is not None:
            raise AssertionError("VictoriaMetrics has ended:\n" +
                                 tail((self.folder / f"log-{self.starts}").read_text(errors="replace")))
        try:
            return self.get("/health") == b"OK"
        except (urllib.error.URLError, OSError):
            return False

    def get(self, path):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.http}{path}", timeout=DEADLINE) as answer:
            return answer.read()

    def counter(self, name):
        found = re.search(rf"^{re.escape(name)} (\d+)".encode(), self.get("/metrics"), re.M)
        return int(found.group(1)) if found else 0

    def rows_taken(self):
        """Lines of the telnet listener that were put into the database since it was started."""
        return self.counter('vm_rows_inserted_total{type="opentsdb"}')

    def rows_invalid(self):
        return self.counter('vm_rows_invalid_total{type="opentsdb"}')

    def flush(self):
        self.get("/internal/force_flush")

    def put_on_disk(self, n):
        """Until `n` rows are in parts on the disk (named by how many they have): what a kill leaves."""
        def rows():
            self.get("/snapshot/create")
            parts = (self.folder / "data" / "data").glob("*/[0-9]*_[0-9]*/[0-9]*_*")
            return sum(int(part.name.partition("_")[0]) for part in parts)
        wait_for(lambda: rows() >= n, f"VictoriaMetrics has {n} rows on its disk")

    def export(self, pattern):
        """{(metric and tags as JSON, milliseconds): value} of everything whose name matches."""
        self.flush()
        match = urllib.parse.quote('{__name__=~"%s"}' % pattern)
        found = {}
        for line in self.get(f"/api/v1/export?match[]={match}").splitlines():
            row = json.loads(line)
            series = json.dumps(row["metric"], sort_keys=True)
            for when, value in zip(row["timestamps"], row["values"]):
                found[(series, when)] = value
        return found

    def stop(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("VictoriaMetrics has not ended on its signal") from None
