#include "config_text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TOPIC_MAX = 249 };

bool text_is_word(const char *s, const char *more, size_t max)
{
    size_t n = 0;
    for (; s[n]; n++)
        if (n == max || !(((s[n] | 32) >= 'a' && (s[n] | 32) <= 'z') || (s[n] >= '0' && s[n] <= '9') ||
                          strchr(more, s[n])))
            return false;
    return n > 0;
}

bool text_is_topic(const char *s)
{
    return text_is_word(s, "._-", TOPIC_MAX) && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

bool text_topics_collide(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if ((*a == '.' ? '_' : *a) != (*b == '.' ? '_' : *b))
            return false;
    return *a == *b;
}

/* How many bytes follow the lead byte `c`, and the least code point that needs so many; -1: no lead byte. */
static int utf8_follow(unsigned char c, uint32_t *ret_bits, uint32_t *ret_least)
{
    if (c < 0x80)
        return *ret_bits = c, *ret_least = 0, 0;
    if ((c & 0xe0) == 0xc0)
        return *ret_bits = c & 0x1f, *ret_least = 0x80, 1;
    if ((c & 0xf0) == 0xe0)
        return *ret_bits = c & 0x0f, *ret_least = 0x800, 2;
    if ((c & 0xf8) == 0xf0)
        return *ret_bits = c & 0x07, *ret_least = 0x10000, 3;
    return -1;
}

bool text_is_utf8(const char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint32_t point, least;
        int follow = utf8_follow((unsigned char)s[i++], &point, &least);
        if (follow < 0 || (size_t)follow > len - i)
            return false;
        for (; follow > 0; follow--, i++) {
            if (((unsigned char)s[i] & 0xc0) != 0x80)
                return false;
            point = point << 6 | ((unsigned char)s[i] & 0x3f);
        }
        if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
            return false;
    }
    return true;
}

bool text_has_control(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return true;
    return false;
}

static const char *port_problem(const char *colon, const char *end)
{
    char *stop;
    if (colon == end)
        return NULL;
    if (*colon != ':' || !isdigit((unsigned char)colon[1]))
        return "what follows the host is no port";
    long port = strtol(colon + 1, &stop, 10);
    return stop != end || port < 1 || port > 65535 ? "the port is not 1..65535" : NULL;
}

const char *text_url_problem(const char *s)
{
    const char *host = !strncasecmp(s, "http://", 7) ? s + 7 : !strncasecmp(s, "https://", 8) ? s + 8 : NULL;
    if (!host)
        return "it doesn't begin with http:// or https://";
    for (const char *p = s; *p; p++)
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
            return "it holds a space, a control character or a letter that needs escaping";
    if (strpbrk(s, "?#"))
        return "it has a query or a fragment";
    const char *end = host + strcspn(host, "/");
    if (memchr(host, '@', (size_t)(end - host)))
        return "it holds a user or password";
    if (*host == '[') {
        const char *close = memchr(host, ']', (size_t)(end - host));
        return !close || close == host + 1 ? "its host is incomplete" : port_problem(close + 1, end);
    }
    const char *colon = host + strcspn(host, ":/");
    return colon == host ? "it has no host" : port_problem(colon, end);
}

/* Where the colon before the port is, NULL when there is none. */
static const char *port_colon(const char *s)
{
    const char *close = *s == '[' ? strchr(s, ']') : NULL;
    return strchr(close ? close : s, ':');
}

const char *text_address_problem(const char *s)
{
    unsigned char address[sizeof(struct in6_addr)];
    char host[ADDRESS_HOST_SIZE], *stop;
    int port;
    const char *colon = port_colon(s);
    if (!colon || !isdigit((unsigned char)colon[1]))
        return "the port is missing";
    long number = strtol(colon + 1, &stop, 10);
    if (*stop || number > 65535)
        return strchr(colon + 1, ':') ? "an IPv6 address stands in brackets" : "the port is not 0..65535";
    if (colon - s >= ADDRESS_HOST_SIZE)
        return "this is no address";
    text_address_split(s, host, &port);
    if (inet_pton(*s == '[' ? AF_INET6 : AF_INET, host, address) != 1)
        return "this is no address";
    return NULL;
}

void text_address_split(const char *s, char ret_host[ADDRESS_HOST_SIZE], int *ret_port)
{
    const char *colon = port_colon(s);
    size_t len = (size_t)(colon - s);
    if (*s == '[') {
        s++;
        len = len > 1 ? len - 2 : 0;
    }
    (void)snprintf(ret_host, ADDRESS_HOST_SIZE, "%.*s", (int)len, s);
    *ret_port = (int)strtol(colon + 1, NULL, 10);
}

bool text_is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 || strncmp(host, "::ffff:127.", 11) == 0;
}
