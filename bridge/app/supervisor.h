/* What is told to systemd, when it is the one that started us (sd_notify(3)): datagrams to the socket that
 * $NOTIFY_SOCKET names, a path or, with '@', an abstract name. Without it nothing is sent, and a failure to
 * send stands in nobody's way. Main thread. */
#ifndef AB_APP_SUPERVISOR_H
#define AB_APP_SUPERVISOR_H

#include <stdint.h>

void supervisor_ready(void);
void supervisor_reloading(void); /* supervisor_ready ends it */
void supervisor_stopping(void);

/* How often supervisor_alive is expected, in ms: half of what $WATCHDOG_USEC allows; -1: never. */
int64_t supervisor_watchdog_ms(void);
void supervisor_alive(void);

#endif
