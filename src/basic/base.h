/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every file needs: attributes, cleanup variables, sizes and units of time. Libc only. */

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((__cleanup__(f)))
#define _unused_ __attribute__((__unused__))
#define _pure_ __attribute__((__pure__))
#define _printf_(fmt, first) __attribute__((__format__(__printf__, fmt, first)))
#define _likely_(x) __builtin_expect(!!(x), 1)
#define _unlikely_(x) __builtin_expect(!!(x), 0)

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))

#define MIN(a, b)                                  \
        ({                                         \
                __typeof__(a) _min_a = (a);        \
                __typeof__(b) _min_b = (b);        \
                _min_a < _min_b ? _min_a : _min_b; \
        })

#define MAX(a, b)                                  \
        ({                                         \
                __typeof__(a) _max_a = (a);        \
                __typeof__(b) _max_b = (b);        \
                _max_a > _max_b ? _max_a : _max_b; \
        })

/* Hands a resource over: evaluates to the variable's value and leaves the variable empty. */
#define TAKE(p)                                   \
        ({                                        \
                __typeof__(p) *_take_p = &(p);    \
                __typeof__(p) _take_v = *_take_p; \
                *_take_p = (__typeof__(p)) { 0 }; \
                _take_v;                          \
        })

#define TAKE_FD(fd)                     \
        ({                              \
                int *_take_p = &(fd);   \
                int _take_v = *_take_p; \
                *_take_p = -1;          \
                _take_v;                \
        })

/* Defines NAMEp() for _cleanup_(NAMEp), where `T NAME(T)` frees its argument and is safe with NULL. */
#define DEFINE_CLEANUP(type, name)            \
        static inline void name##p(type *p) { \
                if (*p)                       \
                        (void) name(*p);      \
        }                                     \
        struct _cleanup_needs_a_semicolon_

typedef uint64_t usec_t;

#define USEC_INFINITY ((usec_t) UINT64_MAX)
#define USEC_PER_MSEC ((usec_t) 1000)
#define USEC_PER_SEC ((usec_t) 1000000)
#define NSEC_PER_USEC ((uint64_t) 1000)

static inline void freep(void *p) {
        free(*(void **) p);
}

/* close() that keeps errno and takes -1; returns -1, for `fd = close_fd(fd)`. */
static inline int close_fd(int fd) {
        int saved = errno;

        if (fd >= 0)
                (void) close(fd);

        errno = saved;
        return -1;
}

static inline void close_fdp(int *fd) {
        (void) close_fd(*fd);
}
