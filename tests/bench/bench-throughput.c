/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lines a second from a pipe to a socket on loopback: the agent (tcollector --stdin: point, dedup, ring,
 * telnet with its `version` proof) beside a plain relay (read 64 KiB, write) in the same run.
 *
 *   generator --pipe--> relay or agent --TCP--> sink
 *
 * The one in the middle has a core of its own, the two others share the rest; what is compared is its CPU
 * time per line (user and system, from wait4(2)), which says what one core could carry, and the rate that
 * was seen. The sink counts every line; a run in which one is missing is a failure, not a figure. */

#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "basic/clock.h"
#include "basic/file.h"

#define CHUNK (64u * 1024)
#define SINK_CHUNK (1024u * 1024)
#define ROUNDS 3u

static const char *arg_agent;
static uint64_t arg_lines = 10 * 1000 * 1000;

static void die(const char *what) {
        perror(what);
        exit(EXIT_FAILURE);
}

static void pin(bool middle) {
        long n = sysconf(_SC_NPROCESSORS_ONLN);
        cpu_set_t set;

        CPU_ZERO(&set);
        if (n < 2 || middle)
                CPU_SET(0, &set);
        else
                for (long i = 1; i < n; i++)
                        CPU_SET((size_t) i, &set);

        if (sched_setaffinity(0, sizeof(set), &set) < 0)
                die("sched_setaffinity");
}

/* -- generator -- */

#define LINE_FORMAT \
        "bench.proc.net.bytes.%06" PRIu64 " %010" PRIu64 " %08" PRIu64 " iface=eth0 direction=in\n"
#define LINE_SIZE 72u
#define TIME_AT 28u
#define VALUE_AT 39u

static void put_digits(char *end, uint64_t v, unsigned n) {
        for (; n > 0; n--, v /= 10)
                *--end = (char) ('0' + v % 10);
}

/* A block is every series once (a small one is repeated up to a chunk); each time it goes out, its times and
 * values have moved on, so that dedup has to look at every line and sends every line. */
static void generate(uint64_t n_lines, uint64_t n_series) {
        uint64_t block_lines = MAX(n_series, (uint64_t) (CHUNK / LINE_SIZE)) / n_series * n_series;
        size_t size = (size_t) block_lines * LINE_SIZE;
        uint64_t pass_of_line = 0;
        char *block = malloc(size);

        if (!block)
                die("malloc");
        for (uint64_t i = 0; i < block_lines; i++) {
                char line[128];

                if (snprintf(line, sizeof(line), LINE_FORMAT, i % n_series, UINT64_C(0), UINT64_C(0)) !=
                    LINE_SIZE)
                        die("line size");
                memcpy(block + i * LINE_SIZE, line, LINE_SIZE);
        }

        while (n_lines > 0) {
                uint64_t n = MIN(n_lines, block_lines);

                for (uint64_t i = 0; i < n; i++) {
                        uint64_t pass = pass_of_line + i / n_series;

                        put_digits(block + i * LINE_SIZE + TIME_AT + 10, 1700000000 + pass, 10);
                        put_digits(block + i * LINE_SIZE + VALUE_AT + 8, pass, 8);
                }
                for (size_t at = 0, end = (size_t) n * LINE_SIZE; at < end; at += CHUNK)
                        if (fd_write_all(STDOUT_FILENO,
                                         (Slice) { block + at, MIN((size_t) CHUNK, end - at) }) < 0)
                                die("write");

                pass_of_line += block_lines / n_series;
                n_lines -= n;
        }
}

/* -- sink -- */

static uint64_t count_newlines(const char *p, size_t n) {
        uint64_t lines = 0;

        for (size_t i = 0; i < n; i++)
                lines += p[i] == '\n';

        return lines;
}

static const char answer[] = "net.opentsdb.tools bench built at revision 0\nBuilt on 0\n";

/* Answers each `version` as a TSD does, and counts it apart. `keep` bytes at the end of a chunk are looked
 * at again with the next, as the word may be cut. */
