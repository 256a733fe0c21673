/* Cases for the Parameter Store backend on the path /suite. */
#ifndef TESTS_STORE_SSM_CASES_H
#define TESTS_STORE_SSM_CASES_H

#include "suite.h"

struct aws_client;

/* Ends with a NULL name. */
extern const struct suite_case parameter_cases[];

/* The client of the store under test: counts its requests, and sends what others would. Before any case runs. */
void parameter_cases_use(struct aws_client *c);

#endif
