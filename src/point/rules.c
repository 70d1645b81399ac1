/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Rules are one allocation: the struct, its tags in key order, and behind them the texts that every finished
 * line begins and ends with. The tags' slices point into the latter. */

#include "point/rules.h"

#define SHORTEST_POINT SLICE("m 1 1")

static int compare_tags(const void *a, const void *b) {
        return slice_compare(((const AgentTag *) a)->key, ((const AgentTag *) b)->key);
}

static char *append(char *out, Slice s) {
        return s.n > 0 ? (char *) mempcpy(out, s.p, s.n) : out;
}

static int check(Slice prefix, const AgentTag *tags, size_t n_tags, size_t *ret_text) {
        size_t text = PUT_N + prefix.n + 1 + 1;

        if (n_tags > POINT_AGENT_TAGS_MAX || prefix.n > POINT_FINISHED_MAX)
                return -E2BIG;
        if (prefix.n > 0 && !name_is_valid(prefix))
                return -EINVAL;

        for (size_t i = 0; i < n_tags; i++) {
                if (!name_is_valid(tags[i].key) || !name_is_valid(tags[i].value))
                        return -EINVAL;
                if (tags[i].key.n > POINT_FINISHED_MAX || tags[i].value.n > POINT_FINISHED_MAX)
                        return -E2BIG;
                text += 1 + tags[i].key.n + 1 + tags[i].value.n;
        }

        *ret_text = text;
        return 0;
}

static void write_prefix(PointRules *rules, Slice prefix, char *text) {
        char *end = append(text, prefix);

        if (prefix.n > 0 && prefix.p[prefix.n - 1] != '.')
                *end++ = '.';

        rules->prefix = (Slice) { text, (size_t) (end - text) };
}

/* Writes each tag to where it stays, and lets the tag point there. */
static void write_tail(PointRules *rules, char *text) {
        char *end = text;

        for (size_t i = 0; i < rules->n_tags; i++) {
                AgentTag *t = &rules->tags[i];
                char *begin = end;

                *end++ = ' ';
                end = append(end, t->key);
                *end++ = '=';
                end = append(end, t->value);

                *t = (AgentTag) {
                        .key = { begin + 1, t->key.n },
                        .value = { begin + 1 + t->key.n + 1, t->value.n },
                        .text = { begin, (size_t) (end - begin) },
                };
                rules->all_tags |= UINT64_C(1) << i;
                rules->key_bits |= key_bit(t->key);
        }

        *end++ = '\n';
        rules->tail = (Slice) { text, (size_t) (end - text) };
}

int point_rules_new(PointRules **ret, Slice prefix, const AgentTag *tags, size_t n_tags, unsigned max_tags,
                    BadChars bad_chars) {
        _cleanup_(point_rules_freep) PointRules *rules = NULL;
        size_t n_text;
        char *text;
        int r;

        r = check(prefix, tags, n_tags, &n_text);
        if (r < 0)
                return r;

        rules = calloc(1, sizeof(*rules) + n_tags * sizeof(*rules->tags) + n_text);
        if (!rules)
                return -ENOMEM;

        rules->bad_chars = bad_chars;
        rules->max_tags = max_tags;
        rules->n_tags = n_tags;
        if (n_tags > 0) {
                memcpy(rules->tags, tags, n_tags * sizeof(*tags));
                qsort(rules->tags, n_tags, sizeof(*tags), compare_tags);
        }
        for (size_t i = 1; i < n_tags; i++)
                if (slice_equal(rules->tags[i - 1].key, rules->tags[i].key))
                        return -EEXIST;

        text = (char *) &rules->tags[n_tags];
        write_prefix(rules, prefix, text);
        write_tail(rules, text + rules->prefix.n);
        if (PUT_N + rules->prefix.n + SHORTEST_POINT.n + rules->tail.n > POINT_FINISHED_MAX)
                return -E2BIG;

        *ret = TAKE(rules);
        return 0;
}

PointRules *point_rules_free(PointRules *rules) {
        free(rules);
        return NULL;
}
