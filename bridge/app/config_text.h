/* Questions about the text of a config value: is it legal, and what might have been meant. Pure; any thread.
 */
#ifndef AB_APP_CONFIG_TEXT_H
#define AB_APP_CONFIG_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "near.h"

/* Letters, digits and what stands in `more`, 1..max bytes. */
bool text_is_word(const char *s, const char *more, size_t max);
/* What Kafka takes for a topic: 1..249 of [A-Za-z0-9._-], not "." or "..". */
bool text_is_topic(const char *s);
/* Kafka compares topics with '.' and '_' taken for the same when it makes one. */
bool text_topics_collide(const char *a, const char *b);
/* Well-formed UTF-8: what is no text can't be sent as JSON. */
bool text_is_utf8(const char *s, size_t len);
bool text_has_control(const char *s);

/* NULL when `s` is http:// or https://, a host, perhaps a port and a path; else what is wrong with it, in
 * words that don't repeat any of it (it may hold a password). */
const char *text_url_problem(const char *s);

/* NULL when `s` is ADDRESS:PORT, the address an IPv4 one or an IPv6 one in brackets; else what is wrong with
 * it. */
const char *text_address_problem(const char *s);
/* Of such a text, the address without brackets into `ret_host`, and the port. */
enum { ADDRESS_HOST_SIZE = 64 };
void text_address_split(const char *s, char ret_host[ADDRESS_HOST_SIZE], int *ret_port);
bool text_is_loopback(const char *host);

#endif
