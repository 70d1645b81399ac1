/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* dfstat: space and inodes of the mounted file systems, from /proc/mounts and statvfs(3).
 *
 * Names are those of tcollector's dfstat.py; df.bytes.free is what a user may still use (f_bavail). A file
 * system without blocks or inodes is 100 percent used.
 *
 * Left out: mounts of the device "none"; the types in skipped_types, and fuse.*; what is mounted on or below
 * the folders in skipped_folders; automount points, as asking one would mount it. Of several mounts of one
 * block device only the shortest path is reported, of several on one path only the last, which hides the
 * others.
 *
 * In the tag `mount`, \040 and the like are decoded, and then each byte that a tag may not have becomes '_':
 * "/my disk" is mount=/my_disk. Two mounts that differ only there get the same tags.
 *
 * A mount that does not answer in time (a file server that is gone) is left out and asked again later:
 * lib/fsprobe.h.
 *
 * With --root DIR the mounts are looked for below DIR. Where there is a file DIR/statvfs, the numbers are
 * read from it: lines of a path (as /proc/mounts has it) and f_frsize f_blocks f_bfree f_bavail f_files
 * f_ffree, or of a path and "hang". */

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "basic/clock.h"
#include "basic/file.h"
#include "basic/log.h"
#include "lib/collector.h"
#include "lib/fsprobe.h"
#include "lib/text.h"

#define MOUNTS_MAX 4096u
#define DEADLINE_DEFAULT (2 * USEC_PER_SEC)
#define FAKE_NUMBERS "statvfs"
#define FAKE_MAX (64u * 1024)

typedef struct Mount {
        Slice device, type; /* borrowed from the text of /proc/mounts */
        char *path;         /* decoded */
} Mount;

typedef struct Mounts {
        Mount *items;
        size_t n, allocated;
} Mounts;

typedef struct State {
        FsProbe probe;
        usec_t deadline;   /* 0: the default */
        uint64_t refusals; /* which mounts refused in the round before: a hash */
} State;

static const char *const skipped_types[] = {
        "cgroup", "debugfs", "devtmpfs", "nfs", "rpc_pipefs", "rootfs", "autofs",
};
static const char *const skipped_folders[] = { "/dev", "/sys", "/proc", "/lib", "/var/lib/kubelet" };

static void mounts_done(Mounts *m) {
        for (size_t i = 0; i < m->n; i++)
                free(m->items[i].path);
        free(m->items);
}

static bool type_is_skipped(Slice type) {
        for (size_t i = 0; i < ELEMENTSOF(skipped_types); i++)
                if (slice_equal(type, slice_from_string(skipped_types[i])))
                        return true;

        return slice_starts_with(type, SLICE("fuse."));
}

static bool path_is_skipped(Slice path) {
        for (size_t i = 0; i < ELEMENTSOF(skipped_folders); i++) {
                Slice folder = slice_from_string(skipped_folders[i]);

                if (slice_starts_with(path, folder) && (path.n == folder.n || path.p[folder.n] == '/'))
                        return true;
        }

        return slice_starts_with(path, SLICE("net:"));
}

/* Puts a mount into the table, or in the place of one that it hides or stands for. Takes `path`. */
static int mounts_add(Mounts *m, Slice device, Slice type, char *path) {
        _cleanup_(freep) char *mine = path;
        bool is_device = slice_starts_with(device, SLICE("/dev/"));

        for (size_t i = 0; i < m->n; i++) {
                Mount *old = &m->items[i];
                bool hidden = strcmp(old->path, path) == 0;

                if (!hidden && !(is_device && slice_equal(old->device, device)))
                        continue;
                if (hidden || strlen(path) < strlen(old->path)) {
                        free(old->path);
                        *old = (Mount) { device, type, TAKE(mine) };
                }
                return 0;
        }

        if (m->n == MOUNTS_MAX)
                return -ENOBUFS;
        if (m->n == m->allocated) {
                size_t more = m->allocated > 0 ? m->allocated * 2 : 16;
                Mount *p = reallocarray(m->items, more, sizeof(*p));

                if (!p)
                        return -ENOMEM;
                m->items = p;
                m->allocated = more;
        }

        m->items[m->n++] = (Mount) { device, type, TAKE(mine) };
        return 0;
}

