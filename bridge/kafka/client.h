/* librdkafka handles: their configuration (the user's properties over our defaults) and what an error means.
 * librdkafka's header is included only by the .c files of this folder. Any thread. */
#ifndef AB_KAFKA_CLIENT_H
#define AB_KAFKA_CLIENT_H

#include "config.h"
#include "err.h"

struct rd_kafka_s;
struct rd_kafka_conf_s;
struct rd_kafka_error_s;

enum kafka_role { KAFKA_COMMON, KAFKA_PRODUCER, KAFKA_CONSUMER };

/* Does librdkafka know this property for this role, and take the value? `name` may write '_' for '.': it is
 * tried as it stands first. Writes librdkafka's spelling to `ret_name`. -1 ERR_CONFIG with librdkafka's
 * words; for an unknown name the text ends in "unknown property". */
int kafka_property_check(enum kafka_role role, const char *name, const char *value, char *ret_name,
                         size_t ret_size, struct err *e);

/* The librdkafka property whose name is nearest to `name` (in either spelling), or NULL when none is near.
 * The string belongs to the calling thread until its next call. */
const char *kafka_property_nearest(const char *name);

/* A configuration for a handle: our defaults, then the user's common and role properties. `client_suffix` is
 * added to client.id. The caller passes it to rd_kafka_new or destroys it. -1 ERR_CONFIG. */
int kafka_conf_new(const struct config *config, enum kafka_role role, const char *client_suffix,
                   struct rd_kafka_conf_s **ret, struct err *e);
/* Sets one property that the bridge owns; a refusal is a bug of ours or a conflict with the user's:
 * ERR_CONFIG. */
int kafka_conf_set(struct rd_kafka_conf_s *conf, const char *name, const char *value, struct err *e);

/* Makes a handle; takes `conf` in any case. -1 ERR_CONFIG: librdkafka judges some combinations only here. */
int kafka_handle_new(struct rd_kafka_conf_s *conf, enum kafka_role role, struct rd_kafka_s **ret,
                     struct err *e);

/* Builds and destroys one handle of each kind that the bridge uses: what `check` calls. No connection is
 * needed. */
int kafka_config_check(const struct config *config, struct err *e);

/* The largest message that a producer of this configuration takes (message.max.bytes). */
int64_t kafka_message_max_bytes(const struct config *config);

/* Fills `e` from a librdkafka error code or error object (destroyed here): RETRY, ABORT_TXN, AUTH, CONFIG or
 * FATAL, with librdkafka's name and text behind `operation`. Return -1. */
int kafka_err(struct err *e, const char *operation, int resp_err);
int kafka_err_take(struct err *e, const char *operation, struct rd_kafka_error_s *error);

#endif
