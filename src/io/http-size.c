/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "io/http-size.h"

#define CEILING_TIME (600 * USEC_PER_SEC) /* a refusal may have had another reason, and costs little */
#define TOO_LITTLE (2 * HTTP_SIZE_MIN)    /* to have been refused for its size */
#define FULL_ENOUGH 3u
#define CUTS_ENOUGH 2u

size_t http_size_limit(const HttpSize *s) {
        return s->limit > 0 ? s->limit : HTTP_SIZE_START;
}

size_t http_size_max_lines(const HttpSize *s) {
        return s->max_lines > 0 ? s->max_lines : SIZE_MAX;
}

static void set_ceiling(HttpSize *s, size_t wire, usec_t now) {
        s->ceiling = wire;
        s->ceiling_until = now + CEILING_TIME;
        s->n_full = 0;
}

static void grow(HttpSize *s, usec_t now) {
        size_t next = MIN(http_size_limit(s) * 2, HTTP_SIZE_MAX);

        if (s->ceiling > 0 && now >= s->ceiling_until)
                s->ceiling = 0;
        if (s->ceiling > 0 && next >= s->ceiling)
                return;

        s->limit = next;
        s->n_full = 0;
}

/* A part of what was in doubt has passed. */
static void pass(HttpSize *s, size_t lines, usec_t now) {
        s->left -= MIN(s->left, lines);
        s->max_lines = s->max_lines > SIZE_MAX / 2 ? 0 : s->max_lines * 2;
        if (s->left > 0)
                return;

        /* Refused down to a few lines, and now not any more: the server has recovered from something. */
        if (s->refused < TOO_LITTLE)
                s->limit = s->before;
        else
                set_ceiling(s, s->refused, now);
        s->refused = s->max_lines = 0;
}

void http_size_taken(HttpSize *s, const HttpSent *sent, bool quick, usec_t now) {
        s->n_cuts = 0;
        s->alive = false;
        if (s->refused > 0) {
                pass(s, sent->lines, now);
                return;
        }

        /* Behind a bad point the way back is quick, but not at once: often there are more of them. */
        if (s->max_lines > 0) {
                s->max_lines = s->max_lines >= 4096 ? 0 : s->max_lines * 4;
                return;
        }

        s->n_full = sent->full && quick ? s->n_full + 1 : 0;
        if (s->n_full >= FULL_ENOUGH)
                grow(s, now);
}

void http_size_too_large(HttpSize *s, const HttpSent *sent, usec_t now) {
        if (sent->lines <= 1)
                return;

        set_ceiling(s, sent->wire, now);
        s->limit = MAX(sent->wire / 2, HTTP_SIZE_MIN);
        if (s->refused > 0)
                s->before = MIN(s->before, s->limit);
}

HttpStep http_size_refused(HttpSize *s, const HttpSent *sent) {
        s->n_cuts = 0;
        if (sent->lines <= 1)
                return s->alive ? HTTP_STEP_DROP : HTTP_STEP_PROBE;

        if (s->refused == 0) {
                s->before = http_size_limit(s);
                s->left = sent->lines;
        }
        s->refused = sent->wire;
        s->limit = MIN(http_size_limit(s), MAX(sent->wire / 2, HTTP_SIZE_MIN));
        s->max_lines = sent->lines / 2;
        s->n_full = 0;
        return HTTP_STEP_AGAIN;
}

HttpStep http_size_cut(HttpSize *s, const HttpSent *sent) {
        if (++s->n_cuts < CUTS_ENOUGH)
                return HTTP_STEP_AGAIN;

        return http_size_refused(s, sent);
}

void http_size_alive(HttpSize *s) {
        s->alive = true;
        s->n_cuts = 0;
}

void http_size_dropped(HttpSize *s) {
        if (s->refused > 0)
                s->limit = s->before;
        s->refused = s->left = 0;
        s->n_cuts = 0;
        s->alive = false;
        s->max_lines = MAX(s->max_lines, (size_t) 1) * 4;
}

void http_size_failed(HttpSize *s, const HttpSent *sent, usec_t now) {
        http_size_settle(s);
        if (sent->wire <= HTTP_SIZE_START)
                return;

        set_ceiling(s, sent->wire, now);
        s->limit = MAX(MIN(http_size_limit(s), sent->wire) / 2, HTTP_SIZE_START);
}

void http_size_settle(HttpSize *s) {
        if (s->refused > 0)
                s->limit = s->before;
        s->refused = s->left = s->max_lines = 0;
        s->n_cuts = 0;
        s->alive = false;
}