/* One line of /proc/mounts: device, path, type, options, two numbers. */
static int parse_mount(Mounts *m, Slice line) {
        Slice words[7];
        char path[PATH_MAX];
        size_t n;
        char *p;

        if (text_words(line, words, ELEMENTSOF(words)) != 6 || words[1].n >= sizeof(path))
                return -EBADMSG;
        if (slice_equal(words[0], SLICE("none")) || type_is_skipped(words[2]))
                return 0;

        n = text_unescape(words[1], path);
        if (path_is_skipped((Slice) { path, n }))
                return 0;

        p = strndup(path, n);
        return p ? mounts_add(m, words[0], words[2], p) : -ENOMEM;
}

static int ask_kernel(int root_fd, const char *path, FsNumbers *ret) {
        _cleanup_(close_fdp) int fd = -1;
        struct statvfs st;

        while (*path == '/')
                path++;
        fd = openat(root_fd, *path ? path : ".", O_PATH | O_CLOEXEC);
        if (fd < 0 || fstatvfs(fd, &st) < 0)
                return -errno;

        *ret = (FsNumbers) { st.f_frsize, st.f_blocks, st.f_bfree, st.f_bavail, st.f_files, st.f_ffree };
        return 0;
}

static int ask_file(Slice text, const char *path, FsNumbers *ret) {
        Slice line, word;
        char decoded[PATH_MAX];
        FsNumbers v;

        while (text_line(&text, &line)) {
                if (!text_word(&line, &word) || word.n > sizeof(decoded))
                        continue;
                if (!slice_equal((Slice) { decoded, text_unescape(word, decoded) }, slice_from_string(path)))
                        continue;
                if (slice_equal(slice_strip(line), SLICE("hang")))
                        for (;;)
                                (void) pause();
                if (!text_number(&line, &v.block_size) || !text_number(&line, &v.blocks) ||
                    !text_number(&line, &v.blocks_free) || !text_number(&line, &v.blocks_available) ||
                    !text_number(&line, &v.files) || !text_number(&line, &v.files_free))
                        return -EBADMSG;

                *ret = v;
                return 0;
        }

        return -ENOENT;
}

/* In the child. */
static int ask(const void *userdata, const char *path, FsNumbers *ret) {
        const Round *round = userdata;
        _cleanup_(buffer_done) Buffer b = {};

        if (round->fake_root && file_read_at(round->root_fd, FAKE_NUMBERS, FAKE_MAX, &b) >= 0)
                return ask_file(buffer_slice(&b), path, ret);

        return ask_kernel(round->root_fd, path, ret);
}

/* As df(1) has it: of what a user could have, how much is gone. */
static void emit_share(Emit *out, const char *prefix, uint64_t used, uint64_t of, const Tags *tags) {
        emit_fixed(out, prefix, SLICE("percentused"), of > 0 ? (double) used * 100 / (double) of : 100,
                   tags);
}

static void emit_scaled(Emit *out, const char *name, uint64_t blocks, uint64_t block_size,
                        const Tags *tags) {
        uint64_t bytes;

        if (!__builtin_mul_overflow(blocks, block_size, &bytes))
                emit_number(out, "df.bytes.", slice_from_string(name), bytes, tags);
}

