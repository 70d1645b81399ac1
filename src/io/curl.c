/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* libcurl's multi interface tells us by callback which descriptors to watch and when to wake it; each
 * becomes an event source. Its callbacks only note that down; everything that may end a job happens after
 * curl_multi_socket_action() has returned, in glue_collect(), where handles may be removed.
 *
 * The watches are kept in a list, as libcurl cannot be asked for them. It ends a watch before it closes the
 * descriptor, so none outlives its file. */

#include <stdio.h>
#include <string.h>

#include "basic/dl.h"
#include "io/curl.h"

typedef struct CurlWatch CurlWatch;

struct CurlWatch {
        CurlWatch *next;
        CurlGlue *glue; /* borrowed */
        int fd;         /* borrowed */
        sd_event_source *source;
};

struct CurlGlue {
        CurlApi api;
        sd_event *event;
        CURLM *multi;
        sd_event_source *timer;
        CurlWatch *watches;
};

struct CurlJob {
        CurlGlue *glue; /* borrowed */
        CURL *easy;
        CurlDone done;
        void *userdata;
        bool added;
        char error[CURL_ERROR_SIZE];
        char why[2 * CURL_ERROR_SIZE];
};

#define SYMBOL(f) \
        { "curl_" #f, offsetof(CurlApi, f) }

static const DlSymbol curl_symbols[] = {
        SYMBOL(easy_cleanup),     SYMBOL(easy_getinfo),        SYMBOL(easy_init),
        SYMBOL(easy_recv),        SYMBOL(easy_send),           SYMBOL(easy_setopt),
        SYMBOL(easy_strerror),    SYMBOL(global_cleanup),      SYMBOL(global_init),
        SYMBOL(multi_add_handle), SYMBOL(multi_assign),        SYMBOL(multi_cleanup),
        SYMBOL(multi_info_read),  SYMBOL(multi_init),          SYMBOL(multi_remove_handle),
        SYMBOL(multi_setopt),     SYMBOL(multi_socket_action), SYMBOL(slist_append),
        SYMBOL(slist_free_all),
};
static_assert(ELEMENTSOF(curl_symbols) * sizeof(void *) == sizeof(CurlApi), "load every function");

static void watch_free(CurlGlue *g, CurlWatch *w) {
        CurlWatch **p = &g->watches;

        while (*p != w)
                p = &(*p)->next;
        *p = w->next;

        (void) sd_event_source_disable_unref(w->source);
        free(w);
}

static void glue_collect(CurlGlue *g) {
        for (;;) {
                CurlJob *j = NULL;
                CURLMsg *m;
                CURLcode code;
                int left;

                m = g->api.multi_info_read(g->multi, &left);
                if (!m)
                        return;
                if (m->msg != CURLMSG_DONE)
                        continue;

                code = m->data.result; /* `m` may not outlive the next call into libcurl */
                if (g->api.easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &j) == CURLE_OK && j)
                        j->done(j->userdata, code);
        }
}

