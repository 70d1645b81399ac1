/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What one process of this service leaves to the next: file descriptors in systemd's fd store
 * (sd_pid_notify_with_fds(3), FDSTORE=1), which come back as passed ones (sd_listen_fds_with_names(3)). They
 * survive a crash, kill -9 and `systemctl restart`; `systemctl stop` lets go of them.
 *
 * Names have at most 255 printable ASCII characters and no ':'. Where no systemd listens ($NOTIFY_SOCKET is
 * not set) nothing is kept and nothing fails. */

#include "basic/base.h"

typedef struct Handover Handover;

/* Takes over what was passed; two of one name: the first stands. -ENOMEM, or -errno of
 * sd_listen_fds_with_names(). */
int handover_new(Handover **ret);
Handover *handover_free(Handover *h); /* closes what nobody took; NULL-safe, returns NULL */
DEFINE_CLEANUP(Handover *, handover_free);

bool handover_is_kept(const Handover *h); /* is there anybody who keeps anything? */

/* The descriptor of that name, now the caller's; -1: there is none. It stays in the store until it is
 * forgotten. */
int handover_take(Handover *h, const char *name);

/* One more of those whose name begins with `prefix`, whichever comes first: *ret_name is what stands behind
 * the prefix, for the caller to free. -1: none is left. */
int handover_take_any(Handover *h, const char *prefix, char **ret_name);

/* Puts a copy into the store. 0, or -errno of sendmsg(2). */
int handover_store(const Handover *h, const char *name, int fd);
void handover_forget(const Handover *h, const char *name);

/* Waits until systemd has read all that was sent. -ETIMEDOUT. */
int handover_settle(const Handover *h, usec_t timeout);
