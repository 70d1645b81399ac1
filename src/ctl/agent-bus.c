/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sd_bus_call() waits without an end for a bus that takes the connection and does not say hello, as one that
 * is being started or stopped does: so the hello is waited for here. */

#include <poll.h>

#include <systemd/sd-bus.h>

#include "basic/clock.h"
#include "conf/names.h"
#include "ctl/agent-bus.h"

#define TIMEOUT (5 * USEC_PER_SEC)
#define NAMELESS (USEC_PER_SEC) /* one that has just been started takes so long at most to be on the bus */
#define NAMELESS_POLL_MSEC 100

static int wait_for_hello(sd_bus *bus, usec_t deadline) {
        for (;;) {
                usec_t now;
                int r = sd_bus_process(bus, NULL);

                if (r < 0)
                        return r;
                if (sd_bus_is_ready(bus) > 0)
                        return 0;
                if (r > 0)
                        continue;

                now = clock_usec(CLOCK_MONOTONIC);
                if (now >= deadline)
                        return -ETIMEDOUT;
                r = sd_bus_wait(bus, deadline - now);
                if (r < 0 && r != -EINTR)
                        return r;
        }
}

static int open_bus(usec_t deadline, sd_bus **ret) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        int r;

        r = sd_bus_open_system_with_description(&bus, "system-bus");
        if (r < 0)
                return r;
        r = wait_for_hello(bus, deadline);
        if (r < 0)
                return r;

        *ret = TAKE(bus);
        return 0;
}

static int new_call(sd_bus *bus, const char *member, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r = sd_bus_message_new_method_call(bus, &m, BUS_NAME, BUS_PATH, BUS_INTERFACE, member);

        if (r >= 0)
                r = sd_bus_message_set_auto_start(m, false);
        if (r < 0)
                return r;

        *ret = TAKE(m);
        return 0;
}

static int call(sd_bus *bus, sd_bus_message *m, usec_t deadline, sd_bus_message **ret, Buffer *why) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        usec_t now = clock_usec(CLOCK_MONOTONIC);
        int r = now >= deadline ? -ETIMEDOUT : sd_bus_call(bus, m, deadline - now, &error, ret);

        if (r >= 0)
                return 0;
        if (sd_bus_error_has_name(&error, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
            sd_bus_error_has_name(&error, SD_BUS_ERROR_NAME_HAS_NO_OWNER))
                return -ESRCH;
        if (why && error.message)
                (void) buffer_add_string(why, error.message);
        return r;
}

/* Adds what `r` says where nothing has been said. */
static int explain(int r, Buffer *why) {
        if (r >= 0 || !why || why->n > 0)
                return r;

        (void) buffer_add_string(why, r == -ESRCH ? "it is not running" : strerrordesc_np(-r) ?: "?");
        return r;
}

static int get_status(sd_bus *bus, usec_t deadline, sd_bus_message **ret, Buffer *why) {
        usec_t patient = clock_usec(CLOCK_MONOTONIC) + NAMELESS;

        for (;;) {
                _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
                int r = new_call(bus, "GetStatus", &m);

                if (r >= 0)
                        r = call(bus, m, deadline, ret, why);
                if (r != -ESRCH || clock_usec(CLOCK_MONOTONIC) >= patient)
                        return r;

                (void) poll(NULL, 0, NAMELESS_POLL_MSEC);
        }
}

int agent_status(char **ret_json, Buffer *why) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        usec_t deadline = clock_usec(CLOCK_MONOTONIC) + TIMEOUT;
        const char *json;
        char *copy;
        int r;

        r = open_bus(deadline, &bus);
        if (r >= 0)
                r = get_status(bus, deadline, &reply, why);
        if (r >= 0)
                r = sd_bus_message_read(reply, "s", &json);
        if (r < 0)
                return explain(r, why);

        copy = strdup(json);
        if (!copy)
                return -ENOMEM;

        *ret_json = copy;
        return 0;
}

int agent_flush(Buffer *why) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        usec_t deadline = clock_usec(CLOCK_MONOTONIC) + TIMEOUT;
        int r;

        r = open_bus(deadline, &bus);
        if (r >= 0)
                r = new_call(bus, "Flush", &m);
        if (r >= 0)
                r = call(bus, m, deadline, NULL, why);

        return explain(r, why);
}

int agent_collector_failed(const char *instance, const char *result, const char *status, usec_t timeout) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        usec_t deadline = clock_usec(CLOCK_MONOTONIC) + timeout;
        int r;

        r = open_bus(deadline, &bus);
        if (r >= 0)
                r = new_call(bus, "CollectorFailed", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "sss", instance, result, status);

        return r < 0 ? r : call(bus, m, deadline, NULL, NULL);
}
