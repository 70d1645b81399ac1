# SPDX-License-Identifier: LGPL-2.1-or-later
"""The shell inside a virtual machine (see vm.py): for each line of JSON that comes in on the virtio port it runs a
command to its end, and answers with a line of JSON. It begins with a line of its own, which says that it is there.

    {"argv": [...], "input": BASE64, "timeout": 60}     {"status": 0, "stdout": BASE64, "stderr": BASE64}

`status` is null where the command took too long; it and its process group have then been killed. Of what a command
leaves running behind it, nothing is waited for: output goes to files, not to pipes.
"""
import base64
import json
import os
import signal
import subprocess
import tempfile
import time

PORT = "/dev/virtio-ports/tcollector.shell"


def decoded(file):
    file.seek(0)
    return base64.b64encode(file.read()).decode()


def wait(process, timeout):
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def answer(request):
    with tempfile.TemporaryFile(dir="/run") as given, tempfile.TemporaryFile(dir="/run") as out, \
            tempfile.TemporaryFile(dir="/run") as err:
        given.write(base64.b64decode(request["input"]))
        given.seek(0)
        try:
            process = subprocess.Popen(request["argv"], stdin=given, stdout=out, stderr=err, start_new_session=True)
        except OSError as error:
            err.write(str(error).encode())
            return {"status": 127, "stdout": "", "stderr": decoded(err)}
        status = wait(process, request["timeout"])
        return {"status": status, "stdout": decoded(out), "stderr": decoded(err)}


def main():
    while not os.path.exists(PORT):
        time.sleep(0.02)
    os.environ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
    os.environ["LC_ALL"] = "C.UTF-8"
    with open(PORT, "r+b", buffering=0) as port:
        port.write(b'{"hello": true}\n')
        requests = open(port.fileno(), "rb", buffering=1 << 16, closefd=False)
        for line in requests:
            told = json.dumps(answer(json.loads(line))).encode() + b"\n"
            while told:
                told = told[port.write(told):]


if __name__ == "__main__":
    main()
