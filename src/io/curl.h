/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* libcurl on an sd-event loop: a multi handle whose sockets and timer are event sources, so that name
 * resolution, connecting and transfers never block. libcurl is loaded by the first curl_glue_new(); only its
 * header is needed to build, and its functions are called through CurlApi.
 *
 * A CurlJob is one easy handle, in the multi handle from curl_job_start() on. Connections belong to the
 * multi handle: a job that is started again, or another one, goes on with them. */

#include <curl/curl.h>
#include <systemd/sd-event.h>

#include "basic/base.h"

typedef struct CurlApi {
        __typeof__(curl_easy_cleanup) *easy_cleanup;
        __typeof__(curl_easy_getinfo) *easy_getinfo;
        __typeof__(curl_easy_init) *easy_init;
        __typeof__(curl_easy_recv) *easy_recv;
        __typeof__(curl_easy_send) *easy_send;
        __typeof__(curl_easy_setopt) *easy_setopt;
        __typeof__(curl_easy_strerror) *easy_strerror;
        __typeof__(curl_global_cleanup) *global_cleanup;
        __typeof__(curl_global_init) *global_init;
        __typeof__(curl_multi_add_handle) *multi_add_handle;
        __typeof__(curl_multi_assign) *multi_assign;
        __typeof__(curl_multi_cleanup) *multi_cleanup;
        __typeof__(curl_multi_info_read) *multi_info_read;
        __typeof__(curl_multi_init) *multi_init;
        __typeof__(curl_multi_remove_handle) *multi_remove_handle;
        __typeof__(curl_multi_setopt) *multi_setopt;
        __typeof__(curl_multi_socket_action) *multi_socket_action;
        __typeof__(curl_slist_append) *slist_append;
        __typeof__(curl_slist_free_all) *slist_free_all;
} CurlApi;

typedef struct CurlGlue CurlGlue;
typedef struct CurlJob CurlJob;

/* The transfer has ended. The job may be freed here, the glue may not. */
typedef void (*CurlDone)(void *userdata, CURLcode code);

/* -ELIBACC, -ELIBBAD: no libcurl that will do, see *ret_why (borrowed; untouched on success); -ENOMEM;
 * -EIO. */
int curl_glue_new(CurlGlue **ret, sd_event *event, const char **ret_why);
CurlGlue *curl_glue_free(CurlGlue *g); /* after its jobs; NULL-safe, returns NULL */
DEFINE_CLEANUP(CurlGlue *, curl_glue_free);

const CurlApi *curl_glue_api(const CurlGlue *g);

/* Makes an easy handle with what every job needs (no signals, no wait for a resolver that hangs, an error
 * buffer). The caller sets the rest through curl_job_easy(). -ENOMEM. */
int curl_job_new(CurlJob **ret, CurlGlue *g, CurlDone done, void *userdata);
CurlJob *curl_job_free(CurlJob *j); /* drops the transfer and the connection; NULL-safe, returns NULL */
DEFINE_CLEANUP(CurlJob *, curl_job_free);

CURL *curl_job_easy(const CurlJob *j);
const CurlApi *curl_job_api(const CurlJob *j);

/* 0: done() will be called, never from in here; -EIO: libcurl refuses it. May be called again after done(),
 * or to begin anew. */
int curl_job_start(CurlJob *j);

/* Ends libcurl's own watch on a connection the caller is going to watch (CURLOPT_CONNECT_ONLY): epoll takes
 * a descriptor once only. */
void curl_job_take_socket(CurlJob *j, int fd);

int curl_job_errno(const CurlJob *j, CURLcode code); /* a negative errno for `code` */
const char *curl_job_why(CurlJob *j, CURLcode code); /* in words, with the errno's; borrowed from the job */
