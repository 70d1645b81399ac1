/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <string.h>

#include "agent/server-secrets.h"
#include "basic/file.h"

/* What file_read_at() wants room for behind the longest that is taken. */
#define ROOM (SERVER_SECRET_MAX + 4096 + 1)

static void buffer_wipe(Buffer *b) {
        if (b->data)
                explicit_bzero(b->data, b->allocated);
        buffer_done(b);
}

static int refuse(Buffer *why, const char *path, int error) {
        const char *cause = strerrordesc_np(-error);

        if (error == -EFBIG)
                cause = "too long for a password or token";
        if (error == -EBADMSG)
                cause = "must be one line of text";

        (void) buffer_addf(why, "%s: %s", path, cause);
        return error;
}

/* The first line is all there is; its end may be missing. */
static int read_secret(const char *path, char **ret, Buffer *why) {
        _cleanup_(buffer_wipe) Buffer text = {};
        char *secret;
        int r;

        r = buffer_reserve(&text, ROOM); /* it is not moved, which would leave a copy */
        if (r >= 0)
                r = file_read_at(AT_FDCWD, path, SERVER_SECRET_MAX, &text);
        if (r < 0)
                return refuse(why, path, r);

        if (text.n > 0 && text.data[text.n - 1] == '\n')
                text.n--;
        if (text.n > 0 && text.data[text.n - 1] == '\r')
                text.n--;
        if (text.n == 0 || memchr(text.data, '\n', text.n) || memchr(text.data, '\0', text.n))
                return refuse(why, path, -EBADMSG);

        secret = strndup(text.data, text.n);
        if (!secret)
                return refuse(why, path, -ENOMEM);

        *ret = secret;
        return 0;
}

static int find_secret(const char *file, const char *credential, const char *credentials, char **ret,
                       Buffer *why) {
        _cleanup_(freep) char *path = NULL;

        if (file[0])
                return read_secret(file, ret, why);
        if (!credential[0])
                return 0;

        if (!credentials) {
                (void) buffer_addf(why,
                                   "credential '%s': systemd has passed none (see LoadCredential= in "
                                   "systemd.exec(5))",
                                   credential);
                return -ENOENT;
        }
        if (asprintf(&path, "%s/%s", credentials, credential) < 0)
                return refuse(why, credential, -ENOMEM);

        return read_secret(path, ret, why);
}

int server_secrets_read(const ConfigServer *config, const char *credentials, ServerSecrets *ret,
                        Buffer *why) {
        _cleanup_(server_secrets_done) ServerSecrets s = {};
        int r;

        r = find_secret(config->password_file, config->password_credential, credentials, &s.password, why);
        if (r >= 0)
                r = find_secret(config->token_file, config->token_credential, credentials, &s.token, why);
        if (r < 0)
                return r;

        *ret = TAKE(s);
        return 0;
}

static void wipe(char *secret) {
        if (secret)
                explicit_bzero(secret, strlen(secret));
        free(secret);
}

void server_secrets_done(ServerSecrets *secrets) {
        wipe(TAKE(secrets->password));
        wipe(TAKE(secrets->token));
}

SenderServer server_secrets_apply(const ConfigServer *config, const ServerSecrets *secrets) {
        return (SenderServer) {
                .url = config->url,
                .username = config->username,
                .password = secrets->password,
                .token = secrets->token,
                .ca_file = config->ca_file,
                .client_cert = config->client_cert,
                .client_key = config->client_key,
                .proxy = config->proxy,
                .gzip = config->gzip,
                .sync = config->sync,
        };
}

int server_list_make(ServerList *ret, const Config *config, const char *credentials, const char *password,
                     Buffer *why) {
        _cleanup_(server_list_done) ServerList list = {
                .servers = calloc(config->n_servers + 1, sizeof(SenderServer)),
                .secrets = calloc(config->n_servers + 1, sizeof(ServerSecrets)),
        };

        if (!list.servers || !list.secrets)
                return -ENOMEM;

        for (; list.n < config->n_servers; list.n++) {
                const ConfigServer *c = &config->servers[list.n];
                int r = server_secrets_read(c, credentials, &list.secrets[list.n], why);

                if (r < 0)
                        return r;

                list.servers[list.n] = server_secrets_apply(c, &list.secrets[list.n]);
                if (!list.servers[list.n].password)
                        list.servers[list.n].password = password;
        }

        *ret = TAKE(list);
        return 0;
}

void server_list_done(ServerList *list) {
        for (size_t i = 0; i < list->n; i++)
                server_secrets_done(&list->secrets[i]);
        free(list->servers);
        free(list->secrets);
        *list = (ServerList) {};
}
