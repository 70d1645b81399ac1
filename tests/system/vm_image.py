# SPDX-License-Identifier: LGPL-2.1-or-later
"""The disk that a virtual machine (vm.py) starts from: a minimal Debian of this host's own release, so that what was
built here runs there, with its kernel. Made once, in about a minute, by debootstrap from the mirror apt uses here;
then kept, under a key of all that it is made of:

    /var/cache/tcollector-tests/KEY/{disk,kernel,initrd}

The kernel is started without a boot loader, by an initrd with the two modules it needs. The machine's shell
(vm-guest.py) is a service. Units that only cost time (apt's timers, a login on the console) are masked.
"""
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TOOLS = ("debootstrap", "mke2fs", "chroot")
PACKAGES = ("systemd", "systemd-sysv", "dbus", "udev", "linux-image-cloud-amd64", "initramfs-tools", "python3",
            "procps", "iproute2", "libconfuse2", "libcurl4", "libmicrohttpd12", "libdeflate0", "libjansson4",
            "libsystemd0", "libxxhash0")
DISK_SIZE = "3G"  # sparse
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer",
          "e2scrub_reap.service", "fstrim.timer", "systemd-tmpfiles-clean.timer", "getty.target",
          "serial-getty@ttyS0.service", "systemd-logind.service", "systemd-networkd-wait-online.service")
UNNEEDED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")
KEPT = 14 * 86400  # seconds since it was last used
MACHINE_ID = hashlib.md5(b"tcollector test machine").hexdigest()

SHELL_UNIT = """[Unit]
Description=Shell of the Test
DefaultDependencies=no
After=systemd-udevd.service systemd-remount-fs.service
Wants=modprobe@virtio_console.service
After=modprobe@virtio_console.service

[Service]
ExecStart=/usr/bin/python3 -S -E /usr/lib/vm-guest.py
OOMScoreAdjust=-1000
TasksMax=infinity
"""


class ImageError(Exception):
    pass


def release():
    """This host's Debian release by name."""
    lines = pathlib.Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    told = dict(line.split("=", 1) for line in lines if "=" in line)
    if told.get("ID") != "debian":
        raise ImageError("a virtual machine runs what is built here, so this has to be a Debian")
    return told["VERSION_CODENAME"]


def output(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True).stdout


def mirror(suite):
    """The one apt has for this release, else Debian's own."""
    known = output("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages",
                   f"Codename: {suite}", "Component: main").split()
    return next((uri for uri in known if uri.startswith("http")), "http://deb.debian.org/debian/")


def proxies():
    """apt's proxy, as variables of the environment."""
    found = {}
    for scheme in ("http", "https"):
        value = output("apt-config", "shell", "proxy", f"Acquire::{scheme}::Proxy").partition("=")[2].strip("'\n")
        if value and value != "DIRECT":
            found[f"{scheme}_proxy"] = value
    return found


def cache_folder():
    if os.geteuid() == 0:
        return pathlib.Path("/var/cache/tcollector-tests")
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "tcollector-tests"


def key(suite):
    made_of = [suite, *PACKAGES, pathlib.Path(__file__).read_text(), (HERE / "vm-guest.py").read_text()]
    return f"{suite}-{hashlib.sha256(chr(0).join(made_of).encode()).hexdigest()[:16]}"


def call(log, *command, **options):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log,
                          stderr=subprocess.STDOUT, check=False, **options)
    if done.returncode != 0:
        log.seek(0)
        raise ImageError(f"{command[0]}: status {done.returncode}\n{log.read().decode(errors='replace')[-2000:]}")


def settle(root):
    """What makes a machine of the packages."""
    for name in UNNEEDED:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir()
    units = root / "etc/systemd/system"
    for name in MASKED:
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")
    shutil.copy(HERE / "vm-guest.py", root / "usr/lib/vm-guest.py")
    (units / "vm-guest.service").write_text(SHELL_UNIT)
    (units / "sysinit.target.wants").mkdir(exist_ok=True)
    (units / "sysinit.target.wants/vm-guest.service").symlink_to("../vm-guest.service")
    (root / "etc/machine-id").write_text(MACHINE_ID + "\n")
    (root / "etc/hostname").write_text("vm\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost vm\n::1 localhost vm\n")


def make_initrd(root, log):
    version = next((root / "lib/modules").iterdir()).name
    (root / "etc/initramfs-tools/modules").write_text("virtio_pci\nvirtio_blk\n")
    (root / "etc/initramfs-tools/conf.d/vm").write_text("MODULES=list\nCOMPRESS=gzip\n")
    call(log, "chroot", root, "mkinitramfs", "-o", "/boot/initrd", version)
    return root / f"boot/vmlinuz-{version}", root / "boot/initrd"


def make(folder, suite):
    """Fills `folder`, which is empty."""
    root = folder / "root"
    with tempfile.TemporaryFile() as log:
        call(log, "debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, root, mirror(suite),
             env={**os.environ, **proxies(), "LC_ALL": "C"})
        kernel, initrd = make_initrd(root, log)
        kernel.rename(folder / "kernel")
        initrd.rename(folder / "initrd")
        settle(root)
        call(log, "mke2fs", "-q", "-t", "ext4", "-d", root, folder / "disk", DISK_SIZE)
    shutil.rmtree(root)


def get():
    """The folder with disk, kernel and initrd, for nobody to change. Made where there is none; others wait for it."""
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        raise ImageError(f"not installed: {', '.join(missing)}")
    suite = release()
    cache = cache_folder()
    image = cache / key(suite)
    if image.is_dir():
        os.utime(image)
        return image
    if os.geteuid() != 0:
        raise ImageError("making the image of a virtual machine takes root")
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not image.is_dir():
            make_room(cache)
            make_at(image, suite)
    return image


def make_at(image, suite):
    half_made = pathlib.Path(tempfile.mkdtemp(prefix="new-", dir=image.parent))
    try:
        make(half_made, suite)
        half_made.rename(image)
    finally:
        shutil.rmtree(half_made, ignore_errors=True)


def make_room(cache):
    """Under the lock, which is what makes anything called new-... a leftover. Each image is half a gigabyte."""
    for old in cache.iterdir():
        if old.name.startswith("new-") or (old.is_dir() and time.time() - old.stat().st_mtime > KEPT):
            shutil.rmtree(old)
