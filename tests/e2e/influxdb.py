# SPDX-License-Identifier: LGPL-2.1-or-later
"""The real InfluxDB with its OpenTSDB listener, on loopback."""
import json
import pathlib
import shutil
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from basics import DEADLINE, free_port, tail, wait_for

CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
[http]
bind-address = "127.0.0.1:{http}"
[[opentsdb]]
enabled = true
bind-address = "127.0.0.1:{port}"
database = "opentsdb"
batch-timeout = "100ms"
"""


class InfluxDB:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.port = free_port()  # speaks both protocols
        self.http = free_port()
        self.process = None

    def start(self):
        program = shutil.which("influxd")
        if not program:
            raise AssertionError("influxd is not installed (Debian package influxdb)")
        text = CONFIG.format(folder=self.folder, port=self.port, http=self.http, rpc=free_port())
        self.spawn(program, text)
        wait_for(self._healthy, "InfluxDB is healthy")
        self.get("/query?q=CREATE+DATABASE+opentsdb", b"")  # over HTTP it is not made by the first point

    def spawn(self, program, text):
        self.folder.mkdir()
        config = self.folder / "influxdb.conf"
        config.write_text(text)
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen([program, "-config", str(config)], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)

    def _healthy(self):
        if self.process and self.process.poll() is not None:
            raise AssertionError("InfluxDB has ended:\n" + tail((self.folder / "log").read_text(errors="replace")))
        try:
            self.get("/ping")
            return True
        except (urllib.error.URLError, OSError):
            return False

    def get(self, path, post=None):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.http}{path}", data=post, timeout=DEADLINE) as answer:
            return answer.read()

    def count(self, metric):
        query = urllib.parse.quote(f'SELECT COUNT("value") FROM "{metric}"')
        result = json.loads(self.get(f"/query?db=opentsdb&q={query}"))["results"][0]
        return result["series"][0]["values"][0][1] if "series" in result else 0

    def values(self, metric):
        """{seconds: value}; by that each point is to be the only one of its second."""
        query = urllib.parse.quote(f'SELECT "value" FROM "{metric}"')
        result = json.loads(self.get(f"/query?db=opentsdb&epoch=s&q={query}"))["results"][0]
        return dict(result["series"][0]["values"]) if "series" in result else {}

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
