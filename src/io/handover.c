/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <systemd/sd-daemon.h>

#include "io/handover.h"

typedef struct Item {
        char *name;
        int fd; /* -1: taken */
} Item;

struct Handover {
        Item *items;
        size_t n_items;
        bool kept;
};

static bool has(const Handover *h, const char *name) {
        for (size_t i = 0; i < h->n_items; i++)
                if (strcmp(h->items[i].name, name) == 0)
                        return true;

        return false;
}

/* Takes the `n` descriptors from SD_LISTEN_FDS_START on, and their names. */
static int take_over(Handover *h, char **names, size_t n) {
        h->items = calloc(n + 1, sizeof(*h->items));
        if (!h->items)
                return -ENOMEM;

        for (size_t i = 0; i < n; i++) {
                int fd = SD_LISTEN_FDS_START + (int) i;

                (void) fcntl(fd, F_SETFD, FD_CLOEXEC);
                if (has(h, names[i])) {
                        (void) close_fd(fd);
                        continue;
                }
                h->items[h->n_items++] = (Item) { TAKE(names[i]), fd };
        }

        return 0;
}

int handover_new(Handover **ret) {
        _cleanup_(handover_freep) Handover *h = calloc(1, sizeof(*h));
        char **names = NULL;
        int n, r;

        if (!h)
                return -ENOMEM;

        h->kept = getenv("NOTIFY_SOCKET") != NULL;
        n = sd_listen_fds_with_names(true, &names);
        if (n < 0)
                return n;

        r = take_over(h, names, (size_t) n);
        for (int i = 0; i < n; i++)
                free(names[i]);
        free(names);
        if (r < 0)
                return r;

        *ret = TAKE(h);
        return 0;
}

Handover *handover_free(Handover *h) {
        if (!h)
                return NULL;

        for (size_t i = 0; i < h->n_items; i++) {
                (void) close_fd(h->items[i].fd);
                free(h->items[i].name);
        }
        free(h->items);
        free(h);
        return NULL;
}

bool handover_is_kept(const Handover *h) {
        return h->kept;
}

int handover_take(Handover *h, const char *name) {
        for (size_t i = 0; i < h->n_items; i++)
                if (h->items[i].fd >= 0 && strcmp(h->items[i].name, name) == 0)
                        return TAKE_FD(h->items[i].fd);

        return -1;
}

int handover_take_any(Handover *h, const char *prefix, char **ret_name) {
        size_t n = strlen(prefix);

        for (size_t i = 0; i < h->n_items; i++) {
                char *name;

                if (h->items[i].fd < 0 || strncmp(h->items[i].name, prefix, n) != 0)
                        continue;

                name = strdup(h->items[i].name + n);
                if (!name)
                        return -1;
                *ret_name = name;
                return TAKE_FD(h->items[i].fd);
        }

        return -1;
}

int handover_store(const Handover *h, const char *name, int fd) {
        char state[512];
        int r;

        if (!h->kept)
                return 0;

        /* FDPOLL=0: or systemd would drop a FIFO's end as soon as no collector has it open */
        r = snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
        if (r >= (int) sizeof(state))
                return -ENAMETOOLONG;

        r = sd_pid_notify_with_fds(0, false, state, &fd, 1);
        return MIN(r, 0);
}

void handover_forget(const Handover *h, const char *name) {
        if (h->kept)
                (void) sd_notifyf(false, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

int handover_settle(const Handover *h, usec_t timeout) {
        int r;

        if (!h->kept)
                return 0;

        r = sd_notify_barrier(false, timeout);
        return MIN(r, 0);
}
