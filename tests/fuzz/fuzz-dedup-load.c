/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The bytes as what a process is said to have saved of its series: as they are, and with the checksum they
 * ought to have. Whatever is loaded is bounded by the bytes it came from, works, and can be saved again. */

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "basic/buffer.h"
#include "fuzz/fuzz.h"
#include "store/dedup-image.h"

static int add_bytes(void *userdata, Slice bytes) {
        return buffer_add(userdata, bytes);
}

static void check_again(const Dedup *d, const DedupLimits *limits) {
        _cleanup_(buffer_done) Buffer saved = {};
        _cleanup_(dedup_freep) Dedup *again = NULL;
        Slice from;

        check(dedup_save(d, add_bytes, &saved) == 0);
        from = buffer_slice(&saved);
        check(dedup_load(&again, limits, &from) == 0);
        check(from.n == 0 && dedup_n_series(again) == dedup_n_series(d));
}

/* Some lines of keys that stand in it. */
static void check_lines(Dedup *d, Slice bytes) {
        DedupLast last;

        for (size_t at = sizeof(ImageHead); at + sizeof(DedupKey) <= bytes.n && at < 4096; at += 13) {
                Point p = { .when = SLICE("1700000000"), .value = SLICE("5"), .time_ms = 1700000000000 };
                DedupKey key;

                memcpy(&key, bytes.p + at, sizeof(key));
                dedup_prefetch(d, key);
                (void) dedup_check(d, key, &p, &last);
        }
}

static void run(Slice bytes, size_t max_series) {
        DedupLimits limits = { .interval_ms = 300000, .max_series = max_series };
        Slice from = bytes;
        size_t cursor = 0;
        Dedup *d;

        if (dedup_load(&d, &limits, &from) < 0)
                return;

        check(from.p + from.n == bytes.p + bytes.n);
        check(dedup_n_series(d) <= MIN(max_series, bytes.n / sizeof(ImageSeries)));
        check(dedup_memory(d) <= 64 * bytes.n + 64 * (size_t) 1024);
        check_again(d, &limits);
        check_lines(d, bytes);
        do
                (void) dedup_evict_some(d, INT64_MAX, 100, &cursor);
        while (cursor != 0);
        check(dedup_n_series(d) == 0);
        (void) dedup_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        Slice bytes = { (const char *) data, n };
        _cleanup_(freep) char *sealed = NULL;
        uint64_t checksum;

        run(bytes, SIZE_MAX);
        if (n < sizeof(checksum))
                return 0;

        sealed = malloc(n);
        check(sealed);
        memcpy(sealed, data, n);
        checksum = XXH3_64bits(sealed, n - sizeof(checksum));
        memcpy(sealed + n - sizeof(checksum), &checksum, sizeof(checksum));
        run((Slice) { sealed, n }, SIZE_MAX);
        run((Slice) { sealed, n }, data[n - 1]);
        return 0;
}
