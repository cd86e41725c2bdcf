/* A page of a scan on its way to a run, which no worker waits for: a worker that finds it not there leaves
 * the run parked, and the page's arrival gives the run to a worker again. So datasets that hang take no
 * worker, however many listeners they have.
 *
 * Made, looked at and ended by the worker that has the run; the answer comes on the prober's thread. */
#ifndef AB_FLOW_FETCH_H
#define AB_FLOW_FETCH_H

#include "bridge.h"

struct fetch;

/* Asks for the page behind `cursor` (NULL: the first) of the listener's `run_dataset`. */
struct fetch *fetch_start(struct listener *l, const char *query, const char *cursor, int limit);
/* Makes the listener's last fetch come soon, as a failure, if it is still out: a run that is parked goes on.
 * Any thread. */
void fetch_cancel(struct listener *l);
/* Success or failure: fetch_take won't wait. */
bool fetch_has_come(struct fetch *f);
/* Ends a fetch that has come: its page, or NULL with why. */
struct scan_page *fetch_take(struct fetch *f, struct err *e);
/* True: the listener's job will be pushed, maybe at this very moment: the caller has nothing of the listener,
 * run or fetch any more. False: it has come meanwhile. */
bool fetch_park(struct fetch *f);
/* Ends one whose page isn't wanted any more; takes NULL. */
void fetch_drop(struct fetch *f);

#endif
