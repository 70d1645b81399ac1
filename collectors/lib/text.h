/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Taking the text files of /proc and /sys apart. Pure: nothing here reads, allocates or keeps anything; what
 * comes out borrows from what went in. */

#include "basic/slice.h"

/* Takes the next line off `rest`; the last one may lack its newline. false: nothing is left. */
bool text_line(Slice *rest, Slice *ret);

/* Takes the next run of anything but white space off `rest`. false: nothing but white space is left. */
bool text_word(Slice *rest, Slice *ret);

/* The first words of `line`, at most `max`; returns how many there were. */
size_t text_words(Slice line, Slice *words, size_t max);

/* The next word as a whole number. false: there is none, or it is something else; `rest` is behind it
 * anyway. */
bool text_number(Slice *rest, uint64_t *ret);

/* Digits, perhaps a '.' and more digits: what the kernel writes and a value may be. */
bool text_is_decimal(Slice s);

/* Takes the first range off a list as the kernel writes them, "0-3,8". false: the list is at its end, or
 * what stands there is no range. */
bool text_range(Slice *list, unsigned *ret_first, unsigned *ret_last);
bool text_list_has(Slice list, unsigned n);

/* Undoes what /proc/mounts does to space, tab, newline and backslash ("\040"). Writes at most s.n bytes to
 * `buf` and returns how many. */
size_t text_unescape(Slice s, char *buf);
