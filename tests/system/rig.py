# SPDX-License-Identifier: LGPL-2.1-or-later
"""A machine with a real systemd, booted in about three seconds and thrown away.

systemd-nspawn boots this host's own root below an overlay in memory: the programs and the build are there as they are
here, nothing written inside reaches the host, and the network is one of its own with nothing but loopback. Needs
root and systemd-container; where it cannot boot, RigError says why, which is for a test to fail with.

    with Machine() as machine:
        print(machine.shell("systemctl is-system-running"))

Limits of control groups (memory, tasks, processor time) are not enforced where the host's controllers are bound to
cgroup v1.
"""
import atexit
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import uuid

DEADLINE = 60  # seconds, for anything that is waited for
HALT = signal.SIGRTMIN + 4  # what systemd(1) takes for "power off"
TOOLS = ("systemd-nspawn", "nsenter", "unshare", "setpriv", "mount")

# In a mount namespace of its own, so that nothing is left mounted however it ends; and it ends with us.
ENTER = ["setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--propagation=private"]
# $1: a folder of ours; $2: a folder whose files are laid over the host's root, or "".
# In a control group of its own, too: two machines that shared one would stop each other's units.
BOOT = """
set -e
folder=$1 layer=$2 group=$3
shift 3
mkdir "$group"
echo $$ >"$group/cgroup.procs"
mount -t tmpfs -o mode=0755 none "$folder/written"
mkdir "$folder/written/upper" "$folder/written/work"
[ -z "$layer" ] || cp -a "$layer/." "$folder/written/upper"
mount -t overlay -o "lowerdir=/,upperdir=$folder/written/upper,workdir=$folder/written/work" none "$folder/root"
exec systemd-nspawn -q -D "$folder/root" "$@"
"""


class RigError(Exception):
    pass


def wait_until(condition, what, seconds=DEADLINE):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise RigError(f"waited {seconds} s for: {what}")
        time.sleep(0.05)


