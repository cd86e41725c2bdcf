#include "http_error.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>

#include "buf.h"
#include "http.h"
#include "json_scan.h"

enum {
    DETAIL_MAX = 200, /* bytes of the server's own words */
    PATH_SHOWN = 300, /* bytes of a path: with the detail it fits into struct err */
    RETRY_AFTER_MAX_MS = 3600 * 1000
};

static enum err_class class_of(int status)
{
    if (status == 401 || status == 403)
        return ERR_AUTH;
    return status >= 500 || status == 408 || status == 425 || status == 429 ? ERR_RETRY : ERR_BAD_INPUT;
}

/* The bytes of the printable character at `p`, 0 when it is none: no controls (C1 too) and nothing that isn't
 * UTF-8, which a terminal could take for commands. */
static size_t printable_len(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return p[0] > ' ' && p[0] < 0x7f;
    size_t n = p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n > left || (p[0] == 0xc2 && p[1] < 0xa0))
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* Appends at most DETAIL_MAX bytes of `text`: what can't be printed and runs of blanks as one blank, the
 * secret as ***. */
static void add_printable(struct buf *b, struct slice text, const char *secret)
{
    size_t begin = b->len, end = begin + DETAIL_MAX, secret_len = secret ? strlen(secret) : 0;
    bool is_blank = false;
    for (size_t i = 0; i < text.len;) {
        const char *p = text.p + i;
        bool is_secret = secret_len && text.len - i >= secret_len && memcmp(p, secret, secret_len) == 0;
        size_t used = is_secret ? secret_len : printable_len((const unsigned char *)p, text.len - i);
        struct slice out = is_secret ? slice_of("***") : (struct slice){p, used};
        if (used && b->len + is_blank + out.len > end)
            return;
        if (used && is_blank && b->len > begin)
            buf_addch(b, ' ');
        buf_addslice(b, out);
        is_blank = used == 0;
        i += used ? used : 1;
    }
}

static bool get_text(struct slice object, const char *name, struct buf *ret)
{
    struct slice v;
    return json_get(object, name, &v) && json_decode_string(v, ret) == 0;
}

/* {"detail":{"code":"argilla.api.errors::CLASS","params":{...}}} as `CLASS: its message`; false when it isn't
 * Argilla's. */
static bool read_detail(struct slice body, struct buf *ret)
{
    struct slice detail, params;
    cleanup_buf struct buf code = buf_make(HTTP_ERROR_BODY_MAX);
    if (json_check(body, NULL) || !json_get(body, "detail", &detail))
        return false;
    if (json_decode_string(detail, ret) == 0)
        return true;
    if (!get_text(detail, "code", &code))
        return false;
    const char *class = strstr(buf_str(&code), "::");
    buf_addstr(ret, class ? class + 2 : buf_str(&code));
    if (!json_get(detail, "params", &params))
        return true;
    buf_addstr(ret, ": ");
    if (!get_text(params, "message", ret) && !get_text(params, "detail", ret))
        buf_addslice(ret, params);
    return true;
}

static void set_msg(struct err *ret, enum err_class class, const struct http_request *r, const char *what)
{
    (void)err_set(ret, class, "%s %.*s: %s", r->method, PATH_SHOWN, r->path, what);
}

void http_error_status(struct err *ret, const struct http_request *r, int status, struct slice body,
                       const char *redirect, const char *secret)
{
    cleanup_buf struct buf text = buf_make((size_t)2 * HTTP_ERROR_BODY_MAX);
    cleanup_buf struct buf what = buf_make(sizeof ret->msg);
    if (!read_detail(body, &text)) {
        buf_clear(&text);
        buf_addslice(&text, body);
    }
    buf_addf(&what, "HTTP %d", status);
    if (redirect) {
        buf_addstr(&what, " (redirect to ");
        add_printable(&what, slice_of(redirect), secret);
        buf_addstr(&what, ", not followed)");
    } else if (text.len) {
        buf_addstr(&what, ": ");
        add_printable(&what, buf_slice(&text), secret);
    }
    set_msg(ret, class_of(status), r, buf_str(&what));
    ret->http_status = status;
}

void http_error_transfer(struct err *ret, const struct http_request *r, const char *fmt, ...)
{
    char what[300];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    set_msg(ret, ERR_RETRY, r, what);
}

void http_error_too_large(struct err *ret, const struct http_request *r, int status)
{
    char what[64];
    (void)snprintf(what, sizeof what, "the answer is over %zu bytes", r->max_body_bytes);
    set_msg(ret, ERR_BAD_INPUT, r, what);
    ret->http_status = status;
}

int64_t http_retry_after_ms(const char *value, int64_t now_ms)
{
    int64_t ms = 0;
    value += strspn(value, " \t");
    if (*value >= '0' && *value <= '9') {
        long long s = strtoll(value, NULL, 10);
        ms = s > RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : s * 1000;
    } else {
        time_t at = curl_getdate(value, NULL);
        ms = at > 0 ? (int64_t)at * 1000 - now_ms : 0;
    }
    return ms < 0 ? 0 : ms > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS : ms;
}
