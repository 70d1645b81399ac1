/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* /proc/interrupts and /proc/softirqs: a heading with a word per CPU ("CPU0"), then rows of a name with ':'
 * and a counter per CPU; /proc/interrupts has text behind the counters, and rows with fewer of them (ERR,
 * MIS). */

#include "lib/text.h"
#include "procstats.h"

/* The next CPU of the heading and its counter in the row. false: the row's counters are at their end. */
static bool next_cell(Slice *heading, Slice *row, Slice *ret_cpu, uint64_t *ret) {
        Slice cpu;

        if (!text_word(heading, &cpu) || !slice_starts_with(cpu, SLICE("CPU")) || !text_number(row, ret))
                return false;

        *ret_cpu = (Slice) { cpu.p + 3, cpu.n - 3 };
        return true;
}

static void emit_cell(Emit *out, Slice metric, Slice type, Slice cpu, uint64_t v) {
        Tags tags;

        tags_reset(&tags);
        tags_add(&tags, "type", type);
        tags_add(&tags, "cpu", cpu);
        emit_number(out, "proc.", metric, v, &tags);
}

/* 0, or -EBADMSG: it has not one counter. */
static int emit_row(Emit *out, Slice metric, Slice heading, Slice type, Slice row) {
        bool any = false;
        uint64_t v;
        Slice cpu;

        while (next_cell(&heading, &row, &cpu, &v)) {
                emit_cell(out, metric, type, cpu, v);
                any = true;
        }

        return any ? 0 : -EBADMSG;
}

/* Cuts a row at its first ':'; false where what stands before it is no word of letters and digits. */
static bool row_cut(Slice *line, Slice *ret_name) {
        Slice name;

        if (!slice_cut(line, ':', &name))
                return false;

        name = slice_strip(name);
        for (size_t i = 0; i < name.n; i++) {
                char c = name.p[i];

                if (!(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && c != '_')
                        return false;
        }

        *ret_name = name;
        return name.n > 0;
}

int collect_softirqs(const Round *round) {
        Slice text, heading, line, name;
        int r, bad = 0;

        r = round_read(round, "proc/softirqs", &text);
        if (r < 0)
                return r;
        if (!text_line(&text, &heading))
                return -EBADMSG;

        while (text_line(&text, &line))
                if (!row_cut(&line, &name) ||
                    emit_row(round->out, SLICE("softirqs"), heading, name, line) < 0)
                        bad = -EBADMSG;

        return bad;
}

/* A network card's row ("90: 1 2 PCI-MSI-edge eth0-TxRx-3"): its name without the number of the queue. */
static bool card_cut(Slice *line, Slice *ret_name) {
        Slice number, rest, word, chip = {}, name = {};
        uint64_t n;

        if (!row_cut(line, &number) || !slice_to_uint64(number, &n))
                return false;

        for (rest = *line; text_word(&rest, &word); name = word)
                chip = name;
        if (!slice_equal(chip, SLICE("PCI-MSI-edge")) || !memmem(name.p, name.n, "eth", 3))
                return false;

        for (n = name.n; n > 0 && name.p[n - 1] >= '0' && name.p[n - 1] <= '9'; n--)
                ;
        if (n > 1 && n < name.n && name.p[n - 1] == '-')
                name.n = n - 1;

        *ret_name = name;
        return true;
}

static bool has_card(Slice text, Slice card) {
        Slice line, name;

        while (text_line(&text, &line))
                if (card_cut(&line, &name) && slice_equal(name, card))
                        return true;

        return false;
}

/* Sums the rows of `card` in `text`. */
static int emit_card(const Round *round, Slice heading, Slice text, Slice card) {
        _cleanup_(freep) uint64_t *sums = NULL;
        Slice line, name, h, cpu;
        size_t n = 0, used = 0;
        uint64_t v;

        for (h = heading; text_word(&h, &cpu);)
                n++;
        sums = calloc(n + 1, sizeof(*sums));
        if (!sums)
                return -ENOMEM;

        while (text_line(&text, &line)) {
                if (!card_cut(&line, &name) || !slice_equal(name, card))
                        continue;
                h = heading;
                for (size_t i = 0; next_cell(&h, &line, &cpu, &v); i++) {
                        sums[i] += v;
                        used = MAX(used, i + 1);
                }
        }

        for (size_t i = 0; i < used && text_word(&heading, &cpu); i++)
                emit_cell(round->out, SLICE("interrupts"), card, (Slice) { cpu.p + 3, cpu.n - 3 }, sums[i]);
        return 0;
}

int collect_interrupts(const Round *round) {
        Slice text, heading, line, name, rows;
        int r, bad = 0;

        r = round_read(round, "proc/interrupts", &text);
        if (r < 0)
                return r;
        if (!text_line(&text, &heading))
                return -EBADMSG;

        rows = text;
        for (Slice here = text; text_line(&text, &line); here = text) {
                Slice row = line, before = { rows.p, (size_t) (here.p - rows.p) };
                uint64_t number;

                if (!row_cut(&row, &name)) {
                        bad = -EBADMSG;
                        continue;
                }
                if (!slice_to_uint64(name, &number))
                        r = emit_row(round->out, SLICE("interrupts"), heading, name, row);
                else if (card_cut(&line, &name) && !has_card(before, name))
                        r = emit_card(round, heading, here, name);
                else
                        r = 0;
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        bad = r;
        }

        return bad;
}
