/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A connection to systemd itself, on the socket its own tools use: no bus daemon is needed, no signal has
 * to be subscribed to. */

#include <systemd/sd-bus.h>

#include "basic/base.h"

/* Begins to connect, to the person's own manager or the system's. What is sent goes out when the manager
 * has let us in. -ENOENT, -ECONNREFUSED: there is none; -EPERM: somebody else listens there. */
int private_bus_new(bool user, sd_bus **ret);

/* Waits until the manager has let us in and answered. -ETIMEDOUT: it has not. */
int private_bus_wait(sd_bus *bus, usec_t timeout);
