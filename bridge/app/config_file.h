/* Reads a config file (libconfig) into the model of core/config.h and finds every mistake in it at once.
 * Called by the main thread, at start, at a reload and by `check`; nothing here is global, except that the
 * environment is read (the API key). */
#ifndef AB_APP_CONFIG_FILE_H
#define AB_APP_CONFIG_FILE_H

#include "config.h"
#include "config_options.h"
#include "config_report.h"

struct expr_cache;

/* A file with more listeners than this is refused. */
enum { CONFIG_LISTENERS_MAX = 10000 };

/* Reads `path` and the files that it includes. 0 with a complete, valid config, the caller's to config_free;
 * -1 when `report` holds an error, `*ret` untouched. In both cases `report` (which must be {0} or released
 * before) holds what was found, warnings too, sorted by place; the caller releases it. Needs no network. */
int config_load(const char *path, struct config **ret, struct config_report *report);

/* The same with the expressions compiled into `exprs`, where those that are known cost nothing. */
int config_load_into(const char *path, struct expr_cache *exprs, struct config **ret,
                     struct config_report *report);

/* The same without compiling the expressions: that takes 13 ms for each that is new, which a start with a
 * thousand listeners can't wait for. One that doesn't compile is then an error of its
 * listener's poll. */
int config_load_quick(const char *path, struct config **ret, struct config_report *report);

#endif
