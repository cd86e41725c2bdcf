#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_fixture.h"

void fixture_start(struct fixture *f, http_server_fn *fn, void *arg)
{
    struct err e = {0};
    *f = (struct fixture){.server = http_server_start(fn, arg)};
    f->config = (struct argilla_config){.url = (char *)http_server_url(f->server),
                                        .api_key = FIXTURE_KEY,
                                        .timeout_ms = 20000,
                                        .metrics_timeout_ms = 20000,
                                        .page_size = 500,
                                        .max_connections = 16,
                                        .max_page_bytes = 1 << 20};
    if (http_engine_new(&f->config, &f->engine, &e))
        fail_msg("%s", e.msg);
}

void fixture_stop(struct fixture *f)
{
    http_engine_free(f->engine);
    http_server_stop(f->server);
}

void outcome_release(struct outcome *o)
{
    buf_release(&o->body);
}

static void on_done(void *arg, struct http_response *resp, const struct err *e)
{
    struct outcome *o = arg;
    assert_false(o->is_done);
    o->is_done = true;
    o->order = ++o->f->n_done;
    if (e)
        o->err = *e;
    o->status = resp->status;
    o->date_ms = resp->date_ms;
    o->body = resp->body;
    resp->body = buf_make(0);
}

uint64_t fixture_submit_limited(struct fixture *f, const char *path, const char *gate, const char *body,
                                int timeout_ms, size_t max_body_bytes, struct outcome *ret)
{
    *ret = (struct outcome){.f = f};
    struct http_request r = {.method = body ? "POST" : "GET",
                             .path = xstrdup(path),
                             .gate = gate ? xstrdup(gate) : NULL,
                             .body = body ? xstrdup(body) : NULL,
                             .body_len = body ? strlen(body) : 0,
                             .timeout_ms = timeout_ms ? timeout_ms : 20000,
                             .max_body_bytes = max_body_bytes ? max_body_bytes : 1 << 20,
                             .done = on_done,
                             .arg = ret};
    return http_submit(f->engine, &r);
}

uint64_t fixture_submit(struct fixture *f, const char *path, const char *gate, const char *body,
                        struct outcome *ret)
{
    return fixture_submit_limited(f, path, gate, body, 0, 0, ret);
}

void fixture_await(struct fixture *f, struct outcome *o)
{
    FIXTURE_UNTIL(f, o->is_done);
}

void fixture_get(struct fixture *f, const char *path, struct outcome *ret)
{
    (void)fixture_submit(f, path, NULL, NULL, ret);
    fixture_await(f, ret);
}

void fixture_timed_out(const char *condition, const char *file, int line)
{
    print_error("not within 20 s: %s\n", condition);
    _fail(file, line);
    abort(); /* _fail does not return */
}
