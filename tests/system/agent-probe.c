/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a taken-over agent could do: run in its place, with its unit's settings, it tries what it must not be
 * able to, and prints a row for each attempt, "allowed WHAT" or "denied WHAT: WHY". Then it is ready, and
 * waits for its end.
 *
 * What it looks at is made by test-compromised.py. It tries nothing that would do harm where it is allowed.
 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

#include "basic/base.h"
#include "io/private-bus.h"

#define UNIT "probe-target.service"
#define SECOND UINT64_C(1000000)

static void tell(const char *what, int r) {
        if (r < 0)
                (void) printf("denied %s: %s\n", what, strerror(-r));
        else
                (void) printf("allowed %s\n", what);
        (void) fflush(stdout);
}

static int result(long r) {
        return r < 0 ? -errno : 0;
}

/* -- systemd -- */

static int start_unit(sd_bus *bus, const char *destination) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = sd_bus_call_method(bus, destination, "/org/freedesktop/systemd1",
                                   "org.freedesktop.systemd1.Manager", "StartUnit", &error, NULL, "ss", UNIT,
                                   "replace");

        return r < 0 ? r : 0;
}

static int by_system_bus(void) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        int r = sd_bus_open_system(&bus);

        return r < 0 ? r : start_unit(bus, "org.freedesktop.systemd1");
}

static int by_private_socket(void) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        int r = private_bus_new(false, &bus);

        if (r >= 0)
                r = private_bus_wait(bus, 5 * SECOND);

        return r < 0 ? r : start_unit(bus, NULL);
}

/* -- files -- */

static int write_below(const char *folder) {
        char path[256];
        int fd;

        (void) snprintf(path, sizeof(path), "%s/probe-was-here", folder);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;

        (void) close(fd);
        (void) unlink(path);
        return 0;
}

static int open_file(const char *path, int flags) {
        int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        return fd < 0 ? -errno : close(fd);
}

static void try_files(void) {
        static const char *const folders[] = {
                "/var/lib/tcollector",
                "/",
                "/etc",
                "/etc/tcollector",
                "/etc/systemd/system",
                "/usr",
                "/usr/local/bin",
                "/var/lib",
                "/var/log",
                "/boot",
                "/run",
                "/run/tcollector",
                "/run/tcollector/col",
                "/dev/shm",
                "/dev/mqueue",
                "/run/systemd/generator",
                "/run/lock",
                "/sys/fs/cgroup",
        };
        static const char *const secrets[] = { "/home/probe/open-to-all", "/root/open-to-all",
                                               "/tmp/probe/open-to-all", "/var/tmp/probe/open-to-all",
                                               "/run/user/0/open-to-all" };
        static const char *const settings[] = { "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger",
                                                "/sys/kernel/uevent_helper" };
        static const char *const devices[] = { "/dev/kmsg", "/dev/mem", "/dev/vda", "/dev/probe" };
        char what[256];

        for (size_t i = 0; i < ELEMENTSOF(folders); i++) {
                (void) snprintf(what, sizeof(what), "to write in %s", folders[i]);
                tell(what, write_below(folders[i]));
        }
        for (size_t i = 0; i < ELEMENTSOF(secrets); i++) {
                (void) snprintf(what, sizeof(what), "to read %s", secrets[i]);
                tell(what, open_file(secrets[i], O_RDONLY));
        }
        for (size_t i = 0; i < ELEMENTSOF(settings); i++) {
                (void) snprintf(what, sizeof(what), "to write %s", settings[i]);
                tell(what, open_file(settings[i], O_WRONLY));
        }
        for (size_t i = 0; i < ELEMENTSOF(devices); i++) {
                (void) snprintf(what, sizeof(what), "to open %s", devices[i]);
                tell(what, open_file(devices[i], O_RDONLY));
        }
}

/* -- privilege -- */

static int set_capabilities(void) {
        struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2] = {};

        data[0].effective = data[0].permitted = 1u << CAP_SYS_ADMIN;
        return result(syscall(SYS_capset, &head, data));
}

