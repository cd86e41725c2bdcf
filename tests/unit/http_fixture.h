/* An engine and a server to talk to, for the tests of argilla/. The test's thread is the engine's owner. */
#ifndef AB_TESTS_HTTP_FIXTURE_H
#define AB_TESTS_HTTP_FIXTURE_H

#include "clock.h"
#include "http.h"
#include "http_server.h"

#define FIXTURE_KEY "key.that-nobody-may-see"

struct fixture {
    struct http_server *server;
    struct argilla_config config;
    struct http_engine *engine;
    int n_done;
};

void fixture_start(struct fixture *f, http_server_fn *fn, void *arg);
void fixture_stop(struct fixture *f);

/* What became of one request. */
struct outcome {
    struct fixture *f;
    bool is_done;
    int order; /* 1: the first that ended */
    struct err err;
    int status;
    int64_t date_ms;
    struct buf body;
};
void outcome_release(struct outcome *o);

/* POST with `body`, or GET without. `gate` NULL: none. */
uint64_t fixture_submit(struct fixture *f, const char *path, const char *gate, const char *body,
                        struct outcome *ret);
/* The same with 1 MiB instead of `max_body_bytes` and 20 s instead of `timeout_ms` where those are 0. */
uint64_t fixture_submit_limited(struct fixture *f, const char *path, const char *gate, const char *body,
                                int timeout_ms, size_t max_body_bytes, struct outcome *ret);
/* Submits, and moves the engine until it is done. */
void fixture_get(struct fixture *f, const char *path, struct outcome *ret);
void fixture_await(struct fixture *f, struct outcome *o);

/* Moves the engine until `condition` holds; the test fails when that takes 20 s. */
#define FIXTURE_UNTIL(f, condition)                                                                          \
    do {                                                                                                     \
        int64_t deadline_ = clock_mono_ms() + 20000;                                                         \
        while (!(condition)) {                                                                               \
            http_engine_poll((f)->engine, 20);                                                               \
            if (clock_mono_ms() > deadline_)                                                                 \
                fixture_timed_out(#condition, __FILE__, __LINE__);                                           \
        }                                                                                                    \
    } while (0)
void fixture_timed_out(const char *condition, const char *file, int line);

#endif
