/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For tests of spool and queue: a folder, lines that carry their number, and what was lost. A line of a
 * given number has always the same bytes, so whoever reads it can tell that it is whole, and which it is. */

#include "basic/buffer.h"
#include "store/spool.h"
#include "unit/tap.h"

#define SPOOL_LINE_MAX 700u

typedef struct Losses {
        unsigned n[_SPOOL_WHY_MAX];
        uint64_t lines;
        unsigned calls;
} Losses;

typedef struct SpoolRig {
        char path[64];
        int dir_fd;
        SpoolLimits limits;
        Spool *spool;
        Losses losses;
        uint64_t next; /* number of the next line to be appended; from 1 */
        uint64_t random;
} SpoolRig;

int spool_rig_set_up(void **state); /* an empty folder, no spool yet */
int spool_rig_tear_down(void **state);

void spool_rig_open(SpoolRig *r);
void spool_rig_close(SpoolRig *r);
void spool_rig_empty(SpoolRig *r); /* closes it, and removes all that is in the folder */

uint64_t spool_rig_draw(SpoolRig *r, uint64_t n);              /* 0 to n - 1 */
void spool_rig_on_loss(void *userdata, const SpoolLoss *loss); /* userdata: Losses */

size_t spool_line(uint64_t number, char ret[static SPOOL_LINE_MAX]); /* its bytes, newline included */
/* Adds the lines `first` to `first + n - 1`. */
void spool_lines_add(Buffer *b, uint64_t first, unsigned n);
/* Takes a line off the front and gives its number; 0: it is not one of ours. */
uint64_t spool_line_take(Slice *s);

/* Appends one record of `n` lines at the head. */
int spool_rig_append(SpoolRig *r, unsigned n);
/* Reads, checks and acknowledges all there is for a reader; gives the numbers to `seen` (of `n`), how many
 * there were is returned. */
unsigned spool_rig_drain(SpoolRig *r, unsigned reader, uint64_t *seen, unsigned n);