static void answer_versions(int fd, const char *chunk, size_t n, uint64_t *n_versions) {
        static const char word[] = "\nversion\n";
        const char *hit;

        while ((hit = memmem(chunk, n, word, sizeof(word) - 1))) {
                (*n_versions)++;
                n -= (size_t) (hit + sizeof(word) - 2 - chunk);
                chunk = hit + sizeof(word) - 2;
                if (send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL) < 0)
                        return;
        }
}

/* Returns when every line has come, or the connection ends short of it. Sends the count to `report_fd`. */
static void sink(int listen_fd, uint64_t want, int report_fd) {
        enum { OVERLAP = sizeof("\nversion\n") - 2 };
        char *chunk = malloc(OVERLAP + SINK_CHUNK);
        uint64_t newlines = 0, versions = 0, lines = 0;
        int fd = accept(listen_fd, NULL, NULL);
        size_t kept = 0;

        if (fd < 0 || !chunk)
                die("accept");

        for (;;) {
                ssize_t n = recv(fd, chunk + kept, SINK_CHUNK, 0);

                if (n <= 0)
                        break;
                newlines += count_newlines(chunk + kept, (size_t) n);
                answer_versions(fd, chunk, kept + (size_t) n, &versions);
                lines = newlines - versions;
                if (lines >= want)
                        break;
                n += (ssize_t) kept;
                kept = MIN((size_t) OVERLAP, (size_t) n);
                memmove(chunk, chunk + (size_t) n - kept, kept);
        }

        (void) fd_write_all(report_fd, (Slice) { (const char *) &lines, sizeof(lines) });

        /* The agent wants its last proof: go on answering until it hangs up. */
        for (ssize_t n; (n = recv(fd, chunk, SINK_CHUNK, 0)) > 0;)
                if (memmem(chunk, (size_t) n, "version\n", 8))
                        (void) send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
}

/* -- the middle -- */

static void relay(uint16_t port) {
        struct sockaddr_in to = { .sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr = { htonl(INADDR_LOOPBACK) } };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        static char chunk[CHUNK];

        if (fd < 0 || connect(fd, (struct sockaddr *) &to, sizeof(to)) < 0)
                die("connect");

        for (ssize_t n; (n = read(STDIN_FILENO, chunk, sizeof(chunk))) > 0;)
                if (fd_write_all(fd, (Slice) { chunk, (size_t) n }) < 0)
                        die("write");
}

static void run_agent(uint16_t port) {
        char text[8];

        (void) snprintf(text, sizeof(text), "%u", port);
        (void) execl(arg_agent, arg_agent, "--stdin", "--host", "127.0.0.1", "--port", text, (char *) NULL);
        die(arg_agent);
}

/* -- one run -- */

typedef struct Figures {
        double wall, cpu_user, cpu_system; /* seconds */
        long max_rss;                      /* KiB */
} Figures;

static pid_t fork_pinned(bool middle) {
        pid_t pid = fork();

        if (pid < 0)
                die("fork");
        if (pid == 0)
                pin(middle);

        return pid;
}

static double seconds(struct timeval t) {
        return (double) t.tv_sec + (double) t.tv_usec / 1e6;
}

static int listen_on_loopback(uint16_t *ret_port) {
        struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        socklen_t size = sizeof(at);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || bind(fd, (struct sockaddr *) &at, size) < 0 || listen(fd, 1) < 0 ||
            getsockname(fd, (struct sockaddr *) &at, &size) < 0)
                die("listen");

        *ret_port = ntohs(at.sin_port);
        return fd;
}

static void start_all(bool agent, uint64_t n_series, int listen_fd, uint16_t port, int report_fd,
                      pid_t pids[static 3]) {
        int pipe_fds[2];

        if (pipe2(pipe_fds, O_CLOEXEC) < 0 || fcntl(pipe_fds[1], F_SETPIPE_SZ, 1024 * 1024) < 0)
                die("pipe2");

        pids[0] = fork_pinned(false);
        if (pids[0] == 0) {
                (void) close(pipe_fds[0]);
                (void) close(pipe_fds[1]);
                sink(listen_fd, arg_lines, report_fd);
                _exit(0);
        }

        pids[1] = fork_pinned(true);
        if (pids[1] == 0) {
                (void) dup2(pipe_fds[0], STDIN_FILENO);
                (void) close(pipe_fds[1]);
                agent ? run_agent(port) : relay(port);
                _exit(0);
        }

        pids[2] = fork_pinned(false);
        if (pids[2] == 0) {
                (void) dup2(pipe_fds[1], STDOUT_FILENO);
                (void) close(pipe_fds[0]);
                generate(arg_lines, n_series);
                _exit(0);
        }

        (void) close(pipe_fds[0]);
        (void) close(pipe_fds[1]);
}

