/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* libmicrohttpd in its "external epoll" mode: everything it watches is behind one epoll descriptor, which is
 * the loop's one event source for it; MHD_run() then does what there is to do. When it wants to be called
 * without an event (a time-out, or input it holds already) MHD_get_timeout() says so, asked for after every
 * run. */

#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include "basic/dl.h"
#include "basic/log.h"
#include "conf/hostport.h"
#include "io/monitor.h"

#define CONNECTIONS_MAX 64u
#define IDLE_SEC 10u

typedef struct MhdApi {
        __typeof__(MHD_add_response_header) *add_response_header;
        __typeof__(MHD_create_response_from_buffer) *create_response_from_buffer;
        __typeof__(MHD_destroy_response) *destroy_response;
        __typeof__(MHD_get_daemon_info) *get_daemon_info;
        __typeof__(MHD_get_timeout) *get_timeout;
        __typeof__(MHD_queue_response) *queue_response;
        __typeof__(MHD_run) *run;
        __typeof__(MHD_start_daemon) *start_daemon;
        __typeof__(MHD_stop_daemon) *stop_daemon;
} MhdApi;

#define SYMBOL(name) \
        { "MHD_" #name, offsetof(MhdApi, name) }

static const DlSymbol mhd_symbols[] = {
        SYMBOL(add_response_header),
        SYMBOL(create_response_from_buffer),
        SYMBOL(destroy_response),
        SYMBOL(get_daemon_info),
        SYMBOL(get_timeout),
        SYMBOL(queue_response),
        SYMBOL(run),
        SYMBOL(start_daemon),
        SYMBOL(stop_daemon),
};

struct Monitor {
        MhdApi api;
        struct MHD_Daemon *daemon;
        sd_event_source *io, *timer;
        MonitorReport report;
        void *userdata;
        uint16_t port;
};

/* -- answering -- */

/* Queues an answer; `body` is copied, `header` may be NULL. */
static enum MHD_Result answer(Monitor *m, struct MHD_Connection *connection, unsigned status,
                              const char *header, const char *header_value, Slice body) {
        struct MHD_Response *response;
        enum MHD_Result r;

        /* the library's prototype is not const; with MUST_COPY it only reads */
        response = m->api.create_response_from_buffer(body.n, (void *) (uintptr_t) body.p,
                                                      MHD_RESPMEM_MUST_COPY);
        if (!response)
                return MHD_NO;

        r = m->api.add_response_header(response, header, header_value);
        if (r == MHD_YES)
                r = m->api.add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
        if (r == MHD_YES)
                r = m->api.queue_response(connection, status, response);
        m->api.destroy_response(response);
        return r;
}

static bool is_read_only(const char *method) {
        return strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
}

/* Called when the head of a request is complete, then for every piece of its body, then once more. An answer
 * at the first call leaves the body unread, and the library closes the connection behind it. */
static enum MHD_Result on_request(void *userdata, struct MHD_Connection *connection,
                                  const char *url _unused_, const char *method, const char *version _unused_,
                                  const char *data _unused_, size_t *data_size, void **state) {
        bool is_first = !*state, is_body = *data_size > 0;
        _cleanup_(buffer_done) Buffer body = {};
        Monitor *m = userdata;
        int r;

        if (!is_read_only(method))
                return answer(m, connection, MHD_HTTP_METHOD_NOT_ALLOWED, MHD_HTTP_HEADER_ALLOW, "GET, HEAD",
                              SLICE("GET answers the list of collectors.\n"));

        *state = m;
        *data_size = 0;
        if (is_first || is_body)
                return MHD_YES;

        r = m->report(m->userdata, &body);
        if (r < 0) {
                log_warning_errno(r, "Failed to make the list of collectors for an HTTP client: %m");
                return answer(m, connection, MHD_HTTP_INTERNAL_SERVER_ERROR, MHD_HTTP_HEADER_CONTENT_TYPE,
                              "text/plain", SLICE("The list could not be made.\n"));
        }

        return answer(m, connection, MHD_HTTP_OK, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json",
                      buffer_slice(&body));
}

/* What the library would print is about its clients, not about us. */
_printf_(2, 0) static void on_complaint(void *userdata _unused_, const char *format, va_list ap) {
        char line[256];
        size_t n;

        (void) vsnprintf(line, sizeof(line), format, ap);
        n = strcspn(line, "\n");
        log_debug("HTTP endpoint: %.*s", (int) n, line);
}

/* -- the loop -- */

static void rearm(Monitor *m) {
        unsigned long long msec;
        int r;

        if (m->api.get_timeout(m->daemon, &msec) != MHD_YES) {
                (void) sd_event_source_set_enabled(m->timer, SD_EVENT_OFF);
                return;
        }

        msec = MIN(msec, IDLE_SEC * 1000ull);
        r = sd_event_source_set_time_relative(m->timer, msec * USEC_PER_MSEC);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                log_warning_errno(r, "Failed to set the HTTP endpoint's timer: %m");
}

static unsigned count_connections(const Monitor *m) {
        const union MHD_DaemonInfo *info =
                m->api.get_daemon_info(m->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

        return info ? info->num_connections : 0;
}

/* A run looks at the listening socket again, if there is room, before it closes what is to be closed:
 * without another one a client that waits for room would wait for somebody else's event. */
static void run(Monitor *m) {
        unsigned before;

        do {
                before = count_connections(m);
                if (m->api.run(m->daemon) != MHD_YES)
                        log_debug("The HTTP endpoint is in trouble.");
        } while (count_connections(m) < before);

        rearm(m);
}

static int on_io(sd_event_source *s _unused_, int fd _unused_, uint32_t events _unused_, void *userdata) {
        run(userdata);
        return 0;
}

static int on_timer(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        run(userdata);
        return 0;
}

static int attach(Monitor *m, sd_event *event) {
        const union MHD_DaemonInfo *info = m->api.get_daemon_info(m->daemon, MHD_DAEMON_INFO_EPOLL_FD);
        int r;

        if (!info)
                return -ENOSYS;

        r = sd_event_add_io(event, &m->io, info->epoll_fd, EPOLLIN, on_io, m);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(m->io, "monitor");

        r = sd_event_add_time_relative(event, &m->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer, m);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(m->timer, "monitor-timer");
        return sd_event_source_set_enabled(m->timer, SD_EVENT_OFF);
}

/* -- setting up -- */

static int bind_socket(const struct addrinfo *a, int *ret, uint16_t *ret_port) {
        _cleanup_(close_fdp) int fd =
                socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
        struct sockaddr_storage bound = {};
        socklen_t n = sizeof(bound);
        const int yes = 1;

        if (fd < 0)
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
            bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, CONNECTIONS_MAX) < 0 ||
            getsockname(fd, (struct sockaddr *) &bound, &n) < 0)
                return -errno;

        *ret_port = ntohs(bound.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *) &bound)->sin6_port :
                                                        ((const struct sockaddr_in *) &bound)->sin_port);
        *ret = TAKE_FD(fd);
        return 0;
}

