/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <stdio.h>

#include "conf/config-url.h"
#include "conf/hostport.h"

#define DEFAULT_PATH "/api/put"

typedef struct Scheme {
        const char *name; /* "telnet", of a URL that begins with "telnet://" */
        uint16_t port;    /* unless given; 0: it must be given */
        UrlFlags flags;
} Scheme;

/* OpenTSDB listens for both of its protocols on one port. */
static const Scheme server_schemes[] = { { "telnet", 4242, 0 },
                                         { "telnets", 4242, URL_TLS },
                                         { "http", 4242, URL_HTTP },
                                         { "https", 443, URL_HTTP | URL_TLS },
                                         {} };

static const Scheme proxy_schemes[] = { { "http" }, { "https" }, { "socks5" }, { "socks5h" }, {} };

static int refuse(Buffer *why, const char *what_is_right) {
        int r = buffer_add_string(why, what_is_right);

        return r < 0 ? r : -EINVAL;
}

/* The scheme `url` begins with, which is taken off it; NULL: none of these. */
static const Scheme *cut_scheme(const Scheme *schemes, Slice *url) {
        for (const Scheme *s = schemes; s->name; s++) {
                size_t n = strlen(s->name);

                if (url->n >= n + 3 && memcmp(url->p, s->name, n) == 0 &&
                    memcmp(url->p + n, "://", 3) == 0) {
                        *url = (Slice) { url->p + n + 3, url->n - n - 3 };
                        return s;
                }
        }

        return NULL;
}

static bool is_path_char(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c != '\0' && strchr("/-._~!$&'()*+,;=:%", c));
}

static const char *path_fault(Slice path) {
        if (memchr(path.p, '?', path.n))
                return "a URL has no query (?...) here";
        if (memchr(path.p, '#', path.n))
                return "a URL has no fragment (#...) here";
        for (size_t i = 0; i < path.n; i++)
                if (!is_path_char(path.p[i]))
                        return "a path has no such characters: write them as %XX";

        return NULL;
}

/* What is wrong with user and password in front of the host, NULL where there are none. */
static const char *user_fault(Slice authority, const char *if_user, const char *if_password) {
        Slice rest = authority, user;

        if (!slice_cut(&rest, '@', &user))
                return NULL;

        return memchr(user.p, ':', user.n) ? if_password : if_user;
}

/* "/api/put" where there is none; of telnet there is none. */
static int make_url(const Scheme *s, Slice authority, Slice path, char **ret, Buffer *why) {
        _cleanup_(freep) char *without_path = NULL;
        const char *fault = NULL;
        char *url = NULL;
        HostPort hp;
        int r;

        r = hostport_parse(authority, &hp, &fault);
        if (r < 0)
                return refuse(why, fault);
        if (hp.port == 0 && s->port == 0)
                return refuse(why, "the port of a proxy must be given");

        without_path = hostport_url(s->name, &hp, s->port);
        if (!without_path)
                return -ENOMEM;
        if (!(s->flags & URL_HTTP)) {
                *ret = TAKE(without_path);
                return 0;
        }

        if (path.n <= 1)
                path = SLICE(DEFAULT_PATH);
        if (asprintf(&url, "%s%.*s", without_path, (int) path.n, path.p) < 0)
                return -ENOMEM;

        *ret = url;
        return 0;
}

/* Where the host ends: at a path, query or fragment. */
static size_t authority_length(Slice url) {
        size_t n = 0;

        while (n < url.n && !memchr("/?#", url.p[n], 3))
                n++;

        return n;
}

int config_url_parse(const char *text, char **ret, Buffer *why) {
        Slice authority = slice_from_string(text), path;
        const Scheme *s = cut_scheme(server_schemes, &authority);
        const char *fault;
        size_t n;

        if (!s)
                return refuse(why, "must be telnet://HOST:PORT, telnets://, http:// or https://");

        /* an @ beyond the first slash may still end a password with a slash in it */
        fault = user_fault(authority, "a user does not belong in a URL: use username",
                           "a password does not belong in a URL: use password_file or "
                           "password_credential");
        if (fault)
                return refuse(why, fault);

        n = authority_length(authority);
        path = (Slice) { authority.p + n, authority.n - n };
        authority.n = n;
        fault = path_fault(path);
        if (!fault && path.n > 0 && !(s->flags & URL_HTTP))
                fault = "a telnet URL has no path";
        if (fault)
                return refuse(why, fault);

        return make_url(s, authority, path, ret, why);
}

int config_proxy_parse(const char *text, char **ret, Buffer *why) {
        Slice authority = slice_from_string(text);
        const Scheme *s = cut_scheme(proxy_schemes, &authority);
        const char *fault;

        if (!s)
                return refuse(why,
                              "must be http://HOST:PORT, https://, socks5:// or socks5h://, or nothing");

        fault = user_fault(authority, "a proxy's user is not supported",
                           "a proxy's password is not supported");
        if (fault)
                return refuse(why, fault);
        if (authority.n > 0 && authority.p[authority.n - 1] == '/')
                authority.n--;

        return make_url(&(Scheme) { s->name, s->port, 0 }, authority, (Slice) {}, ret, why);
}

UrlFlags config_url_flags(const char *url) {
        Slice rest = slice_from_string(url);
        const Scheme *s = cut_scheme(server_schemes, &rest);

        return s ? s->flags : 0;
}