static void emit_mount(Emit *out, const Mount *m, const FsNumbers *v) {
        uint64_t blocks = v->blocks > v->blocks_free ? v->blocks - v->blocks_free : 0;
        uint64_t files = v->files > v->files_free ? v->files - v->files_free : 0;
        Tags tags;

        tags_reset(&tags);
        tags_add(&tags, "mount", slice_from_string(m->path));
        tags_add(&tags, "fstype", m->type);

        emit_scaled(out, "total", v->blocks, v->block_size, &tags);
        emit_scaled(out, "used", blocks, v->block_size, &tags);
        emit_share(out, "df.bytes.", blocks, v->blocks > 0 ? blocks + v->blocks_available : 0, &tags);
        emit_scaled(out, "free", v->blocks_available, v->block_size, &tags);

        emit_number(out, "df.inodes.", SLICE("total"), v->files, &tags);
        emit_number(out, "df.inodes.", SLICE("used"), files, &tags);
        emit_share(out, "df.inodes.", files, v->files, &tags);
        emit_number(out, "df.inodes.", SLICE("free"), v->files_free, &tags);
}

/* Says which mounts refuse, when they are not those of the round before. */
static void complain(State *state, const Mounts *m, const FsAnswer *answers) {
        uint64_t hash = 0;

        for (size_t i = 0; i < m->n; i++)
                if (answers[i].result < 0 && answers[i].result != -EAGAIN && answers[i].result != -ETIMEDOUT)
                        for (const char *p = m->items[i].path; *p; p++)
                                hash = (hash + (unsigned char) *p + 1) * UINT64_C(0x100000001b3);

        for (size_t i = 0; i < m->n; i++) {
                const char *path = m->items[i].path;

                if (answers[i].result == -ETIMEDOUT)
                        log_warning("%s does not answer, left out for a while.", path);
                else if (answers[i].result < 0 && answers[i].result != -EAGAIN && hash != state->refusals)
                        (void) log_warning_errno(answers[i].result, "Failed to ask %s: %m", path);
        }

        state->refusals = hash;
}

static int ask_mounts(const Round *round, const Mounts *m) {
        State *state = round->state;
        FsQuestion q = { ask, round, state->deadline > 0 ? state->deadline : DEADLINE_DEFAULT };
        _cleanup_(freep) const char **paths = calloc(m->n + 1, sizeof(*paths));
        _cleanup_(freep) FsAnswer *answers = calloc(m->n + 1, sizeof(*answers));
        int r;

        if (!paths || !answers)
                return -ENOMEM;

        for (size_t i = 0; i < m->n; i++)
                paths[i] = m->items[i].path;
        r = fsprobe_round(&state->probe, &q, paths, m->n, answers);

        for (size_t i = 0; i < m->n; i++)
                if (answers[i].result >= 0)
                        emit_mount(round->out, &m->items[i], &answers[i].numbers);
        complain(state, m, answers);
        return r;
}

static int collect_mounts(const Round *round) {
        _cleanup_(mounts_done) Mounts mounts = {};
        Slice text, line;
        int r, bad = 0;

        r = round_read(round, "proc/mounts", &text);
        if (r < 0)
                return r;

        while (text_line(&text, &line)) {
                r = parse_mount(&mounts, line);
                if (r < 0)
                        bad = r;
        }

        r = ask_mounts(round, &mounts);
        return r < 0 ? r : bad;
}

static int set_timeout(void *state, const char *value) {
        State *s = state;

        if (span_parse(slice_from_string(value), &s->deadline) < 0)
                return -EINVAL;

        return s->deadline > 0 && s->deadline != USEC_INFINITY ? 0 : -EINVAL;
}

static void state_done(void *p) {
        State *state = p;

        fsprobe_done(&state->probe);
}

static const CollectorOption options[] = {
        { "timeout", "SEC", "give a mount up that does not answer for SEC (default 2)", set_timeout },
};

static const CollectorPart parts[] = { { .path = "proc/mounts", .collect = collect_mounts } };

static const CollectorSpec spec = {
        .name = "dfstat",
        .summary = "Space and inodes of the mounted file systems.",
        .interval_sec = 60,
        .parts = parts,
        .n_parts = ELEMENTSOF(parts),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .state_size = sizeof(State),
        .done = state_done,
};

COLLECTOR_MAIN(spec);