/* 0, or -errno with the reason in *ret_why. */
static int listen_at(const char *address, uint16_t port, int *ret, uint16_t *ret_port,
                     const char **ret_why) {
        static const struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                               .ai_socktype = SOCK_STREAM };
        _cleanup_(freep) char *host = NULL;
        struct addrinfo *found;
        char service[8];
        HostPort hp;
        int r;

        if (host_parse(slice_from_string(address), &hp, ret_why) < 0)
                return -EINVAL;

        host = strndup(hp.host.p, hp.host.n);
        if (!host)
                return -ENOMEM;
        (void) snprintf(service, sizeof(service), "%u", (unsigned) port);
        r = getaddrinfo(host, service, &hints, &found);
        if (r != 0) {
                *ret_why = gai_strerror(r);
                return -EADDRNOTAVAIL;
        }

        r = bind_socket(found, ret, ret_port);
        freeaddrinfo(found);
        *ret_why = r < 0 ? strerrordesc_np(-r) : NULL;
        return r;
}

static int start(Monitor *m, int *fd) {
        m->daemon = m->api.start_daemon(
                MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, m, MHD_OPTION_EXTERNAL_LOGGER,
                on_complaint, NULL, /* first, to hear of the others */
                MHD_OPTION_LISTEN_SOCKET, *fd, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
                MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SEC, MHD_OPTION_END);
        if (!m->daemon)
                return -EIO;

        *fd = -1; /* the daemon's now */
        return 0;
}

int monitor_new(Monitor **ret, sd_event *event, const char *address, uint16_t port, MonitorReport report,
                void *userdata) {
        _cleanup_(monitor_freep) Monitor *m = calloc(1, sizeof(*m));
        _cleanup_(close_fdp) int fd = -1;
        const char *why = "out of memory";
        int r;

        if (!m)
                return log_oom();

        *m = (Monitor) { .report = report, .userdata = userdata };
        r = dl_load("libmicrohttpd.so.12", mhd_symbols, ELEMENTSOF(mhd_symbols), &m->api, &why);
        if (r < 0)
                return log_error_errno(r, "The HTTP endpoint needs libmicrohttpd: %s", why);

        r = listen_at(address, port, &fd, &m->port, &why);
        if (r < 0)
                return log_error_errno(r, "Failed to listen for HTTP requests at %s, port %u: %s", address,
                                       (unsigned) port, why);

        r = start(m, &fd);
        if (r >= 0)
                r = attach(m, event);
        if (r < 0)
                return log_error_errno(r, "Failed to start the HTTP endpoint: %m");

        *ret = TAKE(m);
        return 0;
}

Monitor *monitor_free(Monitor *m) {
        if (!m)
                return NULL;

        (void) sd_event_source_disable_unref(m->io);
        (void) sd_event_source_disable_unref(m->timer);
        if (m->daemon)
                m->api.stop_daemon(m->daemon);
        free(m);
        return NULL;
}

uint16_t monitor_port(const Monitor *m) {
        return m->port;
}
