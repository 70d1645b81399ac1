# SPDX-License-Identifier: LGPL-2.1-or-later
"""A virtual machine with a kernel, a disk and control groups of its own: for what rig.py's machine cannot show, which
is limits that are enforced, and power cuts. Emulated (no KVM is needed), so about five times slower than this host;
it boots in 15 s. The image it starts from is made once, by vm_image.py; each machine has a copy, thrown away with it.

    with VirtualMachine() as machine:
        machine.install(build_folder)
        machine.shell("systemctl start tcollector")
        machine.power_cut()
        machine.boot()

A power cut takes what a power cut takes: what the machine had not written, and what it had written without a flush
(fsync, and a write cache's own: nbdkit holds everything back until the machine flushes). What it had flushed stays.

It has no network but its own loopback. Commands go in, one at a time, over a virtio port (vm-guest.py).
"""
import atexit
import base64
import json
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile

import rig
import vm_image

DEADLINE = 120  # seconds, for anything that is waited for: other tests may need the processor too
TOOLS = ("qemu-system-x86_64", "nbdkit", "setpriv", "cp", "e2fsck", "debugfs")
KERNEL = ("root=/dev/vda rw console=ttyS0 quiet panic=-1 mitigations=off nokaslr "
          "systemd.unified_cgroup_hierarchy=1 systemd.show_status=no")
WITH_US = ["setpriv", "--pdeathsig=KILL"]  # ends when this process does, however that comes about


class Result:
    def __init__(self, answer):
        self.status = answer["status"]
        self.stdout = base64.b64decode(answer["stdout"]).decode(errors="replace")
        self.stderr = base64.b64decode(answer["stderr"]).decode(errors="replace")


