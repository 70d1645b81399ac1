/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Values go through one table of types: what a type is called, how it is read, how it is written. A value is
 * written to its field only when all of it is good. A list is read an element at a time. */

#include <inttypes.h>
#include <string.h>

#include "basic/clock.h"
#include "conf/config-list.h"
#include "conf/config-table.h"
#include "conf/config-url.h"
#include "conf/text.h"

static void *field_of(const ConfigKey *k, void *base) {
        return (char *) base + k->offset;
}

static const void *const_field_of(const ConfigKey *k, const void *base) {
        return (const char *) base + k->offset;
}

static size_t *count_of(const ConfigKey *k, void *base) {
        return (size_t *) (void *) ((char *) base + k->n_offset);
}

static size_t const_count_of(const ConfigKey *k, const void *base) {
        return *(const size_t *) (const void *) ((const char *) base + k->n_offset);
}

static int refuse(Buffer *why, const char *what_is_right) {
        int r = buffer_add_string(why, what_is_right);

        return r < 0 ? r : -EINVAL;
}

static int set_bool(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        static const char *const words[] = { "false", "true", "no", "yes", "off", "on" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strcmp(text, words[i]) == 0) {
                        *(bool *) field_of(k, base) = i % 2 == 1;
                        return 0;
                }

        return refuse(why, "must be true or false");
}

static int format_bool(const ConfigKey *k, const void *base, Buffer *out) {
        return buffer_add_string(out, *(const bool *) const_field_of(k, base) ? "true" : "false");
}

static bool parse_uint(const char *text, uint64_t *ret) {
        return slice_to_uint64(slice_from_string(text), ret);
}

static bool parse_span(const char *text, uint64_t *ret) {
        return span_parse(slice_from_string(text), ret) >= 0;
}

/* `s` without `suffix`, and without the white space in front of it. */
static Slice strip_suffix(Slice s, Slice suffix) {
        if (s.n >= suffix.n && memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0)
                s.n -= suffix.n;

        return s;
}

/* "64M", "64MiB", "64 MiB": powers of 1024, as systemd.resource-control(5) has them. */
static bool parse_size(const char *text, uint64_t *ret) {
        static const char units[] = "KMGT";
        Slice s = strip_suffix(slice_strip(slice_from_string(text)), SLICE("iB"));
        const char *unit = s.n > 0 && s.p[s.n - 1] != '\0' ? strchr(units, s.p[s.n - 1]) : NULL;
        unsigned shift = unit ? 10 * (unsigned) (unit - units + 1) : 0;
        uint64_t v;

        if (unit)
                s.n--;
        if (!slice_to_uint64(slice_strip(s), &v) || v > UINT64_MAX >> shift)
                return false;

        *ret = v << shift;
        return true;
}

/* Numbers of all kinds: read by `parse`, then held against the row's bounds, which are written the same
 * way. */
static int set_number(const ConfigKey *k, void *base, const char *text, Buffer *why,
                      bool (*parse)(const char *, uint64_t *)) {
        uint64_t v, min = 0, max = UINT64_MAX;
        int r;

        if (!parse(k->min, &min) || !parse(k->max, &max))
                return refuse(why, "the bounds of this setting are broken");
        if (parse(text, &v) && v >= min && v <= max) {
                *(uint64_t *) field_of(k, base) = v;
                return 0;
        }

        r = buffer_addf(why, "must be a %s from %s to %s", config_type_to_string(k->type), k->min, k->max);
        return r < 0 ? r : -EINVAL;
}

static int set_uint(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        return set_number(k, base, text, why, parse_uint);
}

static int format_uint(const ConfigKey *k, const void *base, Buffer *out) {
        return buffer_addf(out, "%" PRIu64, *(const uint64_t *) const_field_of(k, base));
}

static int set_size(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        return set_number(k, base, text, why, parse_size);
}

static int format_size(const ConfigKey *k, const void *base, Buffer *out) {
        static const char *const units[] = { "", "K", "M", "G", "T" };
        uint64_t v = *(const uint64_t *) const_field_of(k, base);
        size_t i = 0;

        while (v > 0 && v % 1024 == 0 && i + 1 < ELEMENTSOF(units)) {
                v /= 1024;
                i++;
        }
        return buffer_addf(out, "\"%" PRIu64 "%s\"", v, units[i]);
}

static int set_span(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        return set_number(k, base, text, why, parse_span);
}

static int format_span(const ConfigKey *k, const void *base, Buffer *out) {
        char buf[SPAN_MAX];

        return buffer_addf(out, "\"%s\"", span_format(buf, *(const usec_t *) const_field_of(k, base)));
}

static bool parse_percent(const char *text, uint64_t *ret) {
        Slice s = slice_from_string(text);

        if (slice_equal(s, SLICE("0"))) {
                *ret = 0;
                return true;
        }
        if (s.n == 0 || s.p[s.n - 1] != '%')
                return false;

        return slice_to_uint64((Slice) { s.p, s.n - 1 }, ret);
}

static int set_percent(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        return set_number(k, base, text, why, parse_percent);
}