def clean_up_when_terminated():
    """A test that takes too long gets SIGTERM: let it end as by Ctrl-C, with all that is to be done at exit."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def why_not():
    """The reason why no machine can be booted here, or None."""
    if os.geteuid() != 0:
        return "booting a machine takes root"
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    return f"not installed: {', '.join(missing)}" if missing else None


def unified_hierarchy():
    """Where the unified hierarchy of control groups is mounted."""
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, *_ = line.split(" ")
        if kind == "cgroup2":
            return pathlib.Path(folder)
    raise RigError("no unified hierarchy of control groups (cgroup2) is mounted")


def remove_group(group):
    """It is empty, or will be at once: its machine has been powered off."""
    def removed():
        for folder, _, _ in os.walk(group, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                return False
        return True
    try:
        wait_until(removed, f"control group {group} to be empty", 5)
    except RigError:
        pass  # an empty folder is left in a file system of the kernel's


class Machine:
    """`target` is what it boots into: by default the journal, D-Bus on demand, and no daemon that happens to be
    installed on the host. `bind` names folders that are to be seen inside although they are not on the host's
    root file system (those under /tmp never are). `layer` is a folder whose files are laid over the host's root
    before it boots."""

    def __init__(self, target="basic.target", bind=(), layer=None):
        self.target = target
        self.layer = layer
        self.bind = [str(pathlib.Path(folder).resolve()) for folder in bind]
        self.folder = None
        self.group = None  # folder of its control group
        self.nspawn = None
        self.init = None  # process id, seen from the host, of the machine's first process

    def __enter__(self):
        self.boot()
        return self

    def __exit__(self, *_):
        self.stop()

    # -- its life --

    def boot(self):
        reason = why_not()
        if reason:
            raise RigError(reason)
        clean_up_when_terminated()
        atexit.register(self.stop)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tcollector-machine-"))
        try:
            self._start()
            self.init = wait_until(self._find_init, "the machine's first process")
            wait_until(self._is_up, "the machine to be up")
            self.shell("ip link set lo up")
        except BaseException as error:
            told = self.console()
            self.stop()
            if isinstance(error, (RigError, OSError, subprocess.SubprocessError)):
                raise RigError(f"{error}\n{told}") from error
            raise

    def stop(self):
        """Powers it off, at once if it does not do so by itself."""
        try:
            if self.nspawn and self.nspawn.poll() is None:
                self._power_off()
        finally:
            if self.folder:
                shutil.rmtree(self.folder)
            if self.group:
                remove_group(self.group)
                self.group = None
            self.nspawn = self.init = self.folder = None
            atexit.unregister(self.stop)

    def kill(self):
        """A power cut."""
        self._signal(signal.SIGKILL)
        self.nspawn.wait(DEADLINE)
        self.stop()

    def _start(self):
        for name in ("root", "written"):
            (self.folder / name).mkdir()
        name = f"tcollector-{uuid.uuid4().hex[:12]}"
        self.group = unified_hierarchy() / name
        arguments = ["--register=no", "--keep-unit", "--private-network", "--link-journal=no", f"--machine={name}"]
        arguments += [f"--bind-ro={folder}" for folder in self.bind]
        arguments += ["--boot", f"systemd.unit={self.target}"]
        with open(self.folder / "console", "wb") as console:
            self.nspawn = subprocess.Popen(
                [*ENTER, "sh", "-c", BOOT, "sh", self.folder, self.layer or "", self.group, *arguments],
                stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"})

    def _find_init(self):
        if self.nspawn.poll() is not None:
            raise RigError(f"systemd-nspawn ended with status {self.nspawn.returncode}")
        for child in pathlib.Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children").read_text().split():
            try:
                if pathlib.Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return int(child)
            except OSError:
                pass  # gone in the meantime
        return None

    def _is_up(self):
        if self.nspawn.poll() is not None:
            raise RigError(f"systemd-nspawn ended with status {self.nspawn.returncode}")
        # A unit of the host's that fails in here ("degraded") is no concern of ours.
        return self.run(["systemctl", "is-system-running"], check=False).stdout.strip() in ("running", "degraded")

    def _signal(self, number):
        if not self.init:
            return self.nspawn.send_signal(signal.SIGKILL)
        try:
            os.kill(self.init, number)
        except ProcessLookupError:
            pass  # it is on its way
        return None

    def _power_off(self):
        for number in (HALT, signal.SIGKILL):
            self._signal(number)
            try:
                self.nspawn.wait(DEADLINE / 2)
                return
            except subprocess.TimeoutExpired:
                continue
        self.nspawn.kill()
        self.nspawn.wait()

    # -- what can be done with it --

    def command(self, command, user=None):
        """`command` as the host has to run it, so that it runs inside."""
        enter = ["nsenter", "-t", str(self.init), "-m", "-u", "-i", "-n", "-p", "-C", "--"]
        if user is not None:
            enter += ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]
        return enter + [str(word) for word in command]

    def run(self, command, check=True, user=None, timeout=DEADLINE, **options):
        """Runs a command inside and returns its subprocess.CompletedProcess, with text."""
        done = subprocess.run(self.command(command, user), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=timeout, check=False, **options)
        if check and done.returncode != 0:
            raise RigError(f"{shlex.join(map(str, command))}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def start(self, command, user=None, **options):
        """Starts a command inside and returns its subprocess.Popen, for the caller to end."""
        return subprocess.Popen(self.command(command, user), stdin=subprocess.DEVNULL, text=True, **options)

    def shell(self, script, **options):
        """Runs a script, which ends with its first failure, and returns what it printed."""
        return self.run(["sh", "-euc", script], **options).stdout

    def path(self, inside):
        """A path inside as one that the host can use; links in it must be relative, or lead nowhere absolute."""
        return pathlib.Path(f"/proc/{self.init}/root") / str(inside).lstrip("/")

    def write(self, inside, text, mode=0o644):
        """Appears whole, as a package manager would put it there."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name(f".{path.name}.new")
        hidden.write_text(text)
        hidden.chmod(mode)
        hidden.rename(path)

    def journal(self, *arguments):
        """The journal's messages: journal("-u", "tcollector")."""
        return self.run(["journalctl", "--no-pager", "-q", "-o", "cat", *arguments]).stdout

    def console(self):
        """What the machine wrote to its console, for the report of a failure."""
        try:
            return (self.folder / "console").read_text(errors="replace")
        except (OSError, TypeError):
            return ""
