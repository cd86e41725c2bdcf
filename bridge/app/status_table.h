/* GET /listeners for people at a terminal. Pure but for the stream; any thread. */
#ifndef AB_APP_STATUS_TABLE_H
#define AB_APP_STATUS_TABLE_H

#include <stdio.h>

#include "mem.h"

/* `doc` is checked JSON. One line a listener, with what fails under it; a line on the instance before. */
void status_table_print(struct slice doc, FILE *out);

/* The object of the listener of that name, a slice of `doc`. */
bool status_table_find(struct slice doc, const char *name, struct slice *ret);
/* All that there is to know of one. */
void status_table_print_one(struct slice doc, struct slice listener, FILE *out);

/* Control characters become '?': what others have named must not move a terminal's cursor. */
void status_table_clean(char *s);

#endif
