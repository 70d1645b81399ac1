/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Units are asked for now and then, all in one call, instead of being subscribed to: every run of every
 * periodic collector would wake the agent, the bus and systemd several times. */

#include <string.h>

#include <systemd/sd-bus.h>

#include "agent/bus.h"
#include "basic/log.h"
#include "conf/instance.h"
#include "conf/names.h"

#define CALL_TIMEOUT_USEC (5 * USEC_PER_SEC)

struct Bus {
        sd_event *event;
        const BusOps *ops;
        void *userdata;
        sd_bus *bus;           /* NULL: not connected */
        sd_bus_slot *question; /* for the units, unanswered */
        bool complained;       /* that there is no bus */
};

static int on_get_status(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(buffer_done) Buffer out = {};
        Bus *b = userdata;
        int r;

        r = b->ops->status(b->userdata, &out);
        if (r < 0)
                return sd_bus_error_set_errno(error, r);

        return sd_bus_reply_method_return(m, "s", out.data);
}

static int on_flush(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        Bus *b = userdata;

        b->ops->flush(b->userdata);
        return sd_bus_reply_method_return(m, NULL);
}

static int on_collector_failed(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        const char *instance, *result, *status;
        Bus *b = userdata;
        int r;

        r = sd_bus_message_read(m, "sss", &instance, &result, &status);
        if (r < 0)
                return r;

        /* exit status 13 is no failure: the collector has nothing to do on this host */
        if (strcmp(result, "exit-code") != 0 || strcmp(status, "13") != 0)
                b->ops->failed(b->userdata, instance, strcmp(result, "timeout") == 0);

        return sd_bus_reply_method_return(m, NULL);
}

/* Who may call what is decided by the bus: org.opentsdb.Tcollector1.conf. */
static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("GetStatus", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), on_get_status,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Flush", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, on_flush,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("CollectorFailed", SD_BUS_ARGS("s", instance, "s", result, "s", status),
                                SD_BUS_NO_RESULT, on_collector_failed, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static void disconnect(Bus *b) {
        b->question = sd_bus_slot_unref(b->question);
        b->bus = sd_bus_close_unref(b->bus);
}

static int on_disconnected(sd_bus_message *m _unused_, void *userdata, sd_bus_error *error _unused_) {
        disconnect(userdata);
        return 0;
}

static int on_name(sd_bus_message *m, void *userdata _unused_, sd_bus_error *error _unused_) {
        const sd_bus_error *e = sd_bus_message_get_error(m);

        if (e)
                log_warning("The system bus does not let this process be " BUS_NAME ": %s", e->message);

        return 0;
}

static int set_up(Bus *b) {
        int r;

        r = sd_bus_add_object_vtable(b->bus, NULL, BUS_PATH, BUS_INTERFACE, vtable, b);
        if (r >= 0)
                r = sd_bus_match_signal_async(b->bus, NULL, "org.freedesktop.DBus.Local",
                                              "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local",
                                              "Disconnected", on_disconnected, NULL, b);
        if (r >= 0)
                r = sd_bus_request_name_async(b->bus, NULL, BUS_NAME,
                                              SD_BUS_NAME_ALLOW_REPLACEMENT | SD_BUS_NAME_REPLACE_EXISTING,
                                              on_name, b);
        if (r >= 0)
                r = sd_bus_attach_event(b->bus, b->event, SD_EVENT_PRIORITY_NORMAL);

        return r;
}

static int connect_to(Bus *b) {
        int r;

        r = sd_bus_open_system_with_description(&b->bus, "system-bus");
        if (r >= 0) {
                (void) sd_bus_set_method_call_timeout(b->bus, CALL_TIMEOUT_USEC);
                r = set_up(b);
        }
        if (r >= 0) {
                b->complained = false;
                return 0;
        }

        disconnect(b);
        (void) log_full(b->complained ? LOG_DEBUG : LOG_INFO, r,
                        "No system bus: tcollectorctl cannot ask this process: %m");
        b->complained = true;
        return r;
}

/* One of ListUnitsByPatterns(): org.freedesktop.systemd1(5). 0: that was the last. */
static int read_unit(sd_bus_message *m, const char **ret_name, const char **ret_state) {
        const char *ignored;
        uint32_t number;

        return sd_bus_message_read(m, "(ssssssouso)", ret_name, &ignored, &ignored, ret_state, &ignored,
                                   &ignored, &ignored, &number, &ignored, &ignored);
}

/* A collector that is off its schedule until its retry is inactive, and so is one that waits for its next
 * run: the retry's timer tells. */
static void tell(const Bus *b, const char *name, const char *state, bool retries) {
        Slice instance;

        if (!retries && instance_from_unit(name, COLLECTOR_PREFIX, ".service", &instance))
                b->ops->state(b->userdata, instance, state);
        if (retries && strcmp(state, "active") == 0 &&
            instance_from_unit(name, RETRY_PREFIX, ".timer", &instance))
                b->ops->state(b->userdata, instance, "retry");
}

static int tell_all(const Bus *b, sd_bus_message *m, bool retries) {
        const char *name, *state;
        int r;

        r = sd_bus_message_rewind(m, true);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "(ssssssouso)");
        while (r > 0) {
                r = read_unit(m, &name, &state);
                if (r > 0)
                        tell(b, name, state, retries);
        }

        return r;
}

static int on_units(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        Bus *b = userdata;

        b->question = sd_bus_slot_unref(b->question);
        if (sd_bus_message_is_method_error(m, NULL)) {
                log_debug("systemd does not tell of its units: %s", sd_bus_message_get_error(m)->message);
                return 0;
        }

        b->ops->begin(b->userdata);
        if (tell_all(b, m, false) >= 0)
                (void) tell_all(b, m, true);
        return 0;
}

static void ask(Bus *b) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(b->bus, &m, "org.freedesktop.systemd1",
                                           "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                                           "ListUnitsByPatterns");
        if (r >= 0)
                r = sd_bus_message_append(m, "asas", 0, 2, COLLECTOR_PREFIX "*.service",
                                          RETRY_PREFIX "*.timer");
        if (r >= 0)
                r = sd_bus_call_async(b->bus, &b->question, m, on_units, b, CALL_TIMEOUT_USEC);
        if (r < 0)
                (void) log_debug_errno(r, "Failed to ask systemd for its units: %m");
}

void bus_look(Bus *b) {
        if (!b->bus && connect_to(b) < 0)
                return;
        if (!b->question && sd_bus_is_ready(b->bus) > 0)
                ask(b);
}

int bus_new(Bus **ret, sd_event *event, const BusOps *ops, void *userdata) {
        Bus *b = calloc(1, sizeof(*b));

        if (!b)
                return -ENOMEM;

        *b = (Bus) { .event = sd_event_ref(event), .ops = ops, .userdata = userdata };
        *ret = b;
        return 0;
}

Bus *bus_free(Bus *b) {
        if (!b)
                return NULL;

        disconnect(b);
        sd_event_unref(b->event);
        free(b);
        return NULL;
}
