/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A share of the queue's lines, for one of several senders: the lines of those series whose hash says so, so
 * that a series always goes the same way and keeps its order. A series is its metric and its tags as they
 * stand in the line.
 *
 *     floor                      scanned                head      positions of the queue
 *       |--- some of this is ours --|--- not looked at ---|
 *
 * To its protocol a share looks like a queue of its own lines alone: `sent` and `acked` are bytes of these,
 * and grow without gaps. What has been scanned counts as sent by the reader in the queue; our lines of it
 * stand in a buffer until they are sent. The floor, to where the reader may be acknowledged, is the
 * beginning of our first line that is not proven, or, where all are, all that has been scanned: so lines of
 * others never hold up the queue. */

#include "store/queue.h"

typedef struct SenderShare SenderShare;

/* Share `index` of `n`; the queue is borrowed, and its reader this share's alone. -ENOMEM. */
int sender_share_new(SenderShare **ret, Queue *queue, unsigned reader, unsigned index, unsigned n);
SenderShare *sender_share_free(SenderShare *h); /* NULL-safe, returns NULL */
DEFINE_CLEANUP(SenderShare *, sender_share_free);

/* Which of `n` shares the line ("put METRIC TIME VALUE[ TAGS]", with or without newline) belongs to. */
unsigned sender_share_of(Slice line, unsigned n);

/* Looks through the queue until there is something to send, or 4 MiB are looked through. Whole lines, but
 * for one that was cut by sender_share_sent(); not all there is. Borrowed until the next call of a function
 * of the share that is not const. */
Slice sender_share_peek(SenderShare *h);
Slice sender_share_rest(const SenderShare *h);    /* of the line that was cut; empty: none was */
void sender_share_sent(SenderShare *h, size_t n); /* the first `n` bytes of the last peek */
bool sender_share_has_more(const SenderShare *h); /* found by peeking and not sent */
/* Nothing is found yet, and the last peek has not looked through everything: it is to be called again. */
bool sender_share_has_unscanned(const SenderShare *h);
uint64_t sender_share_sent_at(const SenderShare *h); /* in bytes of our own */
uint64_t sender_share_acked_at(const SenderShare *h);

/* Our whole lines before `until`, which is at most sent, are proven; how many they are. Where very many
 * writes are unproven, some of them may count only together with the next. To be followed by an
 * acknowledgement of the floor in the queue. */
uint64_t sender_share_acked(SenderShare *h, uint64_t until);
uint64_t sender_share_floor(const SenderShare *h); /* a position of the queue */
/* Nothing of ours is staged, or sent and not proven: all that was scanned can be acknowledged. */
bool sender_share_is_idle(const SenderShare *h);

void sender_share_rewind(SenderShare *h); /* the queue's reader too: back to what is acknowledged there */
