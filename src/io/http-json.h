/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* As much JSON as a server's reply needs: walking over values without copying or allocating anything. Pure.
 * A library would build a tree of what is looked at once, and would refuse one that was cut as a whole. */

#include "basic/slice.h"

#define JSON_DEPTH_MAX 32u

/* Cuts one value off the front of `rest`, white space before it too: *ret is its text, quotes and brackets
 * included. false, and nothing touched: there is none, it is not whole, or it is nested too deeply. */
bool json_value(Slice *rest, Slice *ret);

/* Goes through an object or an array: `rest` is what json_value() gave at first. true: *ret_key (without
 * its quotes, still escaped; empty in an array) and *ret are the next member; false: there are no more. */
bool json_member(Slice *rest, Slice *ret_key, Slice *ret);

/* The member of that name (the last one, should there be several); false: no object, or none. */
bool json_get(Slice object, Slice key, Slice *ret);

/* The inside of a string's quotes, still escaped; what is no string as it is. */
Slice json_text(Slice value);