class VirtualMachine:
    def __init__(self, memory="1024M", processors=2):
        self.memory = memory
        self.processors = processors
        self.image = self.folder = None
        self.disk = self.qemu = None  # processes
        self.port = self.answers = None  # the machine's shell: a socket, and it as a file to read from

    def __enter__(self):
        self.boot()
        return self

    def __exit__(self, *_):
        self.stop()

    # -- its life --

    def boot(self):
        """Switches it on: the first time from the image, later with the disk as it was left."""
        assert not self.qemu
        try:
            if not self.folder:
                self._make()
            self._start_disk()
            self._start_qemu()
            self._wait_for_shell()
            self.run(["systemctl", "is-system-running", "--wait"], check=False)
        except BaseException as error:
            told = self.console()
            self.stop()
            if isinstance(error, (rig.RigError, vm_image.ImageError, OSError, subprocess.SubprocessError)):
                raise rig.RigError(f"{error}\n{told}") from error
            raise

    def power_cut(self):
        """At once, with whatever is in memory. The disk's cache goes first: nothing comes through after it."""
        self._end(self.disk)
        self._end(self.qemu)
        self._hang_up()
        self.disk = self.qemu = None

    def left_by_cut(self, path, into):
        """What a power cut at this moment would leave of a folder inside, as a folder below `into`; the machine runs
        on. The disk's process stands still meanwhile, and its file is what has been flushed."""
        copy = pathlib.Path(into) / "disk"
        os.kill(self.disk.pid, signal.SIGSTOP)
        try:
            self._copy(self.folder / "disk", copy)
        finally:
            os.kill(self.disk.pid, signal.SIGCONT)
        mended = subprocess.run(["e2fsck", "-p", copy], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                stderr=subprocess.STDOUT, check=False)
        if mended.returncode > 1:
            raise rig.RigError(f"e2fsck: status {mended.returncode}\n{mended.stdout}")
        subprocess.run(["debugfs", "-R", f"rdump {path} {into}", copy], stdin=subprocess.DEVNULL, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        copy.unlink()
        return pathlib.Path(into) / pathlib.PurePath(path).name

    def shut_down(self):
        """In good order, as by `systemctl poweroff`."""
        self.run(["systemctl", "--no-block", "poweroff"])
        self.qemu.wait(DEADLINE)
        self.power_cut()

    def stop(self):
        """For good. Its disk goes with it, so there is nothing to be written back."""
        for process in (self.disk, self.qemu):
            self._end(process)
        self._hang_up()
        if self.folder:
            shutil.rmtree(self.folder)
        self.disk = self.qemu = self.folder = None
        atexit.unregister(self.stop)

    @staticmethod
    def _end(process):
        if process:
            process.kill()
            process.wait()

    def _hang_up(self):
        for end in (self.answers, self.port):
            if end:
                end.close()
        self.port = self.answers = None

    def _make(self):
        missing = [tool for tool in TOOLS if not shutil.which(tool)]
        if missing:
            raise rig.RigError(f"not installed: {', '.join(missing)}")
        rig.clean_up_when_terminated()
        self.image = vm_image.get()
        atexit.register(self.stop)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tcollector-vm-", dir="/var/tmp"))
        self._copy(self.image / "disk", self.folder / "disk")

    @staticmethod
    def _copy(disk, to):
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", disk, to], check=True)

    def _start_disk(self):
        (self.folder / "disk.socket").unlink(missing_ok=True)
        self.disk = subprocess.Popen(
            [*WITH_US, "nbdkit", "-f", "-U", self.folder / "disk.socket", "--filter=cache", "file",
             self.folder / "disk", "cache=writeback"],
            stdin=subprocess.DEVNULL, start_new_session=True, env={**os.environ, "TMPDIR": str(self.folder)})
        rig.wait_until(lambda: self._alive(self.disk) and (self.folder / "disk.socket").exists(), "the disk")

    def _start_qemu(self):
        (self.folder / "shell.socket").unlink(missing_ok=True)
        with open(self.folder / "console", "ab") as console:
            self.qemu = subprocess.Popen(
                [*WITH_US, "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", self.memory,
                 "-smp", str(self.processors), "-no-reboot", "-display", "none", "-monitor", "none", "-serial", "stdio",
                 "-nic", "none", "-kernel", self.image / "kernel", "-initrd", self.image / "initrd", "-append", KERNEL,
                 "-drive", f"file=nbd+unix:///?socket={self.folder}/disk.socket,format=raw,if=virtio,cache=writeback",
                 "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
                 "-chardev", f"socket,id=shell,path={self.folder}/shell.socket,server=on,wait=off",
                 "-device", "virtserialport,chardev=shell,name=tcollector.shell"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, start_new_session=True)

    @staticmethod
    def _alive(process):
        if process.poll() is not None:
            raise rig.RigError(f"{process.args[2]} ended with status {process.returncode}")
        return True

    def _wait_for_shell(self):
        shell = self.folder / "shell.socket"
        rig.wait_until(lambda: self._alive(self.qemu) and shell.exists(), "qemu")
        self.port = socket.socket(socket.AF_UNIX)
        rig.wait_until(lambda: self._alive(self.qemu) and self.port.connect_ex(str(shell)) == 0, "qemu")
        self.answers = self.port.makefile("rb")
        self._read(DEADLINE)

    # -- what can be done with it --

    def _read(self, timeout):
        self.port.settimeout(timeout)
        try:
            line = self.answers.readline()
        except TimeoutError as error:
            raise rig.RigError(f"the machine said nothing for {timeout} s") from error
        if not line.endswith(b"\n"):
            raise rig.RigError("the machine went away")
        return json.loads(line)

    def run(self, command, check=True, user=None, timeout=DEADLINE, given=b""):
        """Runs a command inside, to its end, with the bytes `given` as its input."""
        if user is not None:
            command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", *command]
        command = [str(word) for word in command]
        request = {"argv": command, "input": base64.b64encode(given).decode(), "timeout": timeout}
        self.port.settimeout(DEADLINE)
        self.port.sendall(json.dumps(request).encode() + b"\n")
        done = Result(self._read(timeout + DEADLINE))
        if done.status is None or check and done.status != 0:
            why = "took too long" if done.status is None else f"status {done.status}"
            raise rig.RigError(f"{shlex.join(command)}: {why}\n{done.stdout}{done.stderr}")
        return done

    def shell(self, script, **options):
        """Runs a script, which ends with its first failure, and returns what it printed."""
        return self.run(["sh", "-euc", script], **options).stdout

    def write(self, path, text, mode=0o644):
        """Makes a file inside, with the folders above it."""
        self.shell(f'mkdir -p "$(dirname {shlex.quote(path)})"; cat > {shlex.quote(path)}; '
                   f"chmod {mode:o} {shlex.quote(path)}", given=text.encode())

    def read(self, path):
        return self.run(["cat", path]).stdout

    def property(self, unit, name):
        """One property of a unit, as text."""
        return self.run(["systemctl", "show", "-P", name, unit]).stdout.strip()

    def journal(self, *arguments):
        """The journal's messages: journal("-u", "tcollector")."""
        return self.run(["journalctl", "--no-pager", "-q", "-o", "cat", *arguments]).stdout

    def console(self):
        """What the machine wrote to its console, for the report of a failure."""
        try:
            return (self.folder / "console").read_text(errors="replace")
        except (OSError, TypeError):
            return ""

    def install(self, build):
        """Installs the project from its build folder, as a package would: files, users, folders, units."""
        with tempfile.TemporaryDirectory() as stage:
            subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--strip", "--quiet", "--destdir", stage],
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
            files = subprocess.run(["tar", "-C", stage, "--owner=0", "--group=0", "-cz", "."],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True).stdout
        # not over the root folder's own mode
        self.run(["tar", "-C", "/", "--no-overwrite-dir", "--keep-directory-symlink", "-xz"], given=files)
        self.shell("systemd-sysusers; systemd-tmpfiles --create; systemctl daemon-reload; systemctl reload dbus")
