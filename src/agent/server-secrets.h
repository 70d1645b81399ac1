/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the configuration says of a server, with its password and token read from where they are kept: a
 * file, or a credential that systemd put into $CREDENTIALS_DIRECTORY. */

#include "conf/config.h"
#include "io/sender.h"

#define SERVER_SECRET_MAX 4096u /* bytes; a longer one is refused */

typedef struct ServerSecrets {
        char *password, *token; /* NULL: none */
} ServerSecrets;

/* 0; negative: `why` names the file and the cause, never what is in it. `credentials` is the folder of
 * systemd's credentials, NULL: there is none. */
int server_secrets_read(const ConfigServer *config, const char *credentials, ServerSecrets *ret,
                        Buffer *why);
void server_secrets_done(ServerSecrets *secrets); /* overwrites them */

/* The server as the sender takes it; borrowed from both. */
SenderServer server_secrets_apply(const ConfigServer *config, const ServerSecrets *secrets);

/* All servers of a configuration, their secrets with them. */
typedef struct ServerList {
        SenderServer *servers; /* what is in them is borrowed from the configuration and the secrets */
        ServerSecrets *secrets;
        size_t n;
} ServerList;

/* `password` is that of a user without one, NULL: none; borrowed as long as the list is used. Otherwise as
 * server_secrets_read(). */
int server_list_make(ServerList *ret, const Config *config, const char *credentials, const char *password,
                     Buffer *why);
void server_list_done(ServerList *list);
