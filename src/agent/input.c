/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "agent/input.h"
#include "basic/buffer.h"
#include "basic/log.h"

struct Input {
        Lane *lane;
        Source *source;
        Buffer last; /* the last line, while the queue has no room for it */
        void (*ended)(void *userdata);
        void *userdata;
        bool has_ended;
};

static size_t on_lines(void *userdata, Slice lines) {
        Input *i = userdata;

        return lane_lines(i->lane, lines);
}

static void on_too_long(void *userdata, Slice beginning) {
        Input *i = userdata;

        lane_fault(i->lane, VERDICT_TOO_LONG, beginning);
}

static void on_end(void *userdata, Slice rest) {
        Input *i = userdata;

        i->has_ended = true;
        if (rest.n > 0 && (buffer_add(&i->last, rest) < 0 || buffer_add(&i->last, SLICE("\n")) < 0)) {
                buffer_done(&i->last);
                lane_fault(i->lane, VERDICT_UNFINISHED, rest);
        }

        i->source = source_free(i->source);
        input_resume(i);
}

static const SourceOps ops = { .lines = on_lines, .too_long = on_too_long, .end = on_end };

void input_resume(Input *i) {
        if (!i->has_ended || !i->ended)
                return;

        if (i->last.n > 0)
                buffer_consume(&i->last, lane_lines(i->lane, buffer_slice(&i->last)));
        if (i->last.n == 0)
                TAKE(i->ended)(i->userdata);
}

int input_new(Input **ret, SourceHub *hub, Lane *lane, void (*ended)(void *userdata), void *userdata) {
        _cleanup_(input_freep) Input *i = calloc(1, sizeof(*i));
        int r;

        if (!i)
                return -ENOMEM;

        *i = (Input) { .lane = lane, .ended = ended, .userdata = userdata };
        r = source_new(&i->source, hub, STDIN_FILENO, SOURCE_PIPE, "stdin", &ops, i);
        if (r < 0)
                return r;

        *ret = TAKE(i);
        return 0;
}

Input *input_free(Input *i) {
        if (!i)
                return NULL;

        source_free(i->source);
        buffer_done(&i->last);
        free(i);
        return NULL;
}

void input_stop(Input *i) {
        i->source = source_free(i->source);
        i->ended = NULL;
}

bool input_is_blocked(const Input *i) {
        return (i->source && source_is_blocked(i->source)) || (i->ended && i->last.n > 0);
}