/* What a program with the set-user-ID bit, which is another copy of this one, says of itself. */
static int run_set_user_id(void) {
        int status;
        pid_t pid = fork();

        if (pid < 0)
                return -errno;
        if (pid == 0) {
                (void) execl("/usr/local/bin/probe-set-user-id", "probe-set-user-id", "--am-i-root", NULL);
                _exit(1);
        }
        if (waitpid(pid, &status, 0) < 0)
                return -errno;

        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

/* In a child, as it would change this process. */
static int in_child(int (*attempt)(void)) {
        int status;
        pid_t pid = fork();

        if (pid < 0)
                return -errno;
        if (pid == 0)
                _exit(-attempt() & 0xff);
        if (waitpid(pid, &status, 0) < 0)
                return -errno;

        return WIFEXITED(status) ? -WEXITSTATUS(status) : -EPERM;
}

static int become_root(void) {
        return result(setuid(0));
}

static int drop_groups(void) {
        return result(setgroups(0, NULL));
}

static int new_user_namespace(void) {
        return result(unshare(CLONE_NEWUSER));
}

static int new_mount_namespace(void) {
        return result(unshare(CLONE_NEWNS));
}

static int mount_something(void) {
        return result(mount("none", "/var/lib/tcollector", "tmpfs", 0, NULL));
}

static int attach_to_init(void) {
        return result(ptrace(PTRACE_SEIZE, 1, NULL, NULL));
}

static int raise_priority(void) {
        return result(setpriority(PRIO_PROCESS, 0, -20));
}

static int make_device(void) {
        int r = result(mknod("/var/lib/tcollector/probe-device", S_IFCHR | 0600, makedev(1, 1)));

        (void) unlink("/var/lib/tcollector/probe-device");
        return r;
}

static int make_set_user_id(void) {
        int fd = open("/var/lib/tcollector/probe-suid", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        int r;

        if (fd < 0)
                return -errno;
        r = result(fchmod(fd, 04755));
        (void) close(fd);
        (void) unlink("/var/lib/tcollector/probe-suid");
        return r;
}

static int open_socket(int family, int type, int protocol) {
        int fd = socket(family, type | SOCK_CLOEXEC, protocol);

        return fd < 0 ? -errno : close(fd);
}

static int map_code(void) {
        void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        return p == MAP_FAILED ? -errno : munmap(p, 4096);
}

static void try_privilege(const char *collector) {
        tell("a capability", in_child(set_capabilities));
        tell("to become root", in_child(become_root));
        tell("to drop groups", in_child(drop_groups));
        tell("root by a set-user-ID program", run_set_user_id());
        tell("a user namespace", in_child(new_user_namespace));
        tell("a mount namespace", in_child(new_mount_namespace));
        tell("to mount", in_child(mount_something));
        tell("to trace PID 1", in_child(attach_to_init));
        tell("to signal PID 1", result(kill(1, 0)));
        tell("to signal a collector", result(kill((pid_t) strtol(collector, NULL, 10), 0)));
        tell("a higher priority", in_child(raise_priority));
        tell("to make a device", make_device());
        tell("to make a set-user-ID program", make_set_user_id());
        tell("a packet socket", open_socket(AF_PACKET, SOCK_RAW, 0));
        tell("a raw socket", open_socket(AF_INET, SOCK_RAW, 1));
        tell("memory for code", map_code());
}

int main(int argc, char **argv) {
        if (argc == 2 && strcmp(argv[1], "--am-i-root") == 0)
                return geteuid() == 0 ? 0 : 1;
        if (argc != 2)
                return 2;

        tell("to start a unit over D-Bus", by_system_bus());
        tell("to start a unit over systemd's own socket", by_private_socket());
        try_files();
        try_privilege(argv[1]);
        (void) printf("done\n");
        (void) fflush(stdout);
        (void) sd_notify(0, "READY=1");
        for (;;)
                (void) pause();
}