static int on_socket(sd_event_source *source _unused_, int fd, uint32_t revents, void *userdata) {
        CurlGlue *g = ((CurlWatch *) userdata)->glue; /* the watch may go while libcurl runs */
        int what = 0, running;

        if (revents & EPOLLIN)
                what |= CURL_CSELECT_IN;
        if (revents & EPOLLOUT)
                what |= CURL_CSELECT_OUT;
        if (revents & (EPOLLERR | EPOLLHUP))
                what |= CURL_CSELECT_ERR;

        (void) g->api.multi_socket_action(g->multi, fd, what, &running);
        glue_collect(g);
        return 0;
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        CurlGlue *g = userdata;
        int running;

        (void) g->api.multi_socket_action(g->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        glue_collect(g);
        return 0;
}

static int watch_new(CurlGlue *g, int fd, uint32_t events) {
        CurlWatch *w = calloc(1, sizeof(*w));

        if (!w)
                return -ENOMEM;

        *w = (CurlWatch) { .next = g->watches, .glue = g, .fd = fd };
        g->watches = w;
        if (sd_event_add_io(g->event, &w->source, fd, events, on_socket, w) < 0 ||
            g->api.multi_assign(g->multi, fd, w) != CURLM_OK) {
                watch_free(g, w);
                return -EIO;
        }

        (void) sd_event_source_set_description(w->source, "curl-socket");
        return 0;
}

/* CURLMOPT_SOCKETFUNCTION */
static int socket_wanted(CURL *easy _unused_, curl_socket_t fd, int what, void *userdata, void *data) {
        CurlGlue *g = userdata;
        CurlWatch *w = data;
        uint32_t events = 0;

        if (what == CURL_POLL_REMOVE) {
                if (w)
                        watch_free(g, w);
                return 0;
        }

        if (what & CURL_POLL_IN)
                events |= EPOLLIN;
        if (what & CURL_POLL_OUT)
                events |= EPOLLOUT;
        if (w)
                return sd_event_source_set_io_events(w->source, events) < 0 ? -1 : 0;

        return watch_new(g, fd, events) < 0 ? -1 : 0;
}

/* CURLMOPT_TIMERFUNCTION */
static int timer_wanted(CURLM *multi _unused_, long timeout_ms, void *userdata) {
        CurlGlue *g = userdata;

        if (timeout_ms < 0)
                return sd_event_source_set_enabled(g->timer, SD_EVENT_OFF) < 0 ? -1 : 0;

        if (sd_event_source_set_time_relative(g->timer, (usec_t) timeout_ms * USEC_PER_MSEC) < 0)
                return -1;

        return sd_event_source_set_enabled(g->timer, SD_EVENT_ONESHOT) < 0 ? -1 : 0;
}

static int glue_set_up(CurlGlue *g) {
        const CurlApi *api = &g->api;
        int r;

        r = sd_event_add_time(g->event, &g->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer, g);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(g->timer, "curl-timer");

        r = sd_event_source_set_enabled(g->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;

        g->multi = api->multi_init();
        if (!g->multi)
                return -ENOMEM;

        if (api->multi_setopt(g->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted) != CURLM_OK ||
            api->multi_setopt(g->multi, CURLMOPT_SOCKETDATA, g) != CURLM_OK ||
            api->multi_setopt(g->multi, CURLMOPT_TIMERFUNCTION, timer_wanted) != CURLM_OK ||
            api->multi_setopt(g->multi, CURLMOPT_TIMERDATA, g) != CURLM_OK)
                return -EIO;

        return 0;
}

int curl_glue_new(CurlGlue **ret, sd_event *event, const char **ret_why) {
        _cleanup_(curl_glue_freep) CurlGlue *g = NULL;
        CurlApi api;
        int r;

        r = dl_load("libcurl.so.4", curl_symbols, ELEMENTSOF(curl_symbols), &api, ret_why);
        if (r < 0)
                return r;
        if (api.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
                *ret_why = "libcurl cannot be initialised";
                return -EIO;
        }

        g = calloc(1, sizeof(*g));
        if (!g) {
                api.global_cleanup();
                *ret_why = "no memory";
                return -ENOMEM;
        }

        g->api = api;
        g->event = sd_event_ref(event);
        r = glue_set_up(g);
        if (r < 0) {
                *ret_why = "libcurl cannot be put on the event loop";
                return r;
        }

        *ret = TAKE(g);
        return 0;
}

CurlGlue *curl_glue_free(CurlGlue *g) {
        if (!g)
                return NULL;

        if (g->multi)
                (void) g->api.multi_cleanup(g->multi);
        while (g->watches)
                watch_free(g, g->watches);
        (void) sd_event_source_disable_unref(g->timer);
        g->api.global_cleanup();
        (void) sd_event_unref(g->event);
        free(g);
        return NULL;
}

const CurlApi *curl_glue_api(const CurlGlue *g) {
        return &g->api;
}

int curl_job_new(CurlJob **ret, CurlGlue *g, CurlDone done, void *userdata) {
        _cleanup_(curl_job_freep) CurlJob *j = calloc(1, sizeof(*j));
        const CurlApi *api = &g->api;

        if (!j)
                return -ENOMEM;

        *j = (CurlJob) { .glue = g, .done = done, .userdata = userdata, .easy = api->easy_init() };
        if (!j->easy)
                return -ENOMEM;

        /* Without QUICK_EXIT, giving up a name whose server is silent waits for the resolver's thread. And
         * libcurl would keep addresses for a minute, also of a server that has moved: connections live long,
         * so the resolver is asked for each. */
        if (api->easy_setopt(j->easy, CURLOPT_PRIVATE, j) != CURLE_OK ||
            api->easy_setopt(j->easy, CURLOPT_ERRORBUFFER, j->error) != CURLE_OK ||
            api->easy_setopt(j->easy, CURLOPT_NOSIGNAL, 1L) != CURLE_OK ||
            api->easy_setopt(j->easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L) != CURLE_OK ||
            api->easy_setopt(j->easy, CURLOPT_QUICK_EXIT, 1L) != CURLE_OK)
                return -EIO;

        *ret = TAKE(j);
        return 0;
}

CurlJob *curl_job_free(CurlJob *j) {
        if (!j)
                return NULL;

        if (j->added)
                (void) j->glue->api.multi_remove_handle(j->glue->multi, j->easy);
        if (j->easy)
                j->glue->api.easy_cleanup(j->easy);
        free(j);
        return NULL;
}

CURL *curl_job_easy(const CurlJob *j) {
        return j->easy;
}

const CurlApi *curl_job_api(const CurlJob *j) {
        return &j->glue->api;
}

int curl_job_start(CurlJob *j) {
        if (j->added)
                (void) j->glue->api.multi_remove_handle(j->glue->multi, j->easy);
        j->added = false;
        j->error[0] = '\0';
        if (j->glue->api.multi_add_handle(j->glue->multi, j->easy) != CURLM_OK)
                return -EIO;

        j->added = true;
        return 0;
}

void curl_job_take_socket(CurlJob *j, int fd) {
        CurlGlue *g = j->glue;

        for (CurlWatch *w = g->watches; w; w = w->next)
                if (w->fd == fd) {
                        (void) g->api.multi_assign(g->multi, fd, NULL);
                        watch_free(g, w);
                        return;
                }
}

int curl_job_errno(const CurlJob *j, CURLcode code) {
        long error = 0;

        if (code == CURLE_OUT_OF_MEMORY)
                return -ENOMEM;
        if (code == CURLE_OPERATION_TIMEDOUT)
                return -ETIMEDOUT;
        if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY)
                return -EHOSTUNREACH;
        if (j->glue->api.easy_getinfo(j->easy, CURLINFO_OS_ERRNO, &error) == CURLE_OK && error > 0)
                return (int) -error;

        return -EIO;
}

/* "Failed to connect to tsd1 port 4242 after 12 ms: ...": how long it took makes each failure look like
 * another one. */
static void without_time(char *text) {
        char *begin = strstr(text, " after "), *end;

        if (!begin)
                return;

        end = begin + strlen(" after ");
        end += strspn(end, "0123456789");
        if (strncmp(end, " milliseconds", strlen(" milliseconds")) == 0)
                end += strlen(" milliseconds");
        else if (strncmp(end, " ms", strlen(" ms")) == 0)
                end += strlen(" ms");
        else
                return;

        memmove(begin, end, strlen(end) + 1);
}

const char *curl_job_why(CurlJob *j, CURLcode code) {
        const char *text = j->error[0] ? j->error : j->glue->api.easy_strerror(code);
        const char *error = NULL;
        long number = 0;

        if (j->glue->api.easy_getinfo(j->easy, CURLINFO_OS_ERRNO, &number) == CURLE_OK && number > 0)
                error = strerrordesc_np((int) number);

        /* A time-out has no errno of its own, only one left over. */
        if (!error || strstr(text, error) || code == CURLE_OPERATION_TIMEDOUT)
                (void) snprintf(j->why, sizeof(j->why), "%s", text);
        else
                (void) snprintf(j->why, sizeof(j->why), "%s (%s)", text, error);

        without_time(j->why);
        return j->why;
}
