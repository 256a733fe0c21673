/* Text from elsewhere, for people. */
#ifndef CLI_PLAIN_H
#define CLI_PLAIN_H

#include <stdio.h>

/* Prints `s` with its control characters escaped (\x1b): keys come from anywhere, nothing of them commands the terminal. */
void print_plain(FILE *out, const char *s);

#endif
