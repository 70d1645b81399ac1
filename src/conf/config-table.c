/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Values go through one table of types: what a type is called, how it is read, how it is written. A value is
 * written to its field only when all of it is good. */

#include <inttypes.h>
#include <string.h>

#include <config.h>

#include "basic/clock.h"
#include "conf/config-table.h"
#include "conf/hostport.h"

#define TELNET_PORT 4242u

const ConfigKey config_keys[] = {
        { "tags", CONFIG_TAGS, "", NULL, NULL, 0,
          "Added to every data point that has no tag of that key; host=<this host> is one unless given." },
        { "collector_dirs", CONFIG_DIRS, SYSCONFDIR "/tcollector/collectors:" PKGLIBDIR "/collectors", NULL,
          NULL, 0,
          "Where collectors are looked for; a file in an earlier folder overrides one of the same name." },
        { "namespace_prefix", CONFIG_NAME, "", NULL, NULL, offsetof(Config, namespace_prefix),
          "Goes in front of every metric, with a dot between." },
        { "dedup_interval", CONFIG_SPAN, "5min", "0", "365d", offsetof(Config, dedup_interval),
          "A value that does not change is sent again only after this time; 0: every value is sent." },
        { "dedup_only_zero", CONFIG_BOOL, "false", NULL, NULL, offsetof(Config, dedup_only_zero),
          "Hold back repeated zeros only." },
        { "evict_interval", CONFIG_SPAN, "1h 40min", "1s", "365d", offsetof(Config, evict_interval),
          "A series without a new value for this time is forgotten; more than dedup_interval." },
        { "max_series", CONFIG_UINT, "1000000", "1", "100000000", offsetof(Config, max_series),
          "Series remembered of one collector; those beyond it are sent without deduplication." },
        { "max_tags", CONFIG_UINT, "8", "1", "64", offsetof(Config, max_tags),
          "A data point with more tags, the agent's own included, is invalid." },
        { "bad_chars", CONFIG_CHOICE, "reject", "reject|replace", NULL, offsetof(Config, replace_bad_chars),
          "What becomes of a metric or tag with a character outside [-_./a-zA-Z0-9]." },
        { "inactivity", CONFIG_SPAN, "10min", "0", "365d", offsetof(Config, inactivity),
          "A long-running collector without a line for this time is started anew; 0: never." },
        { "reconnect_interval", CONFIG_SPAN, "0", "0", "365d", offsetof(Config, reconnect_interval),
          "A connection is made anew after this time, where there are several to any of them; 0: never." },
        { "queue_size", CONFIG_SIZE, "16M", "64K", "1T", offsetof(Config, queue_size),
          "Memory for data points that are not delivered yet." },
        { "self_stats", CONFIG_BOOL, "true", NULL, NULL, offsetof(Config, self_stats),
          "Report the agent's own counters as data points every minute." },
        {}
};

const ConfigKey config_server_keys[] = {
        { "url", CONFIG_URL, NULL, NULL, NULL, offsetof(ConfigServer, url),
          "telnet://HOST[:PORT], an IPv6 address in brackets; the port is 4242 unless given." },
        {}
};

const ConfigKey *config_key_find(const ConfigKey *keys, const char *name) {
        CONFIG_FOREACH_KEY(k, keys)
                if (strcmp(k->name, name) == 0)
                        return k;

        return NULL;
}

static void *field_of(const ConfigKey *k, void *base) {
        return (char *) base + k->offset;
}

