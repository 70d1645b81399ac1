/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Connected by hand, so that there is no address to escape and the listener can be looked at first; from
 * then on it is sd-bus's. */

#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "basic/clock.h"
#include "io/private-bus.h"

static int private_address(bool user, struct sockaddr_un *ret) {
        const char *dir = getenv("XDG_RUNTIME_DIR");
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        size_t size = sizeof(address.sun_path);
        int n;

        if (!user)
                n = snprintf(address.sun_path, size, "/run/systemd/private");
        else if (dir && *dir)
                n = snprintf(address.sun_path, size, "%s/systemd/private", dir);
        else
                n = snprintf(address.sun_path, size, "/run/user/%ju/systemd/private", (uintmax_t) geteuid());
        if (n < 0 || (size_t) n >= size)
                return -ENAMETOOLONG;

        *ret = address;
        return 0;
}

/* Returns a descriptor. Whoever listens must be root or this user. */
static int connect_private(bool user) {
        _cleanup_(close_fdp) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un address;
        struct ucred peer;
        socklen_t n = sizeof(peer);
        int r;

        if (fd < 0)
                return -errno;
        r = private_address(user, &address);
        if (r < 0)
                return r;
        if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
                return -errno;
        if (peer.uid != 0 && peer.uid != geteuid())
                return -EPERM;

        return TAKE_FD(fd);
}

int private_bus_new(bool user, sd_bus **ret) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(close_fdp) int fd = connect_private(user);
        int r;

        if (fd < 0)
                return fd;

        r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        r = sd_bus_set_fd(bus, fd, fd);
        if (r < 0)
                return r;
        fd = -1; /* the bus has it */

        r = sd_bus_set_description(bus, "systemd-private");
        if (r < 0)
                return r;
        r = sd_bus_start(bus);
        if (r < 0)
                return r;

        *ret = TAKE(bus);
        return 0;
}

int private_bus_wait(sd_bus *bus, usec_t timeout) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        usec_t deadline = clock_usec(CLOCK_MONOTONIC) + timeout, now;
        int r;

        for (;;) {
                r = sd_bus_process(bus, NULL);
                if (r < 0)
                        return r;
                if (sd_bus_is_ready(bus) > 0)
                        break;

                now = clock_usec(CLOCK_MONOTONIC);
                if (now >= deadline)
                        return -ETIMEDOUT;
                if (r == 0) {
                        r = sd_bus_wait(bus, deadline - now);
                        if (r < 0 && r != -EINTR)
                                return r;
                }
        }

        r = sd_bus_message_new_method_call(bus, &m, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                                           "org.freedesktop.DBus.Peer", "Ping");
        if (r < 0)
                return r;

        now = clock_usec(CLOCK_MONOTONIC);
        return now >= deadline ? -ETIMEDOUT : sd_bus_call(bus, m, deadline - now, NULL, NULL);
}
