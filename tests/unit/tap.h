/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every unit test includes: cmocka with TAP output, and input that ends at a guard page. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "basic/slice.h"

/* A copy of `s` whose last byte is followed by an unreadable page, so that reading one byte too many is a
 * SIGSEGV whatever the sanitizer. The last few copies stay valid; not to be freed. */
Slice guarded_slice(Slice s);
Slice guarded(const char *s);

/* Runs a group of tests and prints TAP. */
#define run_tap(tests) (cmocka_set_message_output(CM_OUTPUT_TAP), cmocka_run_group_tests(tests, NULL, NULL))