static const void *const_field_of(const ConfigKey *k, const void *base) {
        return (const char *) base + k->offset;
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

static int set_string(const ConfigKey *k, void *base, const char *text) {
        char *copy = strdup(text), **field = field_of(k, base);

        if (!copy)
                return -ENOMEM;

        free(*field);
        *field = copy;
        return 0;
}

static int set_text(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        return text[0] == '\0' ? refuse(why, "must not be empty") : set_string(k, base, text);
}

static int set_name(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        static const char set[] = "-_./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

        if (text[strspn(text, set)] != '\0')
                return refuse(why, "must have no characters but [-_./a-zA-Z0-9]");

        return set_string(k, base, text);
}

static int format_string(const ConfigKey *k, const void *base, Buffer *out) {
        char *const *field = const_field_of(k, base);

        return config_add_quoted(out, *field);
}

static int set_choice(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        Slice yes = slice_from_string(k->min), no, given = slice_from_string(text);
        int r;

        if (!slice_cut(&yes, '|', &no))
                return refuse(why, "the choices of this setting are broken");
        if (slice_equal(given, no) || slice_equal(given, yes)) {
                *(bool *) field_of(k, base) = slice_equal(given, yes);
                return 0;
        }

        r = buffer_addf(why, "must be %.*s or %.*s", (int) no.n, no.p, (int) yes.n, yes.p);
        return r < 0 ? r : -EINVAL;
}

static int format_choice(const ConfigKey *k, const void *base, Buffer *out) {
        Slice yes = slice_from_string(k->min), no = {};

        (void) slice_cut(&yes, '|', &no);
        if (!*(const bool *) const_field_of(k, base))
                yes = no;

        return buffer_addf(out, "\"%.*s\"", (int) yes.n, yes.p);
}

int config_url_parse(const char *text, char **ret, Buffer *why) {
        static const char *const later[] = { "telnets://", "http://", "https://" };
        static const Slice telnet = SLICE("telnet://");
        Slice url = slice_from_string(text);
        const char *hint = NULL;
        HostPort hp;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(later); i++)
                if (slice_starts_with(url, slice_from_string(later[i]))) {
                        r = buffer_addf(why, "%s is not supported by this build yet, telnet:// is",
                                        later[i]);
                        return r < 0 ? r : -EPROTONOSUPPORT;
                }
        if (!slice_starts_with(url, telnet))
                return refuse(why, "must be telnet://HOST or telnet://HOST:PORT");

        r = hostport_parse((Slice) { url.p + telnet.n, url.n - telnet.n }, &hp, &hint);
        if (r < 0)
                return refuse(why, hint);

        *ret = hostport_url("telnet", &hp, TELNET_PORT);
        return *ret ? 0 : -ENOMEM;
}

static int set_url(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        char *url, **field = field_of(k, base);
        int r = config_url_parse(text, &url, why);

        if (r < 0)
                return r;

        free(*field);
        *field = url;
        return 0;
}

/* What config_add_tag() and config_add_dir() return, said in words. */
static int explain(int r, const char *if_invalid, Buffer *why) {
        const char *text = r == -EINVAL ? if_invalid :
                           r == -EEXIST ? "there is a tag of this key already" :
                           r == -E2BIG  ? "these are too many" :
                                          "";

        return buffer_add_string(why, text) < 0 ? -ENOMEM : r;
}

static int add_tag(const ConfigKey *k _unused_, void *base, const char *text, Buffer *why) {
        return explain(config_add_tag(base, text),
                       "must be KEY=VALUE, the key of [-_.a-zA-Z0-9], the value of [-_./a-zA-Z0-9]", why);
}

static int add_dir(const ConfigKey *k _unused_, void *base, const char *text, Buffer *why) {
        return explain(config_add_dir(base, text), "must be an absolute path", why);
}

static const struct {
        const char *name;
        int (*set)(const ConfigKey *k, void *base, const char *text, Buffer *why);
        int (*format)(const ConfigKey *k, const void *base, Buffer *out);
} types[] = {
        [CONFIG_BOOL] = { "switch", set_bool, format_bool },
        [CONFIG_UINT] = { "number", set_uint, format_uint },
        [CONFIG_SIZE] = { "size", set_size, format_size },
        [CONFIG_SPAN] = { "time span", set_span, format_span },
        [CONFIG_TEXT] = { "text", set_text, format_string },
        [CONFIG_NAME] = { "string", set_name, format_string },
        [CONFIG_CHOICE] = { "choice", set_choice, format_choice },
        [CONFIG_URL] = { "URL", set_url, format_string },
        [CONFIG_TAGS] = { "list of tags", add_tag, NULL },
        [CONFIG_DIRS] = { "list of folders", add_dir, NULL },
};
static_assert(ELEMENTSOF(types) == _CONFIG_TYPE_MAX, "say how every type is read and written");

const char *config_type_to_string(ConfigType t) {
        return (int) t >= 0 && t < _CONFIG_TYPE_MAX ? types[t].name : NULL;
}

bool config_key_is_list(const ConfigKey *k) {
        return !types[k->type].format;
}

int config_key_set(const ConfigKey *k, void *base, const char *text, Buffer *why) {
        return types[k->type].set(k, base, text, why);
}

int config_key_format(const ConfigKey *k, const void *base, Buffer *out) {
        assert(!config_key_is_list(k));

        return types[k->type].format(k, base, out);
}

int config_add_quoted(Buffer *out, const char *s) {
        int r = buffer_add_string(out, "\"");

        for (; r >= 0 && *s; s++)
                r = buffer_addf(out, strchr("\"\\$", *s) ? "\\%c" : "%c", *s);
        if (r >= 0)
                r = buffer_add_string(out, "\"");

        return r;
}