static Figures measure(bool agent, uint64_t n_series) {
        struct rusage usage;
        int report[2], listen_fd, status;
        uint64_t lines = 0;
        uint16_t port;
        pid_t pids[3];
        usec_t begin;
        Figures f;

        if (pipe2(report, O_CLOEXEC) < 0)
                die("pipe2");
        listen_fd = listen_on_loopback(&port);
        begin = clock_usec(CLOCK_MONOTONIC);
        start_all(agent, n_series, listen_fd, port, report[1], pids);

        (void) close(report[1]);
        if (read(report[0], &lines, sizeof(lines)) != sizeof(lines) || lines != arg_lines) {
                (void) fprintf(stderr, "bench-throughput: %" PRIu64 " of %" PRIu64 " lines came through\n",
                               lines, arg_lines);
                exit(EXIT_FAILURE);
        }
        f.wall = (double) (clock_usec(CLOCK_MONOTONIC) - begin) / 1e6;

        if (wait4(pids[1], &status, 0, &usage) < 0 || status != 0) {
                (void) fprintf(stderr, "bench-throughput: the middle ended with %d\n", status);
                exit(EXIT_FAILURE);
        }
        f.cpu_user = seconds(usage.ru_utime);
        f.cpu_system = seconds(usage.ru_stime);
        f.max_rss = usage.ru_maxrss;
        (void) waitpid(pids[0], NULL, 0);
        (void) waitpid(pids[2], NULL, 0);
        (void) close(report[0]);
        (void) close(listen_fd);
        return f;
}

static Figures best_of(bool agent, uint64_t n_series) {
        Figures best = measure(agent, n_series);

        for (unsigned i = 1; i < ROUNDS; i++) {
                Figures f = measure(agent, n_series);

                if (f.cpu_user + f.cpu_system < best.cpu_user + best.cpu_system)
                        best = f;
        }

        return best;
}

static void show(const char *name, uint64_t n_series, const Figures *f, const Figures *relay_figures) {
        double cpu = f->cpu_user + f->cpu_system, lines = (double) arg_lines;
        double relay_cpu = relay_figures->cpu_user + relay_figures->cpu_system;

        (void) printf("%-6s %9" PRIu64
                      " series  %6.2f M lines/s seen  %6.1f ns/line CPU (%5.1f user + %5.1f system)  "
                      "%6.2f M lines/s a core  %4.0f %% of the relay  %7ld KiB peak\n",
                      name, n_series, lines / f->wall / 1e6, cpu / lines * 1e9, f->cpu_user / lines * 1e9,
                      f->cpu_system / lines * 1e9, lines / cpu / 1e6, relay_cpu / cpu * 100, f->max_rss);
        (void) fflush(stdout);
}

int main(int argc, char **argv) {
        static const uint64_t series[] = { 200, 100 * 1000, 1000 * 1000 };

        if (argc < 2) {
                (void) fprintf(stderr, "Usage: bench-throughput TCOLLECTOR [LINES]\n");
                return 2;
        }
        arg_agent = argv[1];
        if (argc > 2 && !slice_to_uint64(slice_from_string(argv[2]), &arg_lines))
                return 2;

        (void) printf("%" PRIu64
                      " lines of %u bytes, best of %u by CPU time; the middle has a core of its own\n",
                      arg_lines, LINE_SIZE, ROUNDS);
        for (size_t i = 0; i < ELEMENTSOF(series); i++) {
                Figures r = best_of(false, series[i]), a = best_of(true, series[i]);

                show("relay", series[i], &r, &r);
                show("agent", series[i], &a, &r);
        }

        return EXIT_SUCCESS;
}