static int format_percent(const ConfigKey *k, const void *base, Buffer *out) {
        uint64_t v = *(const uint64_t *) const_field_of(k, base);

        return v == 0 ? buffer_add_string(out, "0") : buffer_addf(out, "\"%" PRIu64 "%%\"", v);
}

static int set_string(const ConfigKey *k, void *base, const char *text) {
        char *copy = strdup(text), **field = field_of(k, base);

        if (!copy)
                return -ENOMEM;

        free(*field);
        *field = copy;
        return 0;
}

static bool may_be_nothing(const ConfigKey *k) {
        return k->fallback && k->fallback[0] == '\0';
}

static int set_text(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        if (text[0] == '\0' && !may_be_nothing(k))
                return refuse(why, "must not be empty");
        if (has_control(text))
                return refuse(why, "must have no control characters");

        return set_string(k, base, text);
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static int set_name(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        if (text[strspn(text, "-_./" LOWER UPPER DIGITS)] != '\0')
                return refuse(why, "must have no characters but [-_./a-zA-Z0-9]");

        return set_string(k, base, text);
}

#define USER_MAX 31u

/* The names systemd takes, and numbers it takes: all but the two that mean none, (uint32_t) -1 and
 * (uint16_t) -1. */
static bool is_user(const char *text) {
        uint64_t uid;

        if (text[0] >= '0' && text[0] <= '9')
                return (text[0] != '0' || text[1] == '\0') &&
                       slice_to_uint64(slice_from_string(text), &uid) && uid < UINT32_MAX &&
                       uid != UINT16_MAX;

        return text[0] != '-' && strlen(text) <= USER_MAX &&
               text[strspn(text, "_-" LOWER UPPER DIGITS)] == '\0';
}

static int set_user(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        if (!is_user(text))
                return refuse(why, "must be the name or number of a user: [a-zA-Z_][-_a-zA-Z0-9]*");

        return set_string(k, base, text);
}

static int set_path(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        if (has_control(text) || (text[0] != '/' && (text[0] != '\0' || !may_be_nothing(k))))
                return refuse(why, "must be an absolute path");

        return set_string(k, base, text);
}

/* What LoadCredential= takes: the name of a file, and of a descriptor. */
static int set_credential(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        for (const char *p = text; *p; p++)
                if (*p <= ' ' || *p >= 0x7f || strchr("/:", *p))
                        return refuse(why, "must be the name of a credential, without '/' and ':'");
        if (text[0] == '.' || strlen(text) > UINT8_MAX)
                return refuse(why, "must be the name of a credential, not beginning with '.'");

        return set_string(k, base, text);
}

static int format_string(const ConfigKey *k, const void *base, Buffer *out) {
        char *const *field = const_field_of(k, base);

        return config_add_quoted(out, *field ?: "");
}

/* The i-th of the words; without a `.p` behind the last. */
static Slice word_at(const ConfigKey *k, unsigned i) {
        Slice rest = slice_from_string(k->min), word;

        for (;; i--) {
                if (!slice_cut(&rest, '|', &word))
                        word = TAKE(rest);
                if (i == 0 || !word.p)
                        return word;
        }
}

static int refuse_choice(const ConfigKey *k, Buffer *why) {
        int r = buffer_add_string(why, "must be ");
        Slice word = word_at(k, 0), next;

        for (unsigned i = 1; r >= 0 && word.p; word = next) {
                next = word_at(k, i++);
                r = buffer_addf(why, "%.*s%s", (int) word.n, word.p,
                                !next.p         ? "" :
                                word_at(k, i).p ? ", " :
                                                  " or ");
        }

        return r < 0 ? r : -EINVAL;
}

static int set_choice(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        Slice word = word_at(k, 0);

        for (unsigned i = 0; word.p; word = word_at(k, ++i))
                if (slice_equal(word, slice_from_string(text))) {
                        *(unsigned *) field_of(k, base) = i;
                        return 0;
                }

        return refuse_choice(k, why);
}

static int format_choice(const ConfigKey *k, const void *base, Buffer *out) {
        Slice word = word_at(k, *(const unsigned *) const_field_of(k, base));

        return buffer_addf(out, "\"%.*s\"", (int) word.n, word.p);
}

static int set_parsed(const ConfigKey *k, void *base, const char *text, Buffer *why,
                      int (*parse)(const char *, char **, Buffer *)) {
        char *url, **field = field_of(k, base);
        int r = parse(text, &url, why);

        if (r < 0)
                return r;

        free(*field);
        *field = url;
        return 0;
}

static int set_url(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        return set_parsed(k, base, text, why, config_url_parse);
}

static int set_proxy(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        return text[0] == '\0' ? set_string(k, base, text) :
                                 set_parsed(k, base, text, why, config_proxy_parse);
}

/* What the lists return, said in words. */
static int explain(int r, const char *if_invalid, Buffer *why) {
        const char *text = r == -EINVAL ? if_invalid :
                           r == -EEXIST ? "there is a tag of this key already" :
                           r == -E2BIG  ? "these are too many" :
                                          "";

        return buffer_add_string(why, text) < 0 ? -ENOMEM : r;
}

static int add_tag(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        return explain(tag_list_add(field_of(k, base), count_of(k, base), text),
                       "must be KEY=VALUE, the key of [-_.a-zA-Z0-9], the value of [-_./a-zA-Z0-9]", why);
}

static int format_tags(const ConfigKey *k, const void *base, Buffer *out) {
        const ConfigTag *tags = *(ConfigTag *const *) const_field_of(k, base);
        int r = buffer_add_string(out, "{");

        for (size_t i = 0; r >= 0 && i < const_count_of(k, base); i++)
                r = buffer_addf(out, "%s\"%s=%s\"", i > 0 ? ", " : " ", tags[i].key, tags[i].value);

        return r < 0 ? r : buffer_add_string(out, " }");
}

static int add_string(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        return explain(string_list_add(field_of(k, base), count_of(k, base), text), NULL, why);
}

static int add_dir(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        if (text[0] != '/' || has_control(text))
                return refuse(why, "must be an absolute path");

        return add_string(k, base, text, why);
}

static int add_variable(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        size_t n_name = strspn(text, "_" LOWER UPPER DIGITS);

        if (n_name == 0 || text[n_name] != '=' || strspn(text, DIGITS) > 0)
                return refuse(why, "must be NAME=VALUE, the name of [_a-zA-Z0-9]");
        if (has_control(text) || !utf8_is_valid(text))
                return refuse(why, "must be text, without control characters");

        return add_string(k, base, text, why);
}

static int format_strings(const ConfigKey *k, const void *base, Buffer *out) {
        char *const *items = *(char *const *const *) const_field_of(k, base);
        int r = buffer_add_string(out, "{");

        for (size_t i = 0; r >= 0 && i < const_count_of(k, base); i++) {
                r = buffer_add_string(out, i > 0 ? ", " : " ");
                if (r >= 0)
                        r = config_add_quoted(out, items[i]);
        }

        return r < 0 ? r : buffer_add_string(out, " }");
}

static void free_string(const ConfigKey *k, void *base) {
        free(TAKE(*(char **) field_of(k, base)));
}

static void free_tags(const ConfigKey *k, void *base) {
        tag_list_clear(field_of(k, base), count_of(k, base));
}

static void free_strings(const ConfigKey *k, void *base) {
        string_list_clear(field_of(k, base), count_of(k, base));
}

static const struct {
        const char *name;
        int (*set)(const ConfigKey *k, void *base, const char *text, Buffer *why);
        int (*format)(const ConfigKey *k, const void *base, Buffer *out);
        void (*free)(const ConfigKey *k, void *base);
} types[] = {
        [CONFIG_BOOL] = { "switch", set_bool, format_bool, NULL },
        [CONFIG_UINT] = { "number", set_uint, format_uint, NULL },
        [CONFIG_SIZE] = { "size", set_size, format_size, NULL },
        [CONFIG_SPAN] = { "time span", set_span, format_span, NULL },
        [CONFIG_PERCENT] = { "percentage", set_percent, format_percent, NULL },
        [CONFIG_TEXT] = { "text", set_text, format_string, free_string },
        [CONFIG_NAME] = { "string", set_name, format_string, free_string },
        [CONFIG_USER] = { "user", set_user, format_string, free_string },
        [CONFIG_PATH] = { "path", set_path, format_string, free_string },
        [CONFIG_CREDENTIAL] = { "credential", set_credential, format_string, free_string },
        [CONFIG_CHOICE] = { "choice", set_choice, format_choice, NULL },
        [CONFIG_URL] = { "URL", set_url, format_string, free_string },
        [CONFIG_PROXY] = { "URL", set_proxy, format_string, free_string },
        [CONFIG_TAGS] = { "list of tags", add_tag, format_tags, free_tags },
        [CONFIG_DIRS] = { "list of folders", add_dir, format_strings, free_strings },
        [CONFIG_ENVIRONMENT] = { "list of variables", add_variable, format_strings, free_strings },
};
static_assert(ELEMENTSOF(types) == _CONFIG_TYPE_MAX, "say how every type is read and written");

const char *config_type_to_string(ConfigType t) {
        return (int) t >= 0 && t < _CONFIG_TYPE_MAX ? types[t].name : NULL;
}

bool config_key_is_list(const ConfigKey *k) {
        return k->type == CONFIG_TAGS || k->type == CONFIG_DIRS || k->type == CONFIG_ENVIRONMENT;
}

int config_key_set(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        return types[k->type].set(k, base, text, why);
}

int config_key_format(const ConfigKey *k, const void *base, Buffer *out) {
        return types[k->type].format(k, base, out);
}

void config_keys_done(const ConfigKey *keys, void *base) {
        CONFIG_FOREACH_KEY(k, keys)
                if (types[k->type].free)
                        types[k->type].free(k, base);
}

int config_add_quoted(Buffer *out, const char *s) {
        int r = buffer_add_string(out, "\"");

        for (; r >= 0 && *s; s++)
                r = buffer_addf(out, strchr("\"\\$", *s) ? "\\%c" : "%c", *s);
        if (r >= 0)
                r = buffer_add_string(out, "\"");

        return r;
}
