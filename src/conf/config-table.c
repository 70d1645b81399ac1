/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>

#include <config.h>

#include "conf/config-table.h"

const ConfigKey config_keys[] = {
        { "tags", CONFIG_TAGS, "", NULL, NULL, offsetof(Config, tags),
          "Added to every data point that has no tag of that key; host=<this host> is one unless given.",
          offsetof(Config, n_tags) },
        { "collector_dirs", CONFIG_DIRS, SYSCONFDIR "/tcollector/collectors:" PKGLIBDIR "/collectors", NULL,
          NULL, offsetof(Config, collector_dirs),
          "Where collectors are looked for; a file in an earlier folder overrides one of the same name.",
          offsetof(Config, n_collector_dirs) },
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
        { "remove_inactive", CONFIG_BOOL, "false", NULL, NULL, offsetof(Config, remove_inactive),
          "Stop such a collector for good instead." },
        { "policy", CONFIG_CHOICE, "failover", "failover|spread|mirror", NULL, offsetof(Config, policy),
          "With several servers: all to one at a time, each series to one of them, or all to each." },
        { "reconnect_interval", CONFIG_SPAN, "0", "0", "365d", offsetof(Config, reconnect_interval),
          "A connection is made anew after this time, where there are several to any of them; 0: never." },
        { "queue_size", CONFIG_SIZE, "16M", "64K", "1T", offsetof(Config, queue_size),
          "Memory for data points that are not delivered yet." },
        { "spool_size", CONFIG_SIZE, "1G", "0", "100T", offsetof(Config, spool_size),
          "Disk space for data points that the queue has no room for; 0: none, collectors wait." },
        { "spool_dir", CONFIG_PATH, "/var/lib/tcollector/spool", NULL, NULL, offsetof(Config, spool_dir),
          "Where that is." },
        { "flush_timeout", CONFIG_SPAN, "10s", "0", "1d", offsetof(Config, flush_timeout),
          "When the service stops, how long it goes on delivering before the rest is left to the spool." },
        { "self_stats", CONFIG_BOOL, "true", NULL, NULL, offsetof(Config, self_stats),
          "Report the agent's own counters as data points every minute." },
        {}
};

const ConfigKey config_server_keys[] = {
        { "url", CONFIG_URL, NULL, NULL, NULL, offsetof(ConfigServer, url),
          "telnet:// or telnets://HOST[:PORT], http:// or https://HOST[:PORT][/PATH]." },
        { "username", CONFIG_TEXT, "", NULL, NULL, offsetof(ConfigServer, username),
          "Whom to authenticate as, over HTTP." },
        { "password_file", CONFIG_PATH, "", NULL, NULL, offsetof(ConfigServer, password_file),
          "Where the user's password is read from." },
        { "password_credential", CONFIG_CREDENTIAL, "", NULL, NULL,
          offsetof(ConfigServer, password_credential),
          "The credential of tcollector.service that is the user's password." },
        { "token_file", CONFIG_PATH, "", NULL, NULL, offsetof(ConfigServer, token_file),
          "Where a bearer token is read from, in place of a user." },
        { "token_credential", CONFIG_CREDENTIAL, "", NULL, NULL, offsetof(ConfigServer, token_credential),
          "The credential that is the bearer token." },
        { "ca_file", CONFIG_PATH, "", NULL, NULL, offsetof(ConfigServer, ca_file),
          "Who may have signed the server's certificate, in place of the system's authorities." },
        { "client_cert", CONFIG_PATH, "", NULL, NULL, offsetof(ConfigServer, client_cert),
          "The agent's own certificate." },
        { "client_key", CONFIG_PATH, "", NULL, NULL, offsetof(ConfigServer, client_key),
          "The key of that, unless it is in the same file." },
        { "proxy", CONFIG_PROXY, "", NULL, NULL, offsetof(ConfigServer, proxy),
          "Connect through it: http://, https://, socks5:// or socks5h://HOST:PORT." },
        { "gzip", CONFIG_BOOL, "true", NULL, NULL, offsetof(ConfigServer, gzip),
          "Compress what is sent over HTTP." },
        { "sync", CONFIG_BOOL, "false", NULL, NULL, offsetof(ConfigServer, sync),
          "Ask an HTTP server to answer only when it has stored the data points." },
        {}
};

const ConfigKey config_collector_keys[] = {
        { "enabled", CONFIG_BOOL, "true", NULL, NULL, offsetof(ConfigCollector, enabled), "Run it at all." },
        { "interval", CONFIG_UINT, NULL, "0", "604800", offsetof(ConfigCollector, interval),
          "Seconds from one run to the next, 0: it runs for ever; in place of its folder's." },
        { "align", CONFIG_BOOL, "false", NULL, NULL, offsetof(ConfigCollector, align),
          "Run it at multiples of the interval, where that divides a day." },
        { "retry", CONFIG_SPAN, "1h", "1s", "365d", offsetof(ConfigCollector, retry),
          "When it is tried again after a failure or exit status 13." },
        { "inactivity", CONFIG_SPAN, NULL, "0", "365d", offsetof(ConfigCollector, inactivity),
          "As in the file itself, for this collector." },
        { "max_series", CONFIG_UINT, NULL, "1", "100000000", offsetof(ConfigCollector, max_series),
          "As in the file itself, for this collector." },
        { "tags", CONFIG_TAGS, "", NULL, NULL, offsetof(ConfigCollector, tags),
          "Added to its data points, in place of the agent's of that key.",
          offsetof(ConfigCollector, n_tags) },
        { "environment", CONFIG_ENVIRONMENT, "", NULL, NULL, offsetof(ConfigCollector, environment),
          "Variables it is given.", offsetof(ConfigCollector, n_environment) },
        { "user", CONFIG_USER, "", NULL, NULL, offsetof(ConfigCollector, user),
          "Whom it runs as, if not the unprivileged tcollector-col." },
        { "memory_max", CONFIG_SIZE, "256M", "1M", "100T", offsetof(ConfigCollector, memory_max),
          "Memory it may use." },
        { "cpu_quota", CONFIG_PERCENT, "0", "0", "10000%", offsetof(ConfigCollector, cpu_quota),
          "Time of one processor it may use; 0: no limit." },
        { "tasks_max", CONFIG_UINT, "64", "1", "100000", offsetof(ConfigCollector, tasks_max),
          "Processes and threads it may have." },
        {}
};

const ConfigKey *config_key_find(const ConfigKey *keys, const char *name) {
        CONFIG_FOREACH_KEY(k, keys)
                if (strcmp(k->name, name) == 0)
                        return k;

        return NULL;
}

static int set_fallback(const ConfigKey *k, void *base) {
        _cleanup_(buffer_done) Buffer why = {};
        Slice rest = slice_from_string(k->fallback), element;

        if (!config_key_is_list(k))
                return config_key_set(k, base, k->fallback, &why);

        while (rest.n > 0) {
                _cleanup_(freep) char *text = NULL;
                int r;

                if (!slice_cut(&rest, ':', &element))
                        element = TAKE(rest);
                text = strndup(element.p, element.n);
                if (!text)
                        return -ENOMEM;

                r = config_key_set(k, base, text, &why);
                if (r < 0)
                        return r;
        }

        return 0;
}

int config_keys_set_fallbacks(const ConfigKey *keys, void *base) {
        CONFIG_FOREACH_KEY(k, keys) {
                int r = k->fallback ? set_fallback(k, base) : 0;

                if (r < 0)
                        return r;
        }

        return 0;
}
