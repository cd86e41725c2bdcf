#include "admin_client.h"

#include <curl/curl.h>

enum { CONNECT_MS = 2000, ANSWER_MS = 15000 /* a command may take 9 s there */ };

static char *url_of(const struct admin_config *a, const char *path)
{
    bool is_v6 = strchr(a->host, ':');
    const char *host = a->host;
    if (strcmp(host, "0.0.0.0") == 0)
        host = "127.0.0.1";
    else if (strcmp(host, "::") == 0)
        host = "::1";
    return xasprintf(is_v6 ? "http://[%s]:%d%s" : "http://%s:%d%s", host, a->port, path);
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct buf *body = arg;
    buf_add(body, data, size * n);
    return body->overflow ? 0 : size * n;
}

/* A handle that goes straight there and nowhere else. NULL without memory. */
static CURL *make_handle(const char *url, const char *method, struct curl_slist *headers, struct buf *body)
{
    CURL *c = curl_easy_init();
    if (!c)
        return NULL;
    (void)curl_easy_setopt(c, CURLOPT_URL, url);
    (void)curl_easy_setopt(c, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http");
    (void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    (void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)ANSWER_MS);
    (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, body);
    if (strcmp(method, "POST") == 0)
        (void)curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, "");
    return c;
}

static struct curl_slist *make_headers(const struct admin_config *a, const char *method)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    if (!a->token || strcmp(method, "POST") != 0)
        return headers;
    cleanup_free char *line = xasprintf("Authorization: Bearer %s", a->token);
    headers = curl_slist_append(headers, line);
    explicit_bzero(line, strlen(line));
    return headers;
}

static enum admin_reach judge(const struct admin_config *a, CURLcode rc, struct buf *body, struct err *e)
{
    if (rc == CURLE_OK)
        return ADMIN_ANSWERED;
    if (rc == CURLE_COULDNT_CONNECT) {
        (void)err_set(e, ERR_RETRY, "no service answers at %s", a->listen);
        return ADMIN_NOBODY;
    }
    if (body->overflow)
        (void)err_set(e, ERR_RETRY, "the answer of %s is over %zu bytes", a->listen, body->limit);
    else
        (void)err_set(e, ERR_RETRY, "%s gave no answer: %s", a->listen, curl_easy_strerror(rc));
    return ADMIN_BROKEN;
}

enum admin_reach admin_ask(const struct config *config, const char *method, const char *path, int *ret_status,
                           struct buf *ret_body, struct err *e)
{
    const struct admin_config *a = &config->admin;
    cleanup_free char *url = url_of(a, path);
    struct curl_slist *headers = make_headers(a, method);
    CURL *c = curl_global_init(CURL_GLOBAL_DEFAULT) ? NULL : make_handle(url, method, headers, ret_body);
    enum admin_reach reach = ADMIN_BROKEN;
    if (c) {
        long status = 0;
        reach = judge(a, curl_easy_perform(c), ret_body, e);
        (void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
        if (reach == ADMIN_ANSWERED)
            *ret_status = (int)status;
    } else {
        (void)err_set(e, ERR_FATAL, "http: out of memory");
    }
    curl_easy_cleanup(c);
    for (struct curl_slist *line = headers; line; line = line->next)
        explicit_bzero(line->data, strlen(line->data));
    curl_slist_free_all(headers);
    return reach;
}
