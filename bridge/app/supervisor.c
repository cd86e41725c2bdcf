#include "supervisor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"

/* 0: there is no socket to tell. */
static socklen_t notify_address(struct sockaddr_un *ret)
{
    const char *name = getenv("NOTIFY_SOCKET");
    size_t len = name ? strlen(name) : 0;
    if (len < 2 || len >= sizeof ret->sun_path || (name[0] != '/' && name[0] != '@'))
        return 0;
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret->sun_path, name, len);
    if (name[0] == '@')
        ret->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

static void tell(const char *state)
{
    struct sockaddr_un address;
    socklen_t len = notify_address(&address);
    int fd = len ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address, len);
    (void)close(fd);
}

void supervisor_ready(void)
{
    tell("READY=1");
}

void supervisor_reloading(void)
{
    char state[64]; /* the time tells this reload from an earlier one (sd_notify(3), RELOADING=1) */
    (void)snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_mono_us());
    tell(state);
}

void supervisor_stopping(void)
{
    tell("STOPPING=1");
}

int64_t supervisor_watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    char *end;
    long long us = usec ? strtoll(usec, &end, 10) : 0;
    bool is_ours = !pid || strtoll(pid, NULL, 10) == getpid();
    return us >= 2000 && !*end && is_ours ? us / 2000 : -1;
}

void supervisor_alive(void)
{
    tell("WATCHDOG=1");
}
